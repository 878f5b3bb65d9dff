"""One scrape answers for the whole service, under real auto-instrumentation: requests sent = requests counted."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from support.launch import APPS, Launched, busy, clean_environ, wait_until
from support.metrics_sink import Sink

CALLS = "traces_span_metrics_calls_total"
WORKERS = 2
"""Each costs a start; two are as many as it takes to be several."""
GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--graceful-timeout", "5", "--workers", str(WORKERS))
UVICORN = (
    "uvicorn",
    "--timeout-worker-healthcheck",
    "60",
    "--port",
    "{port}",
    "--log-level",
    "warning",
    "fastapi_app:app",
)
UWSGI = ("pyuwsgi", "--http-socket", "127.0.0.1:{port}", "--master", "--processes", "2", "--die-on-term")
UWSGI += ("--virtualenv", sys.prefix, "--enable-threads", "--need-app", "--module", "flask_app:app")
FORK_HOOKS = ("--py-call-uwsgi-fork-hooks",)

INSTRUMENTATIONS = {"celery", "django", "fastapi", "flask", "requests", "urllib3"}


def launched(*command: str, needs: str = "", **env: str) -> Launched:
    """Start a service with the one instrumentation that it needs: each costs every process's start half a second."""
    others = ",".join(sorted(INSTRUMENTATIONS - {needs}))
    return Launched(*command, env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": others, **env})


def sent(service: Launched, times: int) -> None:
    """Send requests from four sides at once; each is answered."""
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: service.get("/ok")[0], range(times))) == {200}


def counted(service: Launched, name: str = "GET /ok") -> float:
    return service.sample(CALLS, span_name=name)


def wait_counted(service: Launched, times: int, name: str = "GET /ok") -> None:
    """A span is counted a moment after its response, and never twice."""
    wait_until(
        lambda: counted(service, name) >= times,
        f"{times} spans counted; at last {counted(service, name)}",
        30,
    )
    assert counted(service, name) == times


def workers_of(service: Launched) -> list[psutil.Process]:
    return psutil.Process(service.pid).children(recursive=True)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param((sys.executable, "flask_app.py"), id="one process"),
        pytest.param((sys.executable, "gevent_app.py"), id="one process, patched by gevent in code"),
        pytest.param((*GUNICORN, "flask_app:app"), id="gunicorn sync"),
        pytest.param(
            (*GUNICORN, "--preload", "--threads", "2", "flask_app:app"), id="gunicorn gthread preload"
        ),
        pytest.param(
            (*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "fastapi_app:app"), id="gunicorn uvicorn"
        ),
        pytest.param(
            (*GUNICORN, "--max-requests", "20", "--max-requests-jitter", "5", "flask_app:app"),
            id="gunicorn max_requests",
        ),
        pytest.param((*GUNICORN, "-k", "gevent", "flask_app:app"), id="gunicorn gevent"),
        pytest.param((*GUNICORN, "-k", "gevent", "--preload", "flask_app:app"), id="gunicorn gevent preload"),
        pytest.param((*UWSGI, *FORK_HOOKS), id="uwsgi"),
        pytest.param((*UWSGI, *FORK_HOOKS, "--lazy-apps"), id="uwsgi lazy-apps"),
        pytest.param((*UVICORN, "--workers", "2"), id="uvicorn workers"),
        pytest.param((*UVICORN, "--reload"), id="uvicorn reload"),
    ],
)
def test_every_request_is_counted_whichever_process_took_it(command):
    needs = "fastapi" if "fastapi_app:app" in command else "flask"
    with launched(*command, needs=needs) as service:
        service.wait_ready()
        sent(service, 120)
        wait_counted(service, 120)
        if needs == "flask":
            wait_until(
                lambda: service.sample("orders_total") == 120,
                f"the app's own counter: {service.sample('orders_total')}",
                30,
            )
        assert service.sample("slo_events_total", slo_outcome="good") == 120
        assert "EADDRINUSE" not in service.log and "ERROR slotel" not in service.log
        assert "failed, everything else works" not in service.log
        assert service.said("INFO slotel: slotel ")
        assert service.log.count("INFO slotel: slotel ") == 1
        if command == (*UVICORN, "--workers", "2"):
            assert_that_pythons_resource_tracker_runs_no_slotel(service)
        shared = list(Path(os.environ["XDG_RUNTIME_DIR"]).glob(f"slotel-*-{service.pid}-*"))
        assert len(shared) == (0 if command[0] == sys.executable else 1), "a process alone creates nothing"


