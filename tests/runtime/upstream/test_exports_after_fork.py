"""What a forked child exports by OTLP comes once and whole, whatever its parent is exporting at the fork."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.launch import clean_environ
from support.program import Posts

pytestmark = pytest.mark.process

CHILDREN, EACH = 8, 40
APP = f"""
import logging, os, time
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

tracer, log = trace.get_tracer("app"), logging.getLogger("app")
log.setLevel(logging.INFO)
calls = metrics.get_meter("app").create_counter("app.calls")

def work(who):
    for number in range({EACH}):
        with tracer.start_as_current_span(f"{{who}} {{number}}"):
            log.info("%s %s", who, number)
        calls.add(1, {{"who": who}})
        time.sleep(0.005)

def flush():
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()):
        provider.force_flush()

work("parent")
children = []
for child in range({CHILDREN}):
    if not (pid := os.fork()):
        work(f"child {{child}}")
        flush()
        os._exit(0)
    children.append(pid)
    time.sleep(0.007)
for pid in children:
    os.waitpid(pid, 0)
"""


class Received:
    """Spans, log records and the counter of each process, as a collector that keeps connections takes them."""

    def __init__(self) -> None:
        self.spans: Counter[str] = Counter()
        self.logs: Counter[str] = Counter()
        self.calls: dict[tuple[str, str], int] = {}
        self.garbled: list[str] = []

    def take(self, handler, body: bytes) -> int:
        try:
            self._read(handler.path, body)
        except Exception as error:
            self.garbled.append(repr(error))
        return 200

    def _read(self, path: str, body: bytes) -> None:
        if path.endswith("traces"):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans.update(span.name for scope in resource.scope_spans for span in scope.spans)
        elif path.endswith("logs"):
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                records = (record for scope in resource.scope_logs for record in scope.log_records)
                self.logs.update(record.body.string_value for record in records)
        else:
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                process = str(
                    [each.value for each in resource.resource.attributes if each.key == "service.instance.id"]
                )
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    for point in metric.sum.data_points if metric.name == "app.calls" else ():
                        self.calls[process, point.attributes[0].value.string_value] = point.as_int


def test_spans_log_records_and_counts_of_forked_children_come_once_and_whole(tmp_path):
    app = tmp_path / "app.py"
    app.write_text(APP)
    received = Received()
    posts = Posts(received.take)
    environ = {
        **clean_environ(),
        "OTEL_SERVICE_NAME": "forking",
        "OTEL_EXPORTER_OTLP_ENDPOINT": posts.url,
        **dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "otlp"),
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_BLRP_SCHEDULE_DELAY": "20",
        "OTEL_METRIC_EXPORT_INTERVAL": "50",
        "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
        "OTEL_PYTHON_LOG_LEVEL": "info",
    }
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    try:
        done = subprocess.run(
            [launcher, sys.executable, app],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        posts.close()
    assert done.returncode == 0, done.stderr[-2000:]
    everybody = ("parent", *(f"child {child}" for child in range(CHILDREN)))
    once = dict.fromkeys((f"{who} {number}" for who in everybody for number in range(EACH)), 1)
    assert received.garbled == []
    assert {name: count for name, count in received.spans.items() if count > 1} == {}
    assert received.spans.keys() == once.keys()
    assert {body: count for body, count in received.logs.items() if body in once} == once
    assert sorted((who, count) for (_, who), count in received.calls.items()) == [
        (who, EACH) for who in sorted(everybody)
    ]
