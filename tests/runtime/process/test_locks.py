"""The lock policy (docs/decisions/0110-lock-policy.md): a signal handler or a finalizer at any bytecode hangs nothing."""

import ast
import functools
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from slotel.runtime.sentry.transport.client_report import ClientReport

RUNTIME = Path(__file__).parents[3] / "src/slotel/runtime"
CALLS_NOTHING = (
    ast.Assign, ast.AugAssign, ast.If, ast.Compare, ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.BinOp,
    ast.BoolOp, ast.UnaryOp, ast.IfExp, ast.Slice, ast.Expr, ast.expr_context, ast.operator, ast.cmpop, ast.boolop,
    ast.unaryop,
)  # fmt: skip
"""Without calls and loops there is no place at which Python runs a handler; without a container, no collection."""
FOREIGN = {"consumer", "reader", "worker", "standing"}
"""Locks of the SDK's and of sentry-sdk's objects, made anew in a forked child, are what those make them."""


@functools.cache
def files():
    return [
        (path.relative_to(RUNTIME).as_posix(), ast.parse(path.read_text())) for path in RUNTIME.rglob("*.py")
    ]


def made_locks():
    """Yield each lock of the runtime: its place, how it is made, what it is assigned to."""
    kinds = (
        "Lock",
        "RLock",
        "Event",
        "Condition",
        "Semaphore",
        "BoundedSemaphore",
        "Barrier",
        "Queue",
        "LifoQueue",
    )
    for room, tree in files():
        for node in ast.walk(tree):
            value, target = (
                getattr(node, "value", None),
                getattr(node, "targets", [getattr(node, "target", None)])[0],
            )
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(value, ast.Call):
                kind = ast.unparse(value.func).rpartition(".")[2]
                if kind in kinds:
                    yield f"{room}:{node.lineno}", kind, ast.unparse(target)


def test_every_lock_of_the_runtime_is_reentrant():
    plain = [
        (place, target)
        for place, kind, target in made_locks()
        if kind in {"Lock", "Condition", "Semaphore", "BoundedSemaphore"}
        and target.partition(".")[0] not in FOREIGN
    ]
    assert plain == []


def test_events_and_queues_stand_where_no_span_ends():
    """Their locks are not re-entrant: only threads, starts and exits may use them."""
    found = {
        place.partition(":")[0] for place, kind, _ in made_locks() if kind in {"Event", "Queue", "LifoQueue"}
    }
    assert found <= {"process/threads.py", "metrics/scrape/endpoint.py"}


def test_a_leaf_lock_is_held_only_around_statements_that_call_nothing():
    sections, wrong = 0, []
    for room, tree in files():
        for node in ast.walk(tree):
            if isinstance(node, ast.With) and "_leaf_lock" in ast.unparse(node.items[0].context_expr):
                sections += 1
                for statement in node.body:
                    wrong += [
                        f"{room}:{each.lineno}: {ast.unparse(each)}"
                        for each in ast.walk(statement)
                        if not isinstance(each, CALLS_NOTHING) and hasattr(each, "lineno")
                    ]
    assert wrong == []
    assert sections >= 5


def test_a_loss_is_counted_and_taken_without_a_call_inside_the_leaf_lock():
    """The source shows no call of what a mapping does for a key that it lacks."""
    report, inside = ClientReport(lambda *_: None), []

    def note(frame, event, _):
        if event == "call" and report._leaf_lock._is_owned():
            inside.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        for _ in range(2):
            report.add("errors", "queue_full", 2)
            report.add("traces", "status_413", 1)
            taken = report.take(now=True)
    finally:
        sys.setprofile(None)
    assert inside == []
    assert b'"quantity":2' in taken
    assert not report