class Watcher:
    """Scrapes without a pause; keeps every number that fell, and every histogram whose count is not its +Inf bucket."""

    def __init__(self, service: Launched) -> None:
        self.scrapes = 0
        self.faults: list[str] = []
        self._service = service
        self._highest: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self._look(text_string_to_metric_families(self._service.scrape()))
            except OSError as error:
                self.faults.append(f"scrape {self.scrapes + 1}: {error}")
                return
            self.scrapes += 1

    def _look(self, families: Iterable[Metric]) -> None:
        found = {
            (one.name, frozenset(one.labels.items())): one.value
            for family in families
            if family.type in {"counter", "histogram"}
            for one in family.samples
            if "worker" not in one.labels  # of one living process: it begins anew with the next
        }
        for key, before in self._highest.items():
            if found.get(key, -1.0) < before:
                self.faults.append(f"{key} fell from {before} to {found.get(key)}")
        for (name, labels), value in found.items():
            top = found.get((name.replace("_count", "_bucket"), labels | {("le", "+Inf")}), value)
            if name.endswith("_count") and top != value:
                self.faults.append(f"{name} {labels}: {value} counted, {top} in buckets")
        self._highest.update(found)


@pytest.mark.parametrize(("kills", "scrapes"), [(8, 40), pytest.param(20, 100, marks=pytest.mark.long)])
def test_many_kills_under_load_and_many_scrapes_nothing_lost_nothing_backwards(kills, scrapes):
    """gunicorn starts new ones; each is killed at a moment that nobody chose. Looks at every counter and histogram."""
    command = (*GUNICORN, "--preload", "--threads", "2", "flask_app:app")
    with launched(*command, needs="flask") as service:
        service.wait_ready()
        answered, ended = [], threading.Event()

        def load() -> None:
            while not ended.is_set():
                with suppress(OSError, HTTPException):  # its worker was killed
                    answered.append(service.get("/ok")[0])

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        killed: set[int] = set()
        try:
            with Watcher(service) as watcher:
                while (len(killed) < kills or watcher.scrapes < scrapes) and not watcher.faults:
                    before = len(answered)
                    wait_until(lambda goal=before + 20: len(answered) >= goal, "load")
                    if (
                        len(killed) >= 2 * kills
                    ):  # enough: the rest are scrapes, which forks without end only slow down
                        continue
                    victim = random.choice(workers_of(service))
                    with suppress(ProcessLookupError):
                        os.kill(victim.pid, signal.SIGKILL)
                        killed.add(victim.pid)
        finally:
            ended.set()
            for thread in threads:
                thread.join(15)
        assert set(answered) == {200}
        assert (watcher.faults, len(killed) >= kills, watcher.scrapes >= scrapes) == ([], True, True)
        wait_until(lambda: counted(service) >= len(answered), "all that was answered is counted", 30)
        assert counted(service) <= len(answered) + 2 * len(killed), "an answer may die with its worker"


@pytest.mark.parametrize("command", [UWSGI, tuple(word for word in UWSGI if word != "--master")])
def test_uwsgi_that_forks_without_pythons_hooks_is_told_what_to_set(command):
    with launched(*command, needs="flask") as service:
        service.wait_ready()
        wait_until(lambda: "ERROR slotel" in service.log, "the line, at the first tick", 20)
        workers = workers_of(service)
        service.stop()
        for each in workers:  # without a master they outlive the first process
            with suppress(psutil.NoSuchProcess):
                each.kill()
    assert (
        "ERROR slotel: uWSGI: it forks workers without Python's fork hooks: set 'py-call-uwsgi-fork-hooks = true', and "
        "'enable-threads = true' (what the workers count is not seen until then)"
    ) in service.log


def test_when_the_holder_of_the_port_dies_another_answers_within_a_second_and_nothing_falls():
    """uvicorn's parent holds the port; without it its orphans go on: one of them answers, and then another."""
    with launched(*UVICORN, "--workers", "3", needs="fastapi") as service:
        service.wait_ready()
        sent(service, 40)
        wait_counted(service, 40)
        children = workers_of(service)
        took: list[float] = []

        def holder() -> int:
            (found,) = [
                each.pid
                for each in [psutil.Process(service.pid), *children]
                if each.is_running()
                and any(
                    one.laddr.port == service.metrics_port and one.status == "LISTEN"
                    for one in each.net_connections("tcp")
                )
            ]
            return found

        def answers() -> bool:
            try:
                return counted(service) == 40
            except OSError:
                return False

        try:
            for _ in range(2):
                os.kill(holder(), signal.SIGKILL)
                killed = time.monotonic()
                wait_until(answers, "another answers", 10)
                took.append(time.monotonic() - killed)
            assert min(took) < 1.0 * busy(), took
            sent(service, 20)
            wait_counted(service, 60)
        finally:
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


