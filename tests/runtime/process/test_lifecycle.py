"""One owner of a process's life: what is registered, in which order it runs, and that it stays the only one."""

import ast
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from slotel.runtime.process import lifecycle, threads
from slotel.runtime.process.lifecycle import PHASES, TABLE, ProcessLifecycle
from slotel.runtime.process.threads import ForkSafeThread
from slotel.runtime.process.ticker import Ticker

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src/slotel"
OWNED = {
    "register_at_fork": "PROCESS.register",
    "atexit.register": "PROCESS.register",
    "signal.signal": "runtime/process/shutdown.py",
    "signal.setitimer": "runtime/process",
    "threading.Thread": "start_daemon or ForkSafeThread",
    "threading.Timer": "PROCESS.register(…, tick=…)",
    "start_new_thread": "start_daemon",
    "ThreadPoolExecutor": "start_daemon",
}


def test_only_the_room_of_the_process_registers_hooks_signals_and_threads():
    found = []
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).as_posix()
        if room.startswith(("runtime/process/", "cli/")):  # a command is a process of its own
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                found += [
                    f"{room}:{node.lineno} {name}: use {instead}"
                    for name, instead in OWNED.items()
                    if f".{called}".endswith(f".{name}") or called == name.rpartition(".")[2]
                ]
    assert found == []


def test_every_registration_is_in_the_table_and_every_phase_of_the_table_is_registered():
    """The table is what runs: a row that nothing registers is a lie as much as a callback without a row."""
    registered: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "PROCESS.register":
                component = ast.literal_eval(node.args[0])
                registered.setdefault(component, set()).update(each.arg for each in node.keywords)
    described = {row.component: {phase for phase in PHASES if getattr(row, phase)} for row in TABLE}
    assert registered == described


def test_what_the_table_does_not_describe_cannot_be_registered():
    with pytest.raises(ValueError, match="'store' does at 'tick'"):
        ProcessLifecycle().register("store", tick=print)
    with pytest.raises(ValueError, match="'nobody'"):
        ProcessLifecycle().register("nobody", tick=print)


@pytest.fixture
def life(monkeypatch):
    """A lifecycle of its own, called by nobody but the test."""
    made = ProcessLifecycle()
    monkeypatch.setattr(made, "hook", lambda: None)
    return made


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("before_fork", ["endpoint", "workers", "store"]),
        ("after_fork_in_child", ["store", "workers", "endpoint"]),
    ],
)
def test_the_order_is_the_tables_whatever_was_registered_first(life, phase, expected):
    called = []
    for component in ("workers", "endpoint", "store"):
        life.register(component, **{phase: lambda component=component: called.append(component)})
    life.run(phase)
    assert called == expected


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_callback_that_fails_keeps_no_other_from_running(life, error):
    called, told = [], []
    life.fault = lambda component, error: told.append((component, type(error)))

    def fail():
        raise error

    life.register("store", after_fork_in_child=lambda: called.append("store"))
    life.register("workers", after_fork_in_child=fail)
    life.register("endpoint", after_fork_in_child=lambda: called.append("endpoint"))
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            life.run("after_fork_in_child")
    else:
        life.run("after_fork_in_child")
        assert told == [("workers", ValueError)]
    assert called == ["store", "endpoint"]


def test_a_component_that_is_gone_is_not_called(life):
    called = []

    class Component:
        def tick(self):
            called.append(1)

    component = Component()
    life.register("breaches", tick=component.tick)
    life.tick()
    del component
    life.tick()
    assert called == [1]


# -- threads and ticks -------------------------------------------------------------------------------------------


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run code; Python from 3.12 warns of each fork of a process with threads, with slotel as with any other."""
    quiet = ("-W", "ignore:This process:DeprecationWarning")
    return subprocess.run(
        [sys.executable, *quiet, *options, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def printed(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what a start in code printed beside its own start lines."""
    starts = ("INFO slotel", "WARNING slotel: SENTRY_DSN is not set")
    return [line for line in done.stderr.splitlines() if not line.startswith(starts)]


