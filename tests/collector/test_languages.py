"""Services without slotel, with their languages' own instrumentations: Go by HTTP and gRPC, and messages by Celery."""

import json
import math
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from slotel.compile import dashboards
from slotel.compile.prometheus import rules
from slotel.config.load import read_configuration
from slotel.config.service import Service
from support.backfilled import Past
from support.gotool import built
from support.launch import wait_until
from support.npm import installed
from support.otelcol import ROOT, WITHOUT_POLICY, Collector
from support.prom import Prometheus
from support.real import require_real
from support.shown import ask, faults, panels, resolve

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
def running(otelcol, sink, tmp_path_factory):
    state = tmp_path_factory.mktemp("languages") / "state"
    env = {"SENTRY_OTLP_TRACES_URL": sink.url}
    with Collector(otelcol, state, "otel-collector.yaml", WITHOUT_POLICY, env=env) as running:
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
def node_service(running, conventions):
    folder = installed(Path(__file__).with_name("node_service"))
    env = {
        "PATH": os.environ["PATH"],
        "OTEL_SERVICE_NAME": f"node-{conventions or 'old'}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": running.otlp,
        "OTEL_SEMCONV_STABILITY_OPT_IN": conventions,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    process = subprocess.Popen(
        [require_real("node"), "service.js"], cwd=folder, env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(15)
        process.stdout.close()


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
        with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def is_measured(prometheus, service):
    """Whether the rules show 1 to 3 failures of 10 to 30: what a scrape has seen before the first rate is not in it."""
    ratio = prometheus.value(f'slo:sli_error:ratio_rate5m{{service="{service}",slo="availability"}}')
    return 1 / 28 < ratio < 3 / 12


PANELS = {"Requests", "Latency", "Durations", "p95", "p95 by operation", "Operations"}
"""Of the service's dashboard: what is drawn from spans alone."""


def dead_panels(prometheus, service):
    """Which of them show nothing, or no number, of a service that lives."""
    board = json.loads(
        next(
            text for path, text in dashboards.files(Service(service)).items() if Path(path).stem == "service"
        )
    )
    now = math.ceil(time.time())  # a second that has begun: all may have been scraped within it
    past = Past(prometheus.url, now - 60, now)
    # instance and job are those of a runtime's own metrics, which this service does not send
    values = resolve(board, past, {"service": service}, quiet=frozenset({"instance", "job"}))
    shown = {panel["title"]: panel for panel in panels(board)}
    assert shown.keys() >= PANELS
    return [
        fault for title in sorted(PANELS) for fault in faults(shown[title], ask(shown[title], past, values))
    ]


def all_panels_are_alive(prometheus, service):
    dead = [None]

    def alive():
        dead[:] = dead_panels(prometheus, service)
        return not dead

    try:
        wait_until(alive, "every panel shows something", 30)
    except AssertionError as late:
        raise AssertionError(f"{late}; dead: {dead}") from None


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
        wait_until(lambda: is_measured(prometheus, "go"), "its objective's error rate")
        all_panels_are_alive(prometheus, "go")
    wait_until(lambda: sum(span.service == "go" for span in sink.spans) >= 20, "its traces are shipped")


@pytest.mark.parametrize("conventions", ["", "http"])
def test_a_node_services_requests_are_counted_by_route_in_old_and_new_conventions(
    running, store, conventions
):
    name = f"node-{conventions or 'old'}"
    with node_service(running, conventions) as address, store(name) as prometheus:
        assert [get(address, f"/items/{number}") for number in range(18)] == [200] * 18
        assert [get(address, "/fail") for _ in range(2)] == [500] * 2
        by_route = f'service_name="{name}",span_kind="SPAN_KIND_SERVER",http_route="{{}}"'
        prometheus.wait(f"sum({CALLS}{{{by_route.format('/items/:id')}}})", 18)
        failed = f'{by_route.format("/fail")},http_response_status_code="500",status_code="STATUS_CODE_ERROR"'
        prometheus.wait(f"sum({CALLS}{{{failed}}})", 2)
        assert [get(address, f"/items/{number}") for number in range(9)] == [200] * 9
        assert get(address, "/fail") == 500
        wait_until(lambda: is_measured(prometheus, name), "its objective's error rate")
        all_panels_are_alive(prometheus, name)


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
            timeout=170,
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