def assert_that_pythons_resource_tracker_runs_no_slotel(service: Launched) -> None:
    trackers = [
        each.pid for each in workers_of(service) if any("resource_tracker" in part for part in each.cmdline())
    ]
    assert len(trackers) == 1
    wait_until(lambda: len(service.samples("process_start_time_seconds")) == 3, "parent and workers answer")
    tracked = {int(labels["pid"]) for labels, _ in service.samples("process_start_time_seconds")}
    assert not tracked & set(trackers)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_are_counted_after_they_ended(method):
    children, times = 2, 50
    with launched(sys.executable, "processes_app.py", method, str(children), str(times)) as service:
        wait_until(lambda: "all done" in service.log, "the children end")
        wait_counted(service, children * times + 2, "order")
        assert service.sample("orders_total") == children * times + 2


def test_celery_tasks_are_counted_over_recycled_children(tmp_path: Path):
    tasks = 40
    env = {"BROKER_DIR": str(tmp_path / "broker")}
    (tmp_path / "broker").mkdir()
    produce = f"import celery_app\nfor n in range({tasks}): celery_app.order.delay(n)"
    subprocess.run(
        [sys.executable, "-c", produce], env=clean_environ(**env), cwd=APPS, check=True, timeout=170
    )
    command = ("celery", "-A", "celery_app", "worker", "--concurrency", "2", "--loglevel", "WARNING")
    with launched(*command, needs="celery", **env) as service:

        def run() -> float:
            try:
                return counted(service, "run/celery_app.order")
            except OSError:
                return 0.0

        wait_until(lambda: run() >= tasks, f"the tasks are counted; it said {service.log}", 60)
        assert run() == tasks
        wait_until(lambda: service.sample("orders_total") >= tasks, "the app's own counter", 30)
        assert service.sample("orders_total") == tasks


def pushed(sink: Sink, metric: str, **attributes: str) -> dict[str, int]:
    """The last count of a metric by each instance: OTLP merges nothing."""
    last = {}
    for request in list(sink.received):
        for resource in request.resource_metrics:
            named = {a.key: a.value.string_value for a in resource.resource.attributes}
            for found in (found for scope in resource.scope_metrics for found in scope.metrics):
                for point in found.sum.data_points if found.name == metric else ():
                    if attributes.items() <= {a.key: a.value.string_value for a in point.attributes}.items():
                        last[named["service.instance.id"]] = point.as_int
    return last


def pushing(sink: Sink, interval: str = "300") -> dict[str, str]:
    return {
        "OTEL_METRICS_EXPORTER": "prometheus,otlp",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": sink.address,
        "OTEL_METRIC_EXPORT_INTERVAL": interval,
    }


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.close()


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each loads", "preload"])
def test_each_worker_pushes_its_own_counts_under_its_own_name(sink, preload):
    """Together the last words of master and workers are what happened, the app's own counter from before the fork once."""
    command = (*GUNICORN, *preload, "--threads", "2", "flask_app:app")
    with launched(*command, needs="flask", **pushing(sink)) as service:
        service.wait_ready()
        times = 0

        def calls() -> dict[str, int]:
            return pushed(sink, "traces.span.metrics.calls", **{"span.name": "GET /ok"})

        while len(calls()) < 2:  # on a quiet machine one worker may take all that come at first
            sent(service, 90)
            times += 90
            wait_until(lambda until=times: sum(calls().values()) >= until, f"all is pushed: {calls()}", 20)
            assert times < 3000
        assert sum(calls().values()) == times == counted(service)
        wait_until(lambda: sum(pushed(sink, "orders").values()) >= times, "the app's own counter", 20)
        assert sum(pushed(sink, "orders").values()) == times
        assert pushed(sink, "orders").keys() <= calls().keys()
        loads = 1 if preload else WORKERS
        wait_until(
            lambda: sum(pushed(sink, "loads").values()) >= loads, "what was counted before the fork", 20
        )
        assert sum(pushed(sink, "loads").values()) == loads
        assert sink.garbled == 0


def test_children_push_what_they_counted_since_the_fork_and_once_more_at_their_end(sink):
    """They end by `os._exit`, long before the next export; the parent had counted before it forked."""
    children, times = 3, 50
    command = (sys.executable, "processes_app.py", "fork", str(children), str(times))
    with launched(*command, **pushing(sink, "3600000")) as service:
        wait_until(lambda: "all done" in service.log, "the children end")
        service.stop(signal.SIGINT)  # the parent pushes at its own end
    expected = [2, *[times] * children]
    assert sorted(pushed(sink, "orders").values()) == expected
    assert sorted(pushed(sink, "traces.span.metrics.calls").values()) == expected
