"""A scrape of many workers lets requests run: between two of its rests it takes the interpreter for little."""

from __future__ import annotations

import gc
import os
import statistics
import time
import urllib.request
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from slotel.runtime.metrics.instruments.fork_reset import count_from_zero_after_fork
from slotel.runtime.metrics.scrape import endpoint as endpoint_module
from slotel.runtime.metrics.scrape.endpoint import Endpoint
from slotel.runtime.metrics.scrape.sources.app_metrics import AppMetrics
from slotel.runtime.metrics.store.store import Histogram, Store
from slotel.runtime.metrics.workers.workers import Workers

WORKERS, SERIES, APP_SERIES = 4, 1_000, 200
LIMIT = 0.005
BOUNDS = (0.01, 0.1, 0.5, 1.0, 5.0)


class Noting:
    """The endpoint's clock: notes the CPU time that its thread took from one rest to the next."""

    perf_counter, monotonic = staticmethod(time.perf_counter), staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.holds: list[float] = []
        self._last = 0.0

    def begin(self) -> None:
        self._last = time.thread_time()

    def sleep(self, seconds: float) -> None:
        self.holds.append(time.thread_time() - self._last)
        time.sleep(seconds)
        self.begin()


def count(duration: Histogram) -> None:
    for number in range(SERIES):
        duration.observe(duration.slot((f"/items/{number}",)), 0.1)


@pytest.fixture
def noting(monkeypatch) -> Noting:
    made = Noting()
    monkeypatch.setattr(endpoint_module, "time", made)
    return made


def test_a_scrape_over_workers_that_count_meanwhile_never_holds_the_interpreter_for_5_ms(
    tmp_path: Path, noting: Noting
):
    """Every worker's counts and instruments have changed since the last scrape. CPU time: a busy machine is no fault."""
    store, provider = Store(), MeterProvider([])
    duration = store.histogram("seconds", help="", unit="seconds", label_names=("route",), bounds=BOUNDS)
    workers = Workers(store, {"XDG_RUNTIME_DIR": str(tmp_path)}, "shop")
    count_from_zero_after_fork(provider)
    app = AppMetrics(provider, workers=workers)
    endpoint = Endpoint("127.0.0.1", 0, [store.snapshot, app.families])
    orders = provider.get_meter("shop").create_histogram("orders")

    def work() -> None:
        count(duration)
        for number in range(APP_SERIES):
            orders.record(0.1, {"number": number})
        app.publish()

    done, agains, children = os.pipe(), [], []
    for _ in range(WORKERS):
        again = os.pipe()
        child = os.fork()
        if child == 0:
            for other in (*agains, again[1]):
                os.close(other)
            while os.read(again[0], 1):
                work()
                os.write(done[1], b"!")
            os._exit(0)
        agains.append(again[1])
        children.append(child)
    work()
    answer = endpoint._server._answerer
    endpoint._server._answerer = lambda requests: (noting.begin(), answer(requests))[1]
    endpoint.start()
    longest = []
    gc.collect()
    gc.freeze()  # the pauses for garbage of a process that has run other tests are not the scrape's
    try:
        for _ in range(8):
            for again in agains:
                os.write(again, b"!")
                os.read(done[0], 1)
            noting.holds.clear()
            with urllib.request.urlopen(endpoint.address, timeout=20) as got:
                last = got.read().decode().split()[-1]
            assert float(last) == 1 + WORKERS * (len(longest) + 1), "all have published"
            longest.append(max(noting.holds))
    finally:
        gc.unfreeze()
        endpoint.stop()
        for again in agains:
            os.close(again)
        for child in children:
            os.waitpid(child, 0)
        provider.shutdown()
    print(longest)
    assert statistics.median(longest[2:]) < LIMIT, longest