def test_a_process_that_forks_more_often_than_it_ticks_still_ticks():
    """Each fork stops the thread; the tick that was due stays due."""
    done = run(
        """
        import os, time
        from slotel.runtime.process.ticker import Ticker
        ticks = []
        begun, forks = time.monotonic(), 0
        ticker = Ticker(lambda: ticks.append(time.monotonic()), interval=0.5)
        ticker.start()
        while len(ticks) < 4 and time.monotonic() < begun + 30:
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            forks += 1
            time.sleep(0.02)
        print(forks > 6, len(ticks) >= 4, ticks[3] - begun >= 4 * 0.5)
        """
    )
    assert (done.stdout, done.stderr) == ("True True True\n", "")


def test_a_forked_child_ticks_by_itself():
    ticks = run(
        """
        import os, time
        from slotel.runtime.process.ticker import Ticker
        ticks = []

        def tick():
            ticks.append(os.write(1, b"p" if os.getpid() == parent else b"c"))

        ticker = Ticker(tick, interval=0.3)
        parent = os.getpid()
        ticker.start()
        child = os.fork()
        before, end = len(ticks), time.monotonic() + 30
        while len(ticks) < before + 3 and time.monotonic() < end:
            time.sleep(0.02)
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        """
    )
    assert ticks.stderr == ""
    assert ticks.stdout.count("p") >= 3
    assert ticks.stdout.count("c") >= 3


def test_forks_from_several_threads_at_once_raise_nothing_and_print_nothing():
    done = run(
        """
        import os, threading, time, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        os.environ.update(OTEL_SERVICE_NAME="x", OTEL_EXPORTER_PROMETHEUS_PORT="0", OTEL_TRACES_EXPORTER="none")
        from slotel.runtime.bootstrap import start
        sys.setswitchinterval(1e-5)
        start(os.environ)
        from opentelemetry import trace
        errors = []

        def forks():
            try:
                for _ in range(15):
                    trace.get_tracer("t").start_span("x").end()
                    child = os.fork()
                    if child == 0:
                        os._exit(0)
                    assert os.waitpid(child, 0)[1] == 0
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=forks) for _ in range(6)]
        [each.start() for each in threads]
        [each.join() for each in threads]
        names = sorted(each.name for each in threading.enumerate() if each.name.startswith("slotel"))
        print(errors, names)
        """
    )
    assert done.stdout == "[] ['slotel-scrape', 'slotel-ticker']\n"
    assert printed(done) == []


def test_a_fork_in_the_middle_of_another_forks_callbacks_harms_neither():
    """A signal handler may fork at any bytecode: also while the callbacks of a fork run."""
    done = run(
        """
        import os, signal, sys
        os.environ.update(OTEL_SERVICE_NAME="x", OTEL_EXPORTER_PROMETHEUS_PORT="0", OTEL_TRACES_EXPORTER="none")
        from slotel.runtime.bootstrap import start
        start(os.environ)
        from slotel.runtime.process.lifecycle import PROCESS

        def fork():
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)

        signal.signal(signal.SIGUSR1, lambda *_: fork())
        PROCESS.register("workers", before_fork=lambda: nested.pop()() if nested else None)
        for _ in range(5):
            nested = [lambda: signal.raise_signal(signal.SIGUSR1)]
            fork()
        import threading
        print(sorted(each.name for each in threading.enumerate() if each.name.startswith("slotel")))
        """
    )
    assert done.stdout == "['slotel-scrape', 'slotel-ticker']\n"
    assert printed(done) == []


def test_a_thread_that_forks_itself_goes_on_alone():
    runs = []

    def work(stop):
        runs.append(thread.pause())
        thread.resume()
        stop.wait(30)

    thread = ForkSafeThread("slotel-test", work)
    thread.start()
    deadline = time.monotonic() + 20
    while not runs and time.monotonic() < deadline:
        time.sleep(0.01)
    names = [each.name for each in threading.enumerate()]
    thread.stop()
    assert runs == [False]
    assert names.count("slotel-test") == 1


