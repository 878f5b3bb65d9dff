"""One scrape answers for the whole service, under the real launcher: requests sent = requests counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest

from launch import APPS, Launched, clean_environ, wait_until
from metrics_sink import Sink

CALLS = "traces_span_metrics_calls_total"
GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--graceful-timeout", "5", "--workers", "3")
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
        pytest.param((*UVICORN, "--workers", "2"), id="uvicorn workers"),
        pytest.param((*UVICORN, "--reload"), id="uvicorn reload"),
    ],
)
def test_every_request_is_counted_whichever_process_took_it(command):
    needs = "flask" if "flask_app" in " ".join(command) else "fastapi"
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
        places = [Path(place) for place in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm", "/tmp") if place]
        shared = [path for place in places for path in place.glob(f"slotel-*-{service.pid}-*")]
        assert len(shared) == (0 if command[0] == sys.executable else 1), "a process alone creates nothing"


def test_killed_workers_take_no_count_with_them_and_nothing_falls():
    """gunicorn starts new ones; each time under load, at a moment that nobody chose."""
    with launched(*GUNICORN, "--threads", "2", "flask_app:app", needs="flask") as service:
        service.wait_ready()
        answered, ended = [], threading.Event()

        def load() -> None:
            while not ended.is_set():
                with suppress(OSError, HTTPException):  # its worker was killed
                    answered.append(service.get("/ok")[0])

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        seen = [0.0]
        try:
            for _ in range(8):
                before = len(answered)
                wait_until(lambda goal=before + 15: len(answered) >= goal, "load")
                victim = workers_of(service)[0]
                os.kill(victim.pid, signal.SIGKILL)
                seen.append(counted(service))
        finally:
            ended.set()
            for thread in threads:
                thread.join(15)
        assert set(answered) == {200}
        wait_until(lambda: counted(service) >= len(answered), "all that was answered is counted", 30)
        seen.append(counted(service))
        assert seen == sorted(seen)
        assert counted(service) <= len(answered) + 8 * 2, (
            "a request may be counted whose answer died with its worker"
        )


def test_when_the_holder_of_the_port_dies_another_answers_and_nothing_falls():
    """uvicorn's parent holds the port; without it its orphans go on, and one of them answers."""
    with launched(*UVICORN, "--workers", "2", needs="fastapi") as service:
        service.wait_ready()
        sent(service, 40)
        wait_counted(service, 40)
        children = workers_of(service)
        os.kill(service.pid, signal.SIGKILL)
        try:

            def taken_over() -> bool:
                try:
                    return counted(service) == 40
                except OSError:
                    return False

            wait_until(taken_over, "an orphan answers", 10)
            sent(service, 20)
            wait_counted(service, 60)
        finally:
            for child in children:
                child.kill()


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
        [sys.executable, "-c", produce], env=clean_environ(**env), cwd=APPS, check=True, timeout=60
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


def test_each_worker_pushes_its_own_counts_under_its_own_name():
    """OTLP merges nothing: together the workers' last words are what was sent."""
    sink = Sink()
    env = {
        "OTEL_METRICS_EXPORTER": "prometheus,otlp",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": sink.address,
        "OTEL_METRIC_EXPORT_INTERVAL": "300",
    }

    def pushed() -> dict[str, int]:
        """The last count of each instance."""
        last = {}
        for request in list(sink.received):
            for resource in request.resource_metrics:
                named = {a.key: a.value.string_value for a in resource.resource.attributes}
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    for point in metric.sum.data_points if metric.name == "traces.span.metrics.calls" else ():
                        if any(a.value.string_value == "GET /ok" for a in point.attributes):
                            last[named["service.instance.id"]] = point.as_int
        return last

    try:
        with launched(*GUNICORN, "--threads", "2", "flask_app:app", needs="flask", **env) as service:
            service.wait_ready()
            sent(service, 90)
            wait_until(lambda: sum(pushed().values()) >= 90, f"all is pushed: {pushed()}", 20)
            assert sum(pushed().values()) == 90 == counted(service)
            assert len(pushed()) > 1
    finally:
        sink.close()
