"""What a scrape costs, and how long it keeps a request waiting, against generate_latest over the stock exporter.

The values are in place on both sides; what is measured is reading them out and writing them: for slotel
`Store.snapshot` and `Exposition.render`, for the stock exporter the SDK's collection and `generate_latest`.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from micro import main
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from slotel.runtime.metrics.scrape import endpoint as endpoint_module
from slotel.runtime.metrics.scrape.endpoint import Endpoint
from slotel.runtime.metrics.scrape.exposition import Exposition
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.metrics.workers.workers import Workers

BOUNDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 2.5, 5.0, 10.0)
LINES_PER_SERIES = len(BOUNDS) + 3
LABELS = ("service_name", "span_name", "span_kind", "status_code", "http_route", "http_response_status_code")
SOURCE = "generate_latest over opentelemetry-exporter-prometheus"


def labels(number: int) -> tuple[str, ...]:
    return (
        "shop",
        f"GET /items/{number}",
        "SPAN_KIND_SERVER",
        "STATUS_CODE_UNSET",
        f"/items/{number}",
        "200",
    )


def filled_store(series: int) -> Store:
    store = Store(max_series=series + 1)
    fill(table(store), series)
    return store


def table(store: Store):
    return store.histogram(
        "traces_span_metrics_duration_seconds",
        help="Duration.",
        unit="seconds",
        label_names=LABELS,
        bounds=BOUNDS,
    )


def fill(duration, series: int) -> None:
    for number in range(series):
        slot = duration.slot(labels(number))
        for bound in BOUNDS:
            duration.observe(slot, bound * 0.9)


def filled_sdk(series: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    view = View(instrument_name="*", aggregation=ExplicitBucketHistogramAggregation(BOUNDS))
    provider = MeterProvider([PrometheusMetricReader(registry=registry)], views=[view])
    duration = provider.get_meter("bench").create_histogram("traces.span.metrics.duration", unit="s")
    for number in range(series):
        attributes = dict(zip(LABELS, labels(number), strict=True))
        for bound in BOUNDS:
            duration.record(bound * 0.9, attributes)
    return registry


def scrape_of(store: Store) -> Callable[[], int]:
    exposition = Exposition({"service.name": "shop"})
    return lambda: sum(len(text.encode()) for text in exposition.render(store.snapshot()))


def cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def interleaved(clock, ours, theirs, rounds: int) -> tuple[float, float]:
    """Medians of both sides, taken turn by turn; the first turn fills caches and does not count."""
    pairs = []
    for _ in range(rounds + 1):
        gc.collect()
        pairs.append((clock(ours), clock(theirs)))
    return tuple(statistics.median(side) for side in zip(*pairs[1:], strict=True))


def row(what, baseline, unit, value, baseline_value, target, **more) -> dict:
    return {
        "what": what, "baseline": baseline, "unit": unit, "value": round(value, 4),
        "baseline_value": round(baseline_value, 4), "ratio": round(value / baseline_value, 4), "target": target, **more,
    }  # fmt: skip


def lines(rounds: int) -> dict:
    series = 10_000 // LINES_PER_SERIES + 1
    registry = filled_sdk(series)
    ours, theirs = interleaved(
        cpu, scrape_of(filled_store(series)), lambda: generate_latest(registry), rounds
    )
    return row("render 10,000 lines, CPU", SOURCE, "ms", ours * 1e3, theirs * 1e3, 0.05)


def many(series: int, rounds: int) -> dict:
    """The stock side takes many seconds: it is measured with the first rounds only."""
    registry = filled_sdk(series)
    ours = scrape_of(filled_store(series))
    ours()
    times = [
        (cpu(ours), cpu(lambda: generate_latest(registry)) if turn < 2 else None) for turn in range(rounds)
    ]
    theirs = statistics.median(seconds for _, seconds in times if seconds is not None)
    return row(
        f"scrape of {series:,} histogram series, CPU",
        f"{SOURCE}, the same series",
        "s",
        statistics.median(one for one, _ in times),
        theirs,
        0.10,
    )


def workers(count: int, series: int, rounds: int) -> dict:
    """The baseline's store has the same series in one process; the workers' are live processes, each with all series."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(max_series=series + 1)
        duration = table(store)
        Workers(store, {"XDG_RUNTIME_DIR": directory}, "bench")
        ready, stay = os.pipe(), os.pipe()
        for _ in range(count):
            if os.fork() == 0:
                os.close(stay[1])
                fill(duration, series)
                os.write(ready[1], b"!")
                os.read(stay[0], 1)
                os._exit(0)
        for _ in range(count):
            os.read(ready[0], 1)
        ours, theirs = interleaved(cpu, scrape_of(store), scrape_of(filled_store(series)), rounds)
        total = sum(sum(row[:-1]) for row in store.snapshot()[-1].series.values())
        os.close(stay[1])
        for _ in range(count):
            os.wait()
    assert total == count * series * len(BOUNDS), total
    return row(
        f"scrape with {count} workers × {series:,} series, CPU",
        f"one worker × {series:,} series",
        "ms",
        ours * 1e3,
        theirs * 1e3,
        10,
    )


# -- what a request waits --------------------------------------------------------------------------------------


class Scraper:
    """Scrapes from another process, as Prometheus does: the client's own work must not count as the server's."""

    def __init__(self) -> None:
        code = "import sys, urllib.request as u\nfor line in sys.stdin: u.urlopen(line.strip()).read(); print(flush=True)"
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def fetch(self, address: str) -> None:
        print(address, file=self._process.stdin, flush=True)
        self._process.stdout.readline()

    def close(self) -> None:
        self._process.communicate()