def test_a_thread_inherits_neither_the_sentry_scope_nor_the_span_of_who_starts_it():
    """sentry-sdk and the threading instrumentation hand both on by a wrapped `Thread.start`."""
    done = run(
        """
        import sentry_sdk
        from opentelemetry import trace
        from opentelemetry.instrumentation.threading import ThreadingInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from sentry_sdk.integrations.threading import ThreadingIntegration
        from slotel.runtime.process.threads import start_daemon
        import threading
        ThreadingInstrumentor().instrument()
        sentry_sdk.init(dsn="http://k@127.0.0.1:9/1", default_integrations=False,
                        auto_enabling_integrations=False, integrations=[ThreadingIntegration()])
        tracer = TracerProvider().get_tracer("t")

        def look():
            scope = sentry_sdk.get_isolation_scope()
            print(scope._tags.get("who"), trace.get_current_span().get_span_context().is_valid)

        with sentry_sdk.isolation_scope() as scope, tracer.start_as_current_span("request"):
            scope.set_tag("who", "alice")
            start_daemon("slotel-test", look).join()
            other = threading.Thread(target=look)  # with sentry-sdk's `run`, not the instrumentation's
            other.start()
            other.join()
        """
    )
    assert done.stdout == "None False\nalice False\n", done.stderr


def test_pausing_a_thread_from_many_threads_at_once_leaves_one_thread():
    thread = ForkSafeThread("slotel-many", lambda stop: stop.wait(30))
    thread.start()
    errors = []

    def toggle():
        try:
            for _ in range(30):
                thread.pause()
                thread.resume()
        except RuntimeError as error:
            errors.append(error)

    togglers = [threading.Thread(target=toggle) for _ in range(4)]
    for each in togglers:
        each.start()
    for each in togglers:
        each.join()
    alive = [each.name for each in threading.enumerate()].count("slotel-many")
    thread.stop()
    assert (errors, alive) == ([], 1)


def test_a_thread_that_does_not_stop_in_time_goes_on_and_gets_no_second_one_beside_it(monkeypatch):
    """A callback of the app's metrics may take seconds, and a server may fork meanwhile, many times."""
    monkeypatch.setattr("slotel.runtime.process.threads._JOIN", 0.01)
    busy, turns = threading.Event(), []

    def work(stop):
        busy.wait(30)
        turns.append(stop.is_set())
        stop.wait(30)

    thread = ForkSafeThread("slotel-busy", work)
    thread.start()
    paused = []
    for _ in range(20):
        paused.append(thread.pause())
        thread.resume()
    names = [each.name for each in threading.enumerate()].count("slotel-busy")
    busy.set()
    deadline = time.monotonic() + 20
    while not turns and time.monotonic() < deadline:
        time.sleep(0.01)
    monkeypatch.setattr("slotel.runtime.process.threads._JOIN", 20)
    thread.stop()
    after = [each.name for each in threading.enumerate()].count("slotel-busy")
    assert (paused, names, turns, after) == ([False] * 20, 1, [False], 0)


def test_a_thread_that_a_child_cannot_start_keeps_no_other_from_starting(monkeypatch, caplog):
    """Where gevent has patched the process, a child's threads start together, behind gevent's hook."""
    monkeypatch.setattr(ForkSafeThread, "starts_last", True)
    first, second = (
        ForkSafeThread(f"slotel-{each}", lambda stop: stop.wait(30)) for each in ("none", "some")
    )
    for each in (first, second):
        each.start()
        each.pause()
        each.resume_in_child()
    monkeypatch.setattr(first, "resume", lambda: int("no thread is left"))
    threads._start_held()
    alive = [each.name for each in threading.enumerate() if each.name in {first.name, second.name}]
    second.stop()
    assert alive == ["slotel-some"]
    assert "slotel-none: ValueError" in caplog.text


def test_a_child_has_new_locks_before_the_sdks_fork_hooks_run_in_it():
    """They read the resource anew, in threads; a finalizer that records a metric there waited for the parent's lock."""
    done = run(
        """
        import os, signal, threading
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        handle_fork = MeterProvider._handle_fork
        def record_first(provider):
            signal.alarm(20)
            histogram.record(1)
            handle_fork(provider)
        MeterProvider._handle_fork = record_first
        os.environ.update(OTEL_SERVICE_NAME="x", OTEL_METRICS_EXPORTER="none")
        from slotel.runtime.bootstrap import start
        start(os.environ)
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        metrics.get_meter_provider().add_metric_reader(InMemoryMetricReader())
        histogram, held, over = metrics.get_meter("t").create_histogram("h"), threading.Event(), threading.Event()

        class Slow(float):
            def __gt__(self, other):  # a boundary asks this one first
                held.set()
                over.wait(30)
                return False

        histogram.record(1)
        thread = threading.Thread(target=histogram.record, args=(Slow(1),))
        thread.start()
        assert held.wait(30)
        child = os.fork()
        if child == 0:
            os._exit(7)
        status = os.waitpid(child, 0)[1]
        over.set()
        thread.join()
        print(os.waitstatus_to_exitcode(status))
        """
    )
    assert done.stdout == "7\n", done.stderr[-3000:]


