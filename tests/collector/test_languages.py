"""Services without slotel, with their languages' own instrumentations: Go by HTTP and gRPC, and messages by Celery."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from slotel.compile import rules
from slotel.config.load import read_configuration
from support.gotool import built
from support.launch import wait_until
from support.otelcol import ROOT, Collector
from support.otlp import OtlpSink
from support.prom import Prometheus

CALLS = "traces_span_metrics_calls_total"
SLOTEL_YAML = """\
version: 1
service: {service}
monitoring:
  source: span_metrics
slos:
  - name: availability
    objective: 99%
    period: 30d
"""


@pytest.fixture(scope="module")
def sink():
    with OtlpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def running(otelcol, sink, tmp_path_factory):
    state = tmp_path_factory.mktemp("languages") / "state"
    env = {"SENTRY_OTLP_TRACES_URL": sink.url}
    with Collector(otelcol, state, "otel-collector.yaml", env=env) as running:
        yield running


@pytest.fixture
def store(running, tmp_path):
    """A Prometheus with the rules of a service of another language."""

    @contextmanager
    def with_rules(service):
        file = tmp_path / "slotel.yaml"
        file.write_text(SLOTEL_YAML.format(service=service))
        [text] = rules.files(read_configuration({}, str(file)).service).values()
        (tmp_path / "rules.yaml").write_text(re.sub(r"interval: \S+", "interval: 1s", text))
        targets = {"collector": [f"127.0.0.1:{running.prometheus_port}"]}
        with Prometheus(tmp_path / "prometheus", targets, [tmp_path / "rules.yaml"]) as prometheus:
            prometheus.wait("sum(up)", 1)
            yield prometheus

    return with_rules


@contextmanager
def go_service(running):
    program = built(Path(__file__).with_name("go_service") / "build.sh")
    env = {
        "PATH": os.environ["PATH"],
        "OTEL_SERVICE_NAME": "go",
        "OTEL_EXPORTER_OTLP_ENDPOINT": running.otlp,
    }
    process = subprocess.Popen([program], env=env, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(15)
        process.stdout.close()


def get(address, path):
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_go_services_requests_are_counted_by_route_and_its_objective_is_measured(running, sink, store):
    with go_service(running) as address, store("go") as prometheus:
        assert [get(address, f"/items/{number}") for number in range(18)] == [200] * 18
        assert [get(address, "/fail") for _ in range(2)] == [500] * 2
        by_route = 'service_name="go",span_kind="SPAN_KIND_SERVER",http_route="{}"'
        prometheus.wait(f"sum({CALLS}{{{by_route.format('/items/{id}')}}})", 18)
        failed = f'{by_route.format("/fail")},http_response_status_code="500",status_code="STATUS_CODE_ERROR"'
        prometheus.wait(f"sum({CALLS}{{{failed}}})", 2)
        # The rules see what comes after a series' first sample.
        assert [get(address, f"/items/{number}") for number in range(9)] == [200] * 9
        assert get(address, "/fail") == 500
        ratio = 'slo:sli_error:ratio_rate5m{service="go",slo="availability"}'
        wait_until(lambda: 0.05 < prometheus.value(ratio) < 0.2, f"{ratio}: a tenth of the requests")
    wait_until(lambda: sum(span.service == "go" for span in sink.spans) >= 20, "its traces are shipped")


def test_a_go_services_grpc_calls_are_counted_on_both_sides_with_their_outcome(running):
    with go_service(running) as address:
        assert [get(address, "/grpc/whole") for _ in range(6)] == [200] * 6
        assert [get(address, "/grpc/unknown") for _ in range(3)] == [502] * 3
        name = "grpc.health.v1.Health/Check"
        for kind in ("SPAN_KIND_SERVER", "SPAN_KIND_CLIENT"):
            wait_until(
                lambda kind=kind: (
                    running.metric(CALLS, service_name="go", span_name=name, span_kind=kind) == 9
                ),
                f"all calls of {kind}",
            )
        errors = running.metric(
            CALLS,
            service_name="go",
            span_name=name,
            span_kind="SPAN_KIND_CLIENT",
            status_code="STATUS_CODE_ERROR",
        )
        assert errors == 3


def test_messages_are_counted_where_they_are_sent_and_where_they_are_worked_on(running, tmp_path):
    pytest.importorskip("celery")
    (tmp_path / "broker").mkdir()
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "tests/apps"),
        "BROKER_FOLDER": str(tmp_path / "broker"),
        "OTEL_PYTHON_DISTRO": "distro",
        "OTEL_PYTHON_CONFIGURATOR": "configurator",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": running.otlp,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    launcher = [str(Path(sys.executable).with_name("opentelemetry-instrument"))]
    celery = [
        *launcher,
        str(Path(sys.executable).with_name("celery")),
        "-A",
        "messages_worker",
        "worker",
        "--pool=solo",
    ]
    log = (tmp_path / "worker.log").open("w")
    worker = subprocess.Popen(
        [*celery, "--without-gossip", "--without-mingle"],
        env={**env, "OTEL_SERVICE_NAME": "packer"},
        cwd=tmp_path,
        stdout=log,
        stderr=log,
    )
    try:
        code = "import messages_worker as m; [m.packed.delay(number) for number in range(12)]"
        subprocess.run(
            [*launcher, sys.executable, "-c", code],
            env={**env, "OTEL_SERVICE_NAME": "shop"},
            cwd=tmp_path,
            check=True,
            timeout=60,
        )
        for service, kind, status, count in (
            ("shop", "SPAN_KIND_PRODUCER", "STATUS_CODE_UNSET", 12),
            ("packer", "SPAN_KIND_CONSUMER", "STATUS_CODE_UNSET", 9),
            ("packer", "SPAN_KIND_CONSUMER", "STATUS_CODE_ERROR", 3),
        ):
            labels = {"service_name": service, "span_kind": kind, "status_code": status}
            wait_until(
                lambda labels=labels, count=count: running.metric(CALLS, **labels) == count,
                f"{count} of {labels}; the worker said:\n{(tmp_path / 'worker.log').read_text()[-2000:]}",
                60,
            )
    finally:
        worker.terminate()
        worker.wait(30)
        log.close()
