"""Celery, a worker in this process over a broker in memory: what each way of a job comes to. Prints the outcomes."""

import json
import time

from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.exceptions import Ignore, Reject

app = Celery("jobs", broker="memory://", backend="cache+memory://")


class ExpectedError(Exception):
    pass


@app.task
def succeeds():
    return 1


@app.task
def fails():
    raise ValueError("fails")


@app.task(throws=(ExpectedError,))
def expected():
    raise ExpectedError


class UnpickledError(ExpectedError):
    def __init__(self, code, detail):
        super().__init__(detail)


@app.task(throws=(UnpickledError,))
def expected_unpickled():
    raise UnpickledError(7, "expected")


@app.task
def ignored():
    raise Ignore


@app.task(acks_late=True)
def rejected():
    raise Reject("no", requeue=False)


@app.task(bind=True, max_retries=1)
def retried(self):
    raise self.retry(exc=ValueError("retried"), countdown=0)


def outcomes(runtime):
    for family in runtime.store.snapshot():
        if family.name == "slo_events":
            return {key[-1]: row[0] for key, row in family.series.items()}
    return {}


if __name__ == "__main__":
    from slotel.runtime.state import current

    runtime = current()
    told = {}
    with start_worker(app, perform_ping_check=False, pool="solo", loglevel="error"):
        for task, events in (
            (succeeds, 1),
            (fails, 1),
            (expected, 1),
            (expected_unpickled, 1),
            (ignored, 1),
            (rejected, 1),
            (retried, 2),
        ):
            before = outcomes(runtime)
            task.delay()
            until = time.monotonic() + 60
            while (
                sum(outcomes(runtime).values()) < sum(before.values()) + events and time.monotonic() < until
            ):
                time.sleep(0.05)
            after = outcomes(runtime)
            told[task.name.rpartition(".")[2]] = {
                key: after[key] - before[key] for key in after if after[key] != before[key]
            }
    print(json.dumps(told), flush=True)