HARNESS = """
import gc, os, signal, sys, threading, time, faulthandler
faulthandler.dump_traceback_later(60, exit=True)
real, made, here = threading.RLock, [], threading.get_ident()
ident = threading.get_ident
LEAF = {names}
class Watched:
    '''A lock of slotel's in which foreign code runs each time that it is taken.'''
    def __init__(self, place):
        self.place, self.lock, self.inside, self.driven = place, real(), 0, 0
        made.append(self)
    def acquire(self, *args, **named):
        if held and ident() == here and not self.lock._is_owned() and waits[0] is not None:
            waits[0].add(self.place)
        if not self.lock.acquire(*args, **named):
            return False
        self.inside += 1
        if armed[0] and self.inside == 1 and ident() == here and self.place not in LEAF and self.driven < 30:
            self.drive()
        return True
    def drive(self):
        armed[0], before = False, waits[0]
        waits[0] = set()
        held.append(self)
        try:
            foreign()
        finally:
            held.pop()
            seen.setdefault(self.place, set()).update(waits[0])
            waits[0], armed[0] = before, True
            self.driven += 1
    def release(self):
        self.inside -= 1
        self.lock.release()
    def _is_owned(self): return self.lock._is_owned()
    def __enter__(self): self.acquire(); return self
    def __exit__(self, *_): self.release()
held, waits, armed, seen = [], [None], [False], {{}}
def factory():
    frame = sys._getframe(1)
    name = frame.f_code.co_filename
    if "slotel/runtime" not in name: return real()
    import linecache
    line = linecache.getline(name, frame.f_lineno)
    return Watched(f"{{name.partition('slotel/runtime/')[2]}}:{{line.partition('=')[0].partition(':')[0].strip()}}")
threading.RLock = factory

os.environ.update(
    OTEL_SERVICE_NAME="x", OTEL_EXPORTER_PROMETHEUS_PORT="0", SLOTEL_CONFIG={config!r},
    SENTRY_DSN="http://k@127.0.0.1:9/1", SENTRY_TRACES_SAMPLE_RATE="1.0", {environ}
)
from slotel.runtime.bootstrap import start
runtime = start(os.environ)
runtime.ticker.stop()
from opentelemetry import trace, metrics
from opentelemetry.trace import SpanKind, StatusCode
import sentry_sdk
sender = getattr(sentry_sdk.get_client().transport, "sender", None)
if sender is not None:
    sender.report.enabled, sender._unencoded._most = True, 3  # some are lost
tracer, now = trace.get_tracer("t"), [time.time_ns()]
from slotel.runtime.budget import windows
runtime.budget_windows._clock = runtime.budget_windows._wall = lambda: now[0] / 1e9
http = None
if runtime.http_server_metrics is not None:
    http = runtime.http_server_metrics.get_meter("t").create_histogram("http.server.request.duration", "s")
    active = runtime.http_server_metrics.get_meter("t").create_up_down_counter("http.server.active_requests")
from slotel.runtime.requests.in_progress import InProgress
in_progress = InProgress(lambda _list: True, list)
number = [0]
def work():
    number[0] += 1
    now[0] += 11_000_000_000                      # each span opens a new bucket
    with tracer.start_as_current_span(f"GET /{{number[0] % 7}}", kind=SpanKind.SERVER) as span:
        with tracer.start_as_current_span("child"): pass
        if number[0] % 2: span.set_status(StatusCode.ERROR)
        if http is not None:
            http.record(0.1, {{"a": str(number[0] % 5)}}); active.add(1, {{"a": str(number[0] % 5)}})
        span.end(end_time=now[0])
    for _ in range(1200 if number[0] % 40 == 1 else 0): tracer.start_span("many").end()
    if number[0] % 5 == 0: runtime.self_metrics.dropped("spans", "test")
    if number[0] % 9 == 0: sentry_sdk.capture_message("from anywhere")
"""


def drive(
    kind: str, tmp_path: Path, environ: str = "", leaf: set[str] = frozenset()
) -> subprocess.CompletedProcess[str]:
    config = tmp_path / "slotel.yaml"
    config.write_text(
        "version: 1\nslos: [{name: avail, objective: 99%}]\nsentry: {keep: [errors, slow: 1ms]}\n"
    )
    foreign = {
        "signal handler": """
            signal.signal(signal.SIGALRM, lambda *_: work())
            def foreign(): signal.raise_signal(signal.SIGALRM)
        """,
        "finalizer": """
            gc.disable()
            def abandoned():
                try: yield
                finally: work()
            def foreign():
                one = abandoned(); next(one); ring = [one]; ring.append(ring); del one, ring
                gc.collect()
        """,
    }[kind]
    code = (
        HARNESS.format(config=str(config), environ=environ, names=sorted(leaf))
        + textwrap.dedent(foreign)
        + textwrap.dedent(
            """
        armed[0] = True
        for _ in range(25): work()
        in_progress.add({1: ["job"]}); in_progress.remove(1)
        runtime.budget_windows.window(0, 300)
        PROCESS = __import__("slotel.runtime.process.lifecycle", fromlist=["PROCESS"]).PROCESS
        PROCESS.register("breaches", tick=work)
        PROCESS.tick()
        assert start(os.environ) is runtime
        runtime.store.snapshot()
        if runtime.endpoint is not None: list(runtime.endpoint._exposition.render(runtime.endpoint.families()))
        for _ in range(3): runtime.flush(0.7)
        child = os.fork()
        if child == 0:
            work(); os._exit(0)
        os.waitpid(child, 0)
        PROCESS.tick()
        runtime.pipeline.add_sink(runtime.pipeline.sinks[0])
        runtime.pipeline.shutdown()
        armed[0] = False
        for place in sorted({each.place for each in made}):
            driven = sum(each.driven for each in made if each.place == place)
            print(place, "driven" if driven or place in LEAF else "NOT DRIVEN", sorted(seen.get(place, ())))
        os._exit(0)
        """
        )
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("kind", ["signal handler", "finalizer"])
def test_foreign_code_inside_every_lock_of_the_runtime_hangs_nothing_and_waits_for_the_stores_lock_alone(
    kind, tmp_path
):
    """With two locks that such code waits for, two threads could hold one each and wait for the other."""
    leaf = {f"{room}" for room in leaf_locks()}
    done = drive(kind, tmp_path, leaf=leaf)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr[-3000:]
    assert lines, done.stderr[-3000:]
    waited = {place for line in lines for place in ast.literal_eval(line[line.index("[") :])}
    assert waited - leaf <= {"metrics/store/store.py:self.lock"}
    assert not [line for line in lines if "NOT DRIVEN" in line]


def leaf_locks():
    for room, tree in files():
        if any("_leaf_lock" in ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Assign)):
            yield f"{room}:self._leaf_lock"


