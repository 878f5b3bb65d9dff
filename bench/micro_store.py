"""What counting costs: a record, a series, a snapshot over workers; against the OTel SDK's instruments."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import statistics
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path

from micro import main
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

from slotel.runtime.metrics.self_metrics import Unsent
from slotel.runtime.metrics.store.cells import copy_cells
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.metrics.workers.workers import Workers

BOUNDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 2.5, 5.0)
"""14 bounds: 15 buckets."""
LABELS = ("service_name", "span_name", "span_kind", "status_code", "http_route", "http_response_status_code")


def values(number: int) -> tuple[str, ...]:
    return (
        "shop",
        f"GET /items/{number}",
        "SPAN_KIND_SERVER",
        "STATUS_CODE_UNSET",
        f"/items/{number}",
        "200",
    )


def make_store(series: int = 2000) -> tuple:
    store = Store(max_series=series)
    spans = store.histogram("spans_seconds", help="Spans.", unit="seconds", label_names=LABELS, bounds=BOUNDS, count_name="calls")  # fmt: skip
    events = store.counter("slo_events", help="Events.", label_names=("slo_name", "slo_outcome"))
    return store, spans, events


def make_sdk() -> tuple:
    reader = InMemoryMetricReader()
    view = View(instrument_name="spans", aggregation=ExplicitBucketHistogramAggregation(BOUNDS))
    meter = MeterProvider([reader], views=[view], shutdown_on_exit=False).get_meter("bench")
    return meter.create_histogram("spans", "s"), meter.create_counter("slo_events"), reader


# -- record -----------------------------------------------------------------------------------------------------


def record(rounds: int, number: int) -> list[dict]:
    """Labels looked up, duration, call count, one SLO event; plain, mapped into a file, and with an exemplar."""
    _, spans, events = make_store()
    runs: dict[str, Callable[[], None]] = {}
    good = (events.slot(("availability", "good")),)
    names = values(1)
    spans.slot(names)
    ids = (1 << 100, 1 << 50)

    def memory() -> None:
        spans.observe(spans.slot(names), 0.07, good)

    def exemplar() -> None:
        spans.observe(spans.slot(names), 0.07, good, ids)

    place = tempfile.mkdtemp()
    mapped_store, mapped_spans, mapped_events = make_store()
    workers = Workers(mapped_store, {"XDG_RUNTIME_DIR": place}, "bench")
    mapped_good = (mapped_events.slot(("availability", "good")),)
    mapped_spans.observe(mapped_spans.slot(names), 0.07)
    workers.before_fork()

    def mapped() -> None:
        mapped_spans.observe(mapped_spans.slot(names), 0.07, mapped_good)

    unsent = Unsent()
    unsent.count_in(mapped_store)

    def waits() -> None:
        unsent.add("traces", 1)

    histogram, counter, _ = make_sdk()
    attributes = dict(zip(LABELS, names, strict=True))

    def sdk() -> None:
        histogram.record(0.07, attributes)
        counter.add(1, attributes)

    runs = {"memory": memory, "mapped": mapped, "exemplar": exemplar, "waits": waits, "sdk": sdk}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times = number if name != "sdk" else number // 10
            taken[name].append(timeit.timeit(run, number=times, timer=time.process_time) / times * 1e6)
    shutil.rmtree(place)
    base = statistics.median(taken["sdk"])
    return [
        row(f"record one span, {what}", "OTel Histogram.record + Counter.add, same attributes",
            statistics.median(taken[name]), base, "us", 0.05)
        for name, what in (
            ("memory", "one process"), ("mapped", "mapped for workers"), ("exemplar", "sampled: with exemplar"),
            ("waits", "that it waits to be sent"),
        )
    ]  # fmt: skip


# -- memory -----------------------------------------------------------------------------------------------------


def memory(series: int) -> list[dict]:
    """Resident memory of a process of its own, for each series of 15 buckets and six labels."""

    def ours(workers: bool) -> Callable[[], object]:
        def fill() -> object:
            store, spans, _ = made
            for number in range(series):
                spans.observe(spans.slot(values(number)), 0.07)
            if workers:
                joined = Workers(store, {"XDG_RUNTIME_DIR": place}, "bench")
                joined.before_fork()
                store.cells[0] = store.cells[len(store.cells) - 1]
            return store

        made = make_store(series)
        return fill

    def sdk() -> object:
        for number in range(series):
            histogram.record(0.07, dict(zip(LABELS, values(number), strict=True)))
        return histogram

    place = tempfile.mkdtemp()
    histogram = make_sdk()[0]
    base = grown(sdk) / series
    rows = [
        row(f"memory for a series, {what}", "OTel SDK histogram, same attributes", grown(ours(workers)) / series,
            base, "bytes", 0.5)
        for what, workers in (("one process", False), ("mapped for workers", True))
    ]  # fmt: skip
    shutil.rmtree(place)
    return rows


def grown(fill: Callable[[], object]) -> float:
    """Return by how many bytes a forked process grows that fills something."""

    def work() -> float:
        gc.collect()
        before = resident()
        kept = fill()
        gc.collect()
        after = resident()
        del kept
        return after - before

    return in_child(work)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_child(work: Callable[[], float]) -> float:
    ends = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(ends[1], repr(work()).encode())
        finally:
            os._exit(0)
    os.close(ends[1])
    data = os.read(ends[0], 1000)
    os.close(ends[0])
    os.waitpid(pid, 0)
    return float(data)


# -- snapshot ---------------------------------------------------------------------------------------------------


class Reader:
    """A process of its own that holds something, and says on demand how long a look at it takes."""

    def __init__(self, prepare: Callable[[], Callable[[], object]]) -> None:
        asked, self.ask = os.pipe()
        self.answer, answered = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.ask)
                look = prepare()
                while os.read(asked, 1):
                    gc.collect()
                    taken = timeit.timeit(look, number=1, timer=time.process_time) * 1e3
                    os.write(answered, repr(taken).encode())
            finally:
                os._exit(0)
        os.close(asked)

    def milliseconds(self) -> float:
        os.write(self.ask, b"?")
        return float(os.read(self.answer, 100))

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)  # its workers end when they see that
        os.waitpid(self.pid, 0)


def fleet(workers: int, series: int, place: str) -> Callable[[], object]:
    """A service of workers that counted, the same series each, and count on while they are read."""
    store, spans, events = make_store(series)
    joined = Workers(store, {"XDG_RUNTIME_DIR": place}, "bench")
    good = (events.slot(("availability", "good")),)
    slots = [spans.slot(values(number)) for number in range(series)]
    spans.observe(slots[0], 0.07)
    ready = os.pipe()
    parent = os.getpid()
    for _ in range(workers):
        if os.fork() == 0:
            for slot in slots:
                for bound in BOUNDS:
                    spans.observe(slot, bound * 0.9, good)
            os.write(ready[1], b"1")
            while os.getppid() == parent:
                for slot in slots[:10]:
                    spans.observe(slot, 0.07, good)
                time.sleep(0.05)
            os._exit(0)
    for _ in range(workers):
        os.read(ready[0], 1)
    assert len(joined.parts()) == workers
    return store.snapshot


def many(series: int, what: str) -> Callable[[], object]:
    store, spans, _ = make_store(series)
    for number in range(series):
        spans.observe(spans.slot(values(number)), 0.07)
    return store.snapshot if what == "snapshot" else lambda: copy_cells(store.cells, store.size)


def snapshot(rounds: int) -> list[dict]:
    place = tempfile.mkdtemp()
    readers = {
        "one": Reader(lambda: fleet(1, 2000, place)),
        "eight": Reader(lambda: fleet(8, 2000, place)),
        "many": Reader(lambda: many(50_000, "snapshot")),
        "lock": Reader(lambda: many(50_000, "copy")),
    }
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, reader in readers.items():
            taken[name].append(reader.milliseconds())
    for reader in readers.values():
        reader.end()
    time.sleep(0.2)
    shutil.rmtree(place)
    one, eight, much, lock = (statistics.median(taken[name]) for name in ("one", "eight", "many", "lock"))
    return [
        row("snapshot of 8 workers x 2000 series", "1 worker x 2000 series", eight, one, "ms", 10),
        row("snapshot of 50,000 series, one process", "1 worker x 2000 series", much, one, "ms", 50),
        row("copy of 50,000 series: the longest that a record waits", "5 ms", lock, 5.0, "ms", 1.0),
    ]


def row(what: str, baseline: str, value: float, base: float, unit: str, target: float) -> dict:
    return {
        "what": what, "baseline": baseline, "value": round(value, 3), "baseline_value": round(base, 3),
        "unit": unit, "ratio": round(value / base, 4), "target": target,
    }  # fmt: skip


def rows(quick: bool) -> list[dict]:
    rounds = 5 if quick else 15
    return [
        *record(rounds, 20_000 if quick else 100_000),
        *memory(10_000 if quick else 20_000),
        *snapshot(rounds),
    ]


if __name__ == "__main__":
    main(__doc__, rows)