def test_a_tick_that_fails_is_reported_and_the_next_one_comes():
    life, ticks, told = ProcessLifecycle(), [], []
    life.fault = lambda component, error: told.append((component, str(error)))

    def fail():
        ticks.append(1)
        raise ValueError("no")

    life.register("breaches", tick=fail)
    ticker = Ticker(life.tick, interval=0.01)
    ticker.start()
    deadline = time.monotonic() + 20
    while len(ticks) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    ticker.stop()
    assert len(ticks) >= 3
    assert told[:2] == [("breaches", "no")] * 2


def test_the_table_of_the_architecture_page_is_the_tables():
    text = (ROOT / "docs/architecture.md").read_text()
    assert lifecycle.table_as_markdown() in text, "put the output of table_as_markdown() into the page"


def test_importing_the_lifecycle_registers_nothing():
    done = run(
        """
        import atexit, logging, os, threading, concurrent.futures.thread
        calls = []
        os.register_at_fork = lambda **hooks: calls.append(hooks)
        before = atexit._ncallbacks()
        import slotel.runtime.process.lifecycle
        print(atexit._ncallbacks() - before, [each for each in calls if "slotel" in str(each)])
        """
    )
    assert done.stdout == "0 []\n"
    assert lifecycle.PROCESS is not None
    assert os.name == "posix"


def test_a_thread_that_starts_with_a_process_is_in_the_list_of_threads_at_once():
    """gevent's worker reads `threading._active` without a lock right after its fork: nothing may enter it then."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1.0)  # the new thread runs only when it is waited for
    try:
        for start in (ForkSafeThread.start, _as_in_a_child):
            thread = ForkSafeThread("slotel-listed", lambda stop: stop.wait(30))
            start(thread)
            assert "slotel-listed" in {each.name for each in threading._active.values()}
            thread.stop()
    finally:
        sys.setswitchinterval(interval)


def _as_in_a_child(thread):
    thread._wanted = True
    thread.resume_in_child()


NO_THREADS = """
import os
from slotel.runtime.process import threads
def start(_thread): raise RuntimeError("can't start new thread")
threads._Daemon.start = start
from slotel.runtime.bootstrap import start
runtime = start(os.environ)
import sentry_sdk
from opentelemetry import trace
def request():
    with trace.get_tracer("t").start_as_current_span("GET /", kind=trace.SpanKind.SERVER):
        sentry_sdk.capture_message("served")
for _ in range(3): request()
child = os.fork()
if child == 0:
    request(); os._exit(0)
assert os.waitpid(child, 0)[1] == 0
families = {family.name: family.series for family in runtime.store.snapshot()}
print(sum(row[0] for row in families["traces_span_metrics_calls"].values()), sorted(families["slotel_stage_errors"]))
"""


@pytest.mark.process
def test_where_no_thread_can_be_started_the_app_runs_and_is_counted_and_what_cannot_work_is_named():
    """A double of a limit on threads: RLIMIT_NPROC does not hold for root."""
    done = subprocess.run(
        [sys.executable, "-c", NO_THREADS], capture_output=True, text=True, timeout=120,
        env={**os.environ, "OTEL_EXPORTER_PROMETHEUS_PORT": "0", "SENTRY_DSN": "http://k@127.0.0.1:9/1", "OTEL_TRACES_EXPORTER": "none"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counted, _, components = done.stdout.strip().partition(" ")
    assert counted == "4.0", done.stdout
    assert {("endpoint",), ("ticker",)} <= set(ast.literal_eval(components)), done.stdout
