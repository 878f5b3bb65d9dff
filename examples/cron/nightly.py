"""A job that cron starts: it counts as one request, good or bad, and its steps are spans."""

import sys

from slotel import PerformanceTracker

performance = PerformanceTracker()


@performance.track_function
def load(day):
    if day == "monday":
        raise RuntimeError("the warehouse is closed on mondays")
    return [1, 2, 3]


@performance.track_function
def store(rows):
    return len(rows)


@performance.track_request(name="nightly report")
def report(day):
    return store(load(day))


if __name__ == "__main__":
    print("rows:", report(sys.argv[1] if len(sys.argv) > 1 else "tuesday"))
