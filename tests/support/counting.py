"""A service of many processes that count, for the tests: what each counts it says on its standard output."""

import os
import signal
import sys
import time

from slotel.runtime.metrics.store.store import Store
from slotel.runtime.metrics.workers.workers import Workers

BOUNDS = (0.1, 1.0)


class Service:
    """One process's store, as providers.py makes it."""

    def __init__(self, environ=None, service="shop", max_series=2000) -> None:
        self.store = Store(max_series=max_series)
        self.dropped: list[tuple[str, str]] = []
        self.spans = self.store.histogram(
            "spans_duration_seconds", help="Spans.", unit="seconds", label_names=("route",),
            bounds=BOUNDS, count_name="spans_calls",
        )  # fmt: skip
        self.events = self.store.counter("events", help="Events.", label_names=("outcome",))
        self.good = self.events.slot(("good",))
        self.ring = self.store.ring("ring", buckets=400, width_seconds=10, columns=1)
        self.workers = Workers(
            self.store,
            os.environ if environ is None else environ,
            service,
            lambda *what: self.dropped.append(what),
        )

    def count(self, route: str = "/", times: int = 1) -> None:
        slot = self.spans.slot((route,))
        for _ in range(times):
            self.spans.observe(slot, 1.0, (self.good,))
            self.ring.add(time.time(), 0)

    def families(self):
        return {family.name: family for family in self.store.snapshot()}

    def calls(self) -> dict[str, float]:
        return {"/".join(values): row[0] for values, row in self.families()["spans_calls"].series.items()}

    def total(self) -> float:
        """Return all calls, having checked that every row is whole: each span took one second."""
        rows = self.families()["spans_duration_seconds"].series.values()
        for row in rows:
            assert row[-1] == sum(row[:-1]), list(row)
        return sum(sum(row[:-1]) for row in rows)


def spawned(times: int, route: str = "/") -> None:
    """Count in a process that multiprocessing spawned, and end."""
    service = Service()
    service.count(route, times)


def main() -> None:
    """Count until killed; after each count the total so far is written, so that the reader knows what must be there."""
    service = Service()
    slot = service.spans.slot(("/",))
    out = sys.stdout.fileno()
    counted = 0
    while True:
        for _ in range(50):
            service.spans.observe(slot, 1.0, (service.good,))
        counted += 50
        os.write(out, counted.to_bytes(8, "little"))
        time.sleep(0.001)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    main()
