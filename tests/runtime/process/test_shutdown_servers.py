"""Real servers that are told to end right after their last answer: every transaction and every error arrives."""

import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, Launched, clean_environ, wait_until

GUNICORN = ("gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "--log-level", "warning")
UVICORN = ("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning")
WORKERS = ("--workers", "2", "--timeout-worker-healthcheck", "60")
WAITRESS = ("waitress-serve", "--listen", "127.0.0.1:{port}", "flask_app:app")
INSTRUMENTATIONS = "celery,django,requests,urllib3"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(WAITRESS, id="waitress"),
        pytest.param((*GUNICORN, "flask_app:app"), id="gunicorn sync"),
        pytest.param((*GUNICORN, "--preload", "--threads", "2", "flask_app:app"), id="gunicorn gthread"),
        pytest.param(
            (*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "fastapi_app:app"), id="gunicorn uvicorn"
        ),
        pytest.param((*UVICORN, "fastapi_app:app"), id="uvicorn"),
        pytest.param((*UVICORN, *WORKERS, "fastapi_app:app"), id="uvicorn workers"),
        pytest.param((sys.executable, "fastapi_app.py"), id="uvicorn in code"),
    ],
)
def test_a_server_that_ends_right_after_its_last_answer_loses_nothing(command):
    with SentrySink() as sentry:
        env = {
            "SENTRY_DSN": sentry.dsn(),
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": INSTRUMENTATIONS,
        }
        with Launched(*command, env=env) as service:
            service.wait_ready()
            with ThreadPoolExecutor(4) as pool:
                answers = Counter(
                    pool.map(lambda n: service.get("/error" if n % 10 == 0 else "/ok")[0], range(100))
                )
            log = service.stop()
        assert answers == {200: 90, 500: 10}
        names = Counter(event["transaction"] for event in sentry.payloads("transaction"))
        events = [event for event in sentry.payloads("event") if event.get("logger") != "slotel.budget"]
    late = {signal: int(count) for count, signal in re.findall(r"lost (\d+) (\w+): the process ended", log)}
    sent = names["GET /ok"] + names["GET /error"]
    # a machine that is busy many times over may need more than the two seconds that Sentry's options give: said then
    assert (sent + late.get("traces", 0), len(events) + late.get("errors", 0)) == (100, 10), log
    assert os.getloadavg()[0] > 4 * (os.cpu_count() or 1) or not late, log


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_celery_worker_that_ends_right_after_its_last_task_loses_nothing(pool, tmp_path: Path):
    with SentrySink() as sentry:
        env = {"SENTRY_DSN": sentry.dsn(), "APP_BROKER": str(tmp_path)}
        command = ("celery", "-A", "celery_app", "worker", "-P", pool, "-c", "2", "-l", "warning")
        produce = "import celery_app\nfor n in range(20): celery_app.app.send_task('shop.plain')"
        sent = subprocess.run(
            [sys.executable, "-c", produce],
            env=clean_environ(**env),
            cwd=APPS / "errors",
            timeout=170,
            check=False,
        )
        assert sent.returncode == 0
        with Launched(*command, env=env, cwd=APPS / "errors") as worker:
            wait_until(lambda: counted(worker) == 20, "every task is counted")
            log = worker.stop()
        names = Counter(event["transaction"] for event in sentry.payloads("transaction"))
        events = [event for event in sentry.payloads("event") if event.get("logger") != "slotel.budget"]
    assert (names, len(events)) == ({"run/shop.plain": 20}, 20), log


def counted(worker: Launched) -> float:
    try:
        return worker.sample("traces_span_metrics_calls_total", span_name="run/shop.plain")
    except OSError:
        return 0.0


def test_what_goes_to_a_collector_leaves_too():
    """Spans and the service's counts by OTLP: the SDK's batch exporter and its periodic reader hold them."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from slotel.cli.sink.envelope import unpacked

    with SentrySink() as collector:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": INSTRUMENTATIONS,
        }
        with Launched(*WAITRESS, env=env) as service:
            service.wait_ready()
            assert {service.get("/ok")[0] for _ in range(50)} == {200}
            log = service.stop()
        bodies = {"/v1/traces": [], "/v1/metrics": []}
        for each in collector.others:
            bodies[each.target].append(unpacked(each.body, each.headers.get("content-encoding", "")))
    traces = [ExportTraceServiceRequest.FromString(body) for body in bodies["/v1/traces"]]
    spans = [s.name for t in traces for r in t.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert spans.count("GET /ok") == 50, log
    last = ExportMetricsServiceRequest.FromString(bodies["/v1/metrics"][-1])
    counted = {
        metric.name: [
            (list(point.attributes), point.as_double or point.as_int) for point in metric.sum.data_points
        ]
        for resource in last.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert [value for _, value in counted["orders"]] == [50]
    assert [value for labels, value in counted["slo_events"] if "good" in str(labels)] == [50]
