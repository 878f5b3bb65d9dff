"""The store inside one process: exact, bounded, consistent."""

import os
import sys
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.runtime.metrics.store.family import Family
from slotel.runtime.metrics.store.store import Store

BOUNDS = (0.1, 1.0)


def make(max_series: int = 2000, clock=lambda: 1000.0):
    store = Store(max_series=max_series, clock=clock)
    spans = store.histogram(
        "spans_duration_seconds", help="Spans.", unit="seconds", label_names=("service_name", "route"),
        bounds=BOUNDS, count_name="spans_calls",
    )  # fmt: skip
    events = store.counter("events", help="Events.", label_names=("outcome",))
    return store, spans, events


def families(store: Store) -> dict[str, Family]:
    return {family.name: family for family in store.snapshot()}


def test_one_write_counts_a_duration_a_call_and_an_event() -> None:
    store, spans, events = make()
    good = events.slot(("good",))
    slot = spans.slot(("shop", "/"))
    for seconds in (0.1, 0.5, 7.0):
        spans.observe(slot, seconds, (good,))
    found = families(store)
    assert list(found["spans_duration_seconds"].series["shop", "/"]) == [1, 1, 1, 7.6]
    assert found["spans_calls"].series == {("shop", "/"): (3.0,)}
    assert list(found["events"].series["good",]) == [3]
    assert found["spans_duration_seconds"].created == 1000.0


def test_a_duration_that_cannot_be_counts_as_zero() -> None:
    store, spans, _ = make()
    for seconds in (-1.0, float("nan")):
        spans.observe(spans.slot(("shop", "/")), seconds)
    assert list(families(store)["spans_duration_seconds"].series["shop", "/"]) == [2, 0, 0, 0]


def test_what_is_beyond_the_bound_is_counted_in_one_series_and_totals_stay_right() -> None:
    store, spans, _ = make(max_series=3)
    for number in range(10):
        spans.observe(spans.slot(("shop", f"/{number}")), 0.5)
    found = families(store)
    calls = found["spans_calls"]
    assert calls.label_names == ("service_name", "route", "otel_metric_overflow")
    assert calls.series == {
        ("shop", "/0", ""): (1,),
        ("shop", "/1", ""): (1,),
        ("shop", "/2", ""): (1,),
        ("shop", "", "true"): (7,),
    }
    assert list(found["spans_duration_seconds"].series["shop", "", "true"]) == [0, 7, 0, 3.5]
    assert {key: row[0] for key, row in found["slotel_series_overflow"].series.items()} == {
        ("spans_duration_seconds",): 7
    }


def test_the_latest_exemplar_of_each_bucket_is_kept_and_the_call_counter_shows_the_latest_of_all() -> None:
    now = iter(range(1000, 1010))
    store, spans, _ = make(clock=lambda: float(next(now)))
    slot = spans.slot(("shop", "/"))
    spans.observe(slot, 0.5, (), (1, 1))
    spans.observe(slot, 0.6, (), (2, 2))
    spans.observe(slot, 0.01, (), (3, 3))
    spans.observe(slot, 0.7)
    found = families(store)
    assert found["spans_duration_seconds"].exemplars == {
        ("shop", "/"): {0: (3, 3, 0.01, 1003.0), 1: (2, 2, 0.6, 1002.0)}
    }
    assert found["spans_calls"].exemplars == {("shop", "/"): {0: (3, 3, 0.01, 1003.0)}}


def test_a_long_or_undecodable_label_value_is_cut_and_says_its_length() -> None:
    store, _, events = make()
    events.add(events.slot(("x" * 1_000_000,)))
    events.add(events.slot(('a"\n\0\ud800',)))
    assert set(families(store)["events"].series) == {("x" * 200 + "…(1000000)",), ('a"\n\0?',)}
    assert max(len(values[0]) for values in events.slots if values) < 250


def test_eight_threads_count_exactly_while_series_open_and_snapshots_are_consistent() -> None:
    store, spans, events = make()
    good = events.slot(("good",))
    rounds, threads = 4000, 8
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def record(worker: int) -> None:
        for number in range(rounds):
            spans.observe(spans.slot(("shop", f"/{worker % 2}/{number % 100}")), 1.0, (good,))
            events.add(good, 2)

    workers = [threading.Thread(target=record, args=(worker,)) for worker in range(threads)]
    try:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            for row in families(store)["spans_duration_seconds"].series.values():
                assert sum(row[:-1]) == row[-1]  # each took a second: the sum belongs to the count
    finally:
        for worker in workers:
            worker.join()
        sys.setswitchinterval(interval)
    found = families(store)
    assert sum(row[0] for row in found["spans_calls"].series.values()) == rounds * threads
    assert list(found["events"].series["good",]) == [3 * rounds * threads]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