@pytest.mark.parametrize("kind", ["alarm", "finalizer"])
def test_a_span_that_ends_in_the_middle_of_anything_hangs_nothing(kind, tmp_path):
    """The real thing, a second long: an alarm every 20 µs, or an abandoned generator in each collection."""
    config = tmp_path / "slotel.yaml"
    config.write_text("version: 1\nslos: [{name: avail, objective: 99%}]\n")
    code = f"""
        import gc, os, signal, time, faulthandler
        os.environ.update(OTEL_SERVICE_NAME="x", OTEL_METRICS_EXPORTER="none", SLOTEL_CONFIG={str(config)!r},
                          SENTRY_DSN="http://k@127.0.0.1:9/1")
        faulthandler.dump_traceback_later(40, exit=True)
        from slotel.runtime.bootstrap import start
        runtime = start(os.environ)
        from opentelemetry import trace
        from opentelemetry.trace import SpanKind
        tracer, now = trace.get_tracer("t"), [time.time_ns()]
        runtime.budget_windows._clock = runtime.budget_windows._wall = lambda: now[0] / 1e9
        handled = []  # appended to: another thread's collection may run a finalizer at the same time

        def end_one(*_):
            handled.append(None)
            tracer.start_span("foreign", kind=SpanKind.SERVER).end(end_time=now[0])

        def abandoned():
            try:
                yield
            finally:
                end_one()

        if {kind!r} == "alarm":
            signal.signal(signal.SIGALRM, end_one)
        else:
            gc.set_threshold(20)
        until, count = time.monotonic() + 1.5, 0
        while time.monotonic() < until:
            if {kind!r} == "alarm":
                signal.setitimer(signal.ITIMER_REAL, 0.00002)
            else:
                one = abandoned(); next(one); ring = [one]; ring.append(ring); del one, ring
            now[0] += 10_000_000_000
            tracer.start_span("GET /", kind=SpanKind.SERVER).end(end_time=now[0])
            count += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.collect()
        def counted():
            calls = next(f for f in runtime.store.snapshot() if f.name == "traces_span_metrics_calls")
            return sum(row[0] for row in calls.series.values())

        while counted() != count + len(handled) and time.monotonic() < until + 10:
            time.sleep(0.05)  # a finalizer of another thread's collection is between its note and its span
        print(len(handled) > 10, counted() == count + len(handled), flush=True)
        os._exit(0)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=90
    )
    assert done.stdout == "True True\n", done.stderr[-3000:]


def test_a_measurement_in_the_middle_of_one_hangs_no_instrument_of_the_sdk(tmp_path):
    """A number whose own methods record: inside the SDK's lock of a value, and inside that of its exemplars."""
    code = """
        import faulthandler, os
        faulthandler.dump_traceback_later(30, exit=True)
        os.environ.update(OTEL_SERVICE_NAME="x", OTEL_METRICS_EXPORTER="none", OTEL_METRICS_EXEMPLAR_FILTER="always_on")
        from slotel.runtime.bootstrap import start
        start(os.environ)
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        reader = InMemoryMetricReader()
        metrics.get_meter_provider().add_metric_reader(reader)
        meter = metrics.get_meter("t")
        counter, histogram = meter.create_counter("c"), meter.create_histogram("h")
        inside, depth = {"__radd__": 0, "__lt__": 0, "__gt__": 0}, []

        def foreign(name):
            def method(self, other):
                if not depth:
                    inside[name] += 1
                    depth.append(name)
                    counter.add(1)
                    histogram.record(1)
                    depth.pop()
                return getattr(float, name)(self, other)
            return method

        Number = type("Number", (float,), {name: foreign(name) for name in inside})
        for _ in range(5):
            counter.add(Number(1))
            histogram.record(Number(7))
        reader.collect()
        print(inside["__radd__"] > 0, inside["__lt__"] + inside["__gt__"] > 0, flush=True)
        os._exit(0)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "True True\n", done.stderr[-3000:]