class Requests(threading.Thread):
    """Does what a request does: counts a span, then waits in the kernel, after which it needs the interpreter back.

    Notes each wait beyond the 0.5 ms that it asked for, and the scrape thread's part in it: the CPU time that the
    scrape's thread took meanwhile. The rest is this machine's: another process had the processor.
    """

    def __init__(self, duration) -> None:
        super().__init__(daemon=True)
        self.noting = self.ended = False
        self.waits: list[float] = []
        self.of_the_scrape: list[float] = []
        self.scrape_clock: int | None = None
        self._duration = duration

    def run(self) -> None:
        slot = self._duration.slot(labels(0))
        while not self.ended:
            self._duration.observe(slot, 0.1)
            clock = self.scrape_clock
            taken = time.clock_gettime(clock) if clock is not None else 0.0
            begun = time.perf_counter()
            time.sleep(PAUSE)
            wait = time.perf_counter() - begun - PAUSE
            if self.noting:
                self.waits.append(wait)
                if clock is not None:
                    self.of_the_scrape.append(min(wait, time.clock_gettime(clock) - taken))

    def during(self, fetch: Callable[[], None], clock: int | None = None) -> tuple[list[float], list[float]]:
        """Return the waits, and the scrape's part in them, while something is fetched."""
        self.waits, self.of_the_scrape, self.scrape_clock = [], [], clock
        time.sleep(0.02)
        self.noting = True
        fetch()
        self.noting = False
        return self.waits, self.of_the_scrape


PAUSE = 0.0005


def blocking(series: int, rounds: int) -> list[dict]:
    registry = filled_sdk(series)
    stock, _ = start_http_server(0, "127.0.0.1", registry)
    store = Store(max_series=series + 1)
    duration = table(store)
    fill(duration, series)
    endpoint = Endpoint("127.0.0.1", 0, [store.snapshot])
    endpoint.start()
    clock = time.pthread_getcpuclockid(endpoint._thread.ident)
    requests, scraper = Requests(duration), Scraper()
    gc.collect()
    gc.freeze()  # a pause for garbage, over the stock side's objects here, is Python's and not the scrape's
    requests.start()
    ours, theirs, nothing, of_the_scrape = [], [], [], []
    for _ in range(rounds):
        waits, part = requests.during(lambda: scraper.fetch(endpoint.address), clock)
        ours += waits
        of_the_scrape += part
        theirs += requests.during(lambda: scraper.fetch(f"http://127.0.0.1:{stock.server_port}/metrics"))[0]
        nothing += requests.during(lambda: time.sleep(0.1))[0]
    gc.unfreeze()
    requests.ended = True
    requests.join()
    scraper.close()
    endpoint.stop()
    stock.shutdown()
    spread = f"{series:,} histogram series (of {len(ours)} waits: median {at(ours, 0.5)}, p99 {at(ours, 0.99)}, without a scrape {at(nothing, 0.5)}, {at(nothing, 0.99)})"
    return [
        row(
            f"longest wait that a scrape of {series:,} histogram series gave a request thread (median {at(of_the_scrape, 0.5)}, p99 {at(of_the_scrape, 0.99)})",
            "the limit of 5 ms", "ms", max(of_the_scrape) * 1e3, 5.0, 1.0,
        ),
        row(
            f"waits of a request thread during a scrape of {spread}, p99, wall", f"the same during {SOURCE}", "ms",
            quantile(ours, 0.99) * 1e3, quantile(theirs, 0.99) * 1e3, 1.0,
        ),
    ]  # fmt: skip


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(int(len(values) * q), len(values) - 1)]


def at(values: list[float], q: float) -> str:
    return f"{quantile(values, q) * 1e3:.2f} ms"


class Marked:
    """The endpoint's clock, noting the CPU time that its thread took from a request's arrival or a rest to the next rest."""

    perf_counter, monotonic = staticmethod(time.perf_counter), staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.last: float | None = None
        self.longest = 0.0

    def sleep(self, seconds: float) -> None:
        now = time.thread_time()
        if self.last is not None:
            self.longest = max(self.longest, now - self.last)
        time.sleep(seconds)
        self.last = time.thread_time()


def holding(series: int, rounds: int) -> dict:
    """CPU time, so that a busy machine does not count."""
    marked = endpoint_module.time = Marked()
    store, scraper = filled_store(series), Scraper()
    endpoint = Endpoint("127.0.0.1", 0, [store.snapshot])
    answer = endpoint._server._answerer

    def noting(requests):
        marked.last = time.thread_time()
        return answer(requests)

    endpoint._server._answerer = noting
    endpoint.start()
    held = []
    for _ in range(rounds):
        scraper.fetch(endpoint.address)
        held.append(marked.longest)
        marked.longest = 0.0
    endpoint.stop()
    scraper.close()
    endpoint_module.time = time
    return row(
        f"longest hold of the interpreter by a scrape of {series:,} histogram series, CPU (worst: {max(held) * 1e3:.1f} ms)",
        "the limit of 5 ms", "ms", statistics.median(held) * 1e3, 5.0, 1.0,
    )  # fmt: skip


def rows(quick: bool) -> list[dict]:
    rounds = 5 if quick else 15
    return [
        lines(rounds),
        many(5_000 if quick else 50_000, 3 if quick else 10),
        workers(8, 2_000, rounds),
        holding(2_000, rounds),
        *blocking(2_000, rounds),
    ]


if __name__ == "__main__":
    main(__doc__, rows)
