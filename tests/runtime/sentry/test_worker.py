"""When the worker builds what has ended: a first trace soon, a stream in batches, much at once. Time is a double: nothing waits."""

import itertools
import queue
from types import SimpleNamespace

import pytest

from slotel.runtime.sentry.transactions import sink as sinks
from slotel.runtime.sentry.transactions import worker as module
from slotel.runtime.sentry.transactions.keep_policy import KeepPolicy
from slotel.runtime.sentry.transactions.traces import EndedTrace, Said, Trace
from slotel.runtime.sentry.transactions.worker import (
    BATCH_DELAY,
    DRAIN_INTERVAL,
    LATE_WAIT,
    LOOK_FOR_LONG_OPEN,
    Worker,
)
from slotel.runtime.sentry.transport.encode import decompress
from support.sentry_tracing import Losses, provider

SOON = DRAIN_INTERVAL
BATCH = DRAIN_INTERVAL + BATCH_DELAY
MOST_STEPS = 10_000
"""Of the worker's thread: what waits for ever fails."""


class Time:
    """A clock that goes on when the worker waits; what is to happen meanwhile happens. Also what the worker waits by."""

    def __init__(self):
        self.now = 100.0
        self.plan = []
        self.tokens = 0
        self.slept = []
        self.woken = []
        self.steps = 0

    def monotonic(self):
        return self.now

    time = monotonic

    def time_ns(self):
        return int(self.now * 1e9)

    def at(self, seconds, call):
        self.plan.append((100.0 + seconds, call))
        self.plan.sort(key=lambda each: each[0])

    def _until(self, end, is_over=lambda: False):
        self.steps += 1
        assert self.steps < MOST_STEPS
        while self.plan and self.plan[0][0] <= end:
            when, call = self.plan.pop(0)
            self.now = max(self.now, when)
            call()
            if is_over():
                return
        self.now = max(self.now, end)

    def sleep(self, seconds):
        self._until(self.now + seconds)

    def put(self, _):
        self.tokens += 1
        self.woken.append(round(self.now - 100.0, 3))

    def get(self, timeout):
        began = self.now
        if not self.tokens:
            self._until(self.now + timeout, lambda: self.tokens)
        self.slept.append(round(self.now - began, 3))
        if not self.tokens:
            raise queue.Empty
        self.tokens -= 1


class Sender:
    def __init__(self):
        self.limits = SimpleNamespace(pause=lambda _: 0)

        self.sent = []
        self.flushed = 0

    def offer(self, envelope):
        self.sent.append(decompress(envelope.body))

    def flush(self, deadline):
        self.flushed += 1
        return True

    def wake(self):
        pass

    def stop(self, reason):
        pass


@pytest.fixture
def time(monkeypatch):
    made = Time()
    monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(module, "suppress_instrumentation", lambda: None)
    return made


@pytest.fixture
def run(time):
    """Run the thread's loop on the test's: traces end at these times; returns when each was built."""

    def run(*ends, soon=(), seconds=30.0):
        built = []
        assembly = SimpleNamespace(whole=lambda ended, _: built.append((ended.root, time.now - 100.0)) or ())
        losses = []
        worker = Worker(assembly, Sender(), lambda *lost: losses.append(lost))
        worker._thread = object()  # as if it had begun
        worker._tokens = time

        def end(name, *, is_much):
            root = SimpleNamespace(state=Trace(True, None), spans=[])
            worker.ended.append(EndedTrace(root, name, time.now, Said.until_now()))
            for _ in range(2):  # and another request does, before the worker's thread comes to run
                worker.wake(soon=is_much)

        for at in ends:
            time.at(at, lambda at=at: end(at, is_much=False))
        for at in soon:
            time.at(at, lambda at=at: end(at, is_much=True))
        time.at(seconds, worker.stop)
        worker._run(time, worker._elected)
        assert losses == []
        assert [name for name, _ in built] == sorted((*ends, *soon))
        return [round(at, 3) for _, at in built]

    return run


def test_a_trace_that_ends_alone_is_built_after_the_first_wait(run):
    assert run(0.0) == [SOON]


def test_each_trace_after_a_pause_is_a_first_one(run):
    assert run(0.0, 5.0, 10.0) == [SOON, 5 + SOON, 10 + SOON]


def test_a_stream_is_built_in_batches_of_a_second(run):
    built = run(*(number / 20 for number in range(100)))
    times = sorted(set(built))
    assert times[0] == SOON
    assert {round(later - sooner, 3) for sooner, later in itertools.pairwise(times)} == {BATCH}
    assert max(at - number / 20 for number, at in enumerate(built)) <= LATE_WAIT + BATCH


def test_no_trace_is_built_before_its_late_children_have_had_their_time(run):
    ends = [number / 20 for number in range(100)]
    assert min(at - end for end, at in zip(ends, run(*ends), strict=True)) >= LATE_WAIT - 1e-6


def test_much_that_is_held_ends_the_wait_of_a_batch_at_once(run):
    built = run(0.0, 0.1, 0.3, 0.35, soon=(0.8,))
    assert built[1:4] == [0.8] * 3, "what had waited for its children"
    assert built[4] == 0.8 + BATCH


def test_much_that_is_held_wakes_a_thread_that_waits_for_its_batch_once(run, time):
    run(0.0, 0.1, soon=(0.15, 0.5, 0.55, 0.6))
    assert time.woken == [0.0, 0.5, 30.0], "at first, of its batch, to stop"


def test_a_thread_with_nothing_to_do_sleeps_until_it_looks_for_long_open_roots(run, time):
    run(0.0, seconds=100.0)
    assert time.slept[-3:-1] == [LOOK_FOR_LONG_OPEN] * 2


def test_the_sink_says_when_much_is_held(monkeypatch):
    monkeypatch.setattr(sinks, "DRAIN_ABOVE", 3)
    said = []
    worker = SimpleNamespace(
        ended=[], bind=lambda *_: None, wake=lambda *, soon: said.append(soon), use=None, after_fork=None
    )
    sink = sinks.TransactionsSink(KeepPolicy((), 0), worker, Losses())
    tracer = provider(sink).get_tracer("t")
    for _ in range(2):
        with tracer.start_as_current_span("job"), tracer.start_as_current_span("step"):
            pass
    assert said == [False, True], "two spans are held, then four"


def test_what_has_ended_leaves_by_the_client_that_was_there_and_no_former_one_is_forgotten():
    senders = [Sender() for _ in range(4)]
    assemblies = [
        SimpleNamespace(whole=lambda ended, _, number=number: [b"%d %s" % (number, ended.root)])
        for number in range(4)
    ]
    worker = Worker(assemblies[0], senders[0], lambda *_: None)
    for number in (1, 2, 3):
        root = SimpleNamespace(state=Trace(True, None), spans=[])
        worker.ended.append(EndedTrace(root, b"trace", 0.0, Said.until_now()))
        worker.use(assemblies[number], senders[number])
    assert [each.sent for each in senders] == [[b"0 trace"], [b"1 trace"], [b"2 trace"], []]
    assert worker.flush(module.time.monotonic() + 60)
    assert [each.flushed for each in senders] == [1] * 4