class Log:
    """A double of a worker's mapped file: its cells are the same memory when it grows, and rows are noted in order."""

    def __init__(self, store: Store) -> None:
        self._memory = memoryview(bytearray(8 * 1_000)).cast("d")
        self._memory[: store.size] = memoryview(store.cells)[: store.size]
        self.rows: dict[tuple[str, ...], int] = {}
        with store.lock:
            store.place(self._memory[: store.size], self)

    def grow(self, size):
        return self._memory[:size]

    def table(self, index, shape):
        pass

    def row(self, index, slot, values):
        self.rows[values] = slot


OPEN = {"slot", "_open", "open_row", "reserve", "place", "grow", "row"}


def before_line(number, call, work):
    """Call `work`, and `call` in it before so many lines of what opens a row; return whether it had so many."""
    lines, called = iter(range(10_000)), []

    def trace(frame, event, _):
        if frame.f_code.co_name not in OPEN:
            return None
        if event == "line" and next(lines) == number:
            sys.settrace(None)
            called.append(number)
            call()
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(former)
    return bool(called)


@pytest.mark.parametrize("is_logged", [False, True], ids=["own memory", "a log"])
@pytest.mark.parametrize("others", [("/a",), ("/b",), ("/a", "/b", "/c")], ids=" ".join)
def test_a_row_that_a_finalizer_opens_at_any_line_of_opening_another_counts_exactly(is_logged, others):
    """The collector runs finalizers wherever something is made: here before each line, in turn."""
    for number in range(200):
        store = Store()
        table = store.counter("events", help="", label_names=("route",))
        log = Log(store) if is_logged else None

        def add(*routes, table=table):
            for route in routes:
                table.add(table.slot((route,)))

        was_called = before_line(number, lambda add=add: add(*others), lambda add=add: add("/a"))
        (family,) = (each for each in store.snapshot() if each.name == "events")
        counted = {labels[0]: row[0] for labels, row in family.series.items() if row[0]}
        assert counted == Counter(["/a", *others] if was_called else ["/a"]), number
        assert log is None or log.rows.items() <= table.slots.items(), number
        if not was_called:
            break
    assert number > 10, "there are so many lines"


def test_a_forked_child_starts_at_zero_with_the_same_slots() -> None:
    store, spans, events = make()
    good = events.slot(("good",))
    slot = spans.slot(("shop", "/"))
    spans.observe(slot, 0.5, (good,), (1, 1))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            spans.observe(slot, 0.01, (good,))
            found = families(store)
            assert list(found["spans_duration_seconds"].series["shop", "/"]) == [1, 0, 0, 0.01]
            assert list(found["events"].series["good",]) == [1]
            assert not found["spans_duration_seconds"].exemplars
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert list(families(store)["spans_duration_seconds"].series["shop", "/"]) == [0, 1, 0, 0.5]


# -- rings ------------------------------------------------------------------------------------------------------


@given(
    events=st.lists(st.tuples(st.floats(0, 300), st.integers(0, 1), st.integers(1, 5)), max_size=60),
    window=st.integers(1, 9),
)
def test_a_ring_sums_what_falls_into_the_window_and_forgets_the_rest(events, window) -> None:
    ring = Store().ring("r", buckets=10, width_seconds=10, columns=2)
    events.sort()
    for seconds, column, n in events:
        ring.add(seconds, column, n)
    now = 300.0
    first = int(now // 10) - window + 1
    expected = [
        sum(n for seconds, column, n in events if column == wanted and seconds // 10 >= first)
        for wanted in (0, 1)
    ]
    assert ring.sums(now, window * 10) == expected


def test_a_ring_does_not_take_what_is_older_than_its_place() -> None:
    ring = Store().ring("r", buckets=3, width_seconds=1, columns=1)
    ring.add(10, 0)
    ring.add(7, 0)
    assert ring.sums(10, 1) == [1]
