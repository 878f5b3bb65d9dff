"""What a service says: two lines when all is well, every decision with SLOTEL_DEBUG, one line for a dead collector."""

import subprocess
import sys

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, Launched, clean_environ, wait_until
from support.ports import free_port

CHOSEN = {
    "OTEL_PYTHON_DISTRO": "slotel",
    "OTEL_PYTHON_CONFIGURATOR": "slotel",
    "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
}


def of_slotel(log):
    return [line for line in log.splitlines() if " slotel: " in line]


def test_a_start_that_is_well_says_two_lines():
    with (
        SentrySink() as sink,
        Launched(sys.executable, "flask_app.py", env={**CHOSEN, "SENTRY_DSN": sink.dsn(7)}) as service,
    ):
        service.wait_ready()
        assert service.said(" objectives: ")
        lines = of_slotel(service.log)
    assert [line.split(" ")[:3] for line in lines] == [
        ["INFO", "slotel:", "slotel"],
        ["INFO", "slotel:", "objectives:"],
    ]


def test_debug_tells_what_was_instrumented_sampled_and_kept():
    with SentrySink() as sink:
        env = {**CHOSEN, "SENTRY_DSN": sink.dsn(7), "SLOTEL_DEBUG": "1", "SENTRY_TRACES_SAMPLE_RATE": "0"}
        with Launched(sys.executable, "flask_app.py", env=env) as service:
            service.wait_ready()
            service.get("/error")
            wait_until(
                lambda: "DEBUG slotel: kept although not sampled: GET /error (error" in service.log,
                "the kept request",
            )
            log = service.log
    assert "DEBUG slotel: instrumented: flask" in log
    assert "DEBUG slotel: SERVER GET /error, " in log
    assert ": bad; not sampled, exported only if it is kept; trace " in log


def test_a_dead_collector_is_one_line_a_minute():
    endpoint = f"http://127.0.0.1:{free_port()}"
    code = (
        "import time; from opentelemetry import trace; tracer = trace.get_tracer('x')\n"
        "tracer.start_span('a').end(); trace.get_tracer_provider().force_flush(1500); time.sleep(2.5)\n"
    )
    environ = clean_environ(
        **CHOSEN, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_PROMETHEUS_PORT="0", OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_SERVICE_NAME="script",
    )  # fmt: skip
    done = subprocess.run(
        ["opentelemetry-instrument", sys.executable, "-c", code],
        env=environ,
        cwd=APPS,
        capture_output=True,
        text=True,
        timeout=120,
    )
    failed = [line for line in done.stderr.splitlines() if "the OTLP exporter cannot deliver" in line]
    assert len(failed) == 1, done.stderr
    assert "[SLO126]" in failed[0]
    assert "Transient error" not in "".join(set(done.stderr.splitlines()) - set(failed))


def test_a_framework_that_serves_without_instrumentation_is_said_when_the_app_imports_it():
    env = {**CHOSEN, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask"}
    with Launched(sys.executable, "flask_app.py", env=env) as service:
        service.wait_ready()
        assert service.said(
            "WARNING slotel: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS disables flask: its requests are counted at the server, without routes"
        )
        assert "fastapi" not in service.log


def test_an_address_that_is_taken_is_not_shown_as_if_it_answered():
    with Launched(sys.executable, "flask_app.py", env=CHOSEN) as first:
        first.wait_ready()
        env = {
            **CHOSEN,
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(first.metrics_port),
            "OTEL_SERVICE_NAME": "other",
        }
        with Launched(sys.executable, "flask_app.py", env=env) as second:
            second.wait_ready()
            assert second.said(f"metrics=waiting for port {first.metrics_port} sentry=")
            assert second.said("[SLO151]")
