"""`slotel.testing` as a service's own tests use it: a pytest run of its own over a small app."""

import subprocess
import sys

from support.launch import LAUNCHER, clean_environ

APP = """
from flask import Flask
import slotel

app = Flask(__name__)

@app.get("/ok")
def ok():
    slotel.set_custom_tags(team="payments")
    return "ok"

@app.get("/fail")
def fail():
    raise ValueError("alas")
"""
TESTS = """
import pytest
from app import app

def test_a_request(telemetry):
    assert app.test_client().get("/ok?password=hunter2").status_code == 200
    assert telemetry.budget() == (1, 0, 0)
    span = telemetry.span("GET /ok")
    assert span.attributes["team"] == "payments"
    assert "hunter2" not in str(dict(span.attributes))
    assert telemetry.metric("traces_span_metrics_calls_total", http_route="/ok") == 1
    assert telemetry.metric("traces_span_metrics_duration_seconds_count", http_route="/ok") == 1
    assert [each["transaction"] for each in telemetry.transactions] == ["GET /ok"]
    assert telemetry.events == []

def test_a_failure_of_the_next_test_starts_from_zero(telemetry):
    assert telemetry.budget() == (0, 0, 0)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert app.test_client().get("/fail").status_code == 500
    assert telemetry.budget().bad == 1
    (event,) = telemetry.events
    assert event["exception"]["values"][-1]["value"] == "alas"
    assert event["transaction"] == "GET /fail"

def test_a_missing_span_is_named(telemetry):
    with pytest.raises(AssertionError, match="0 spans are called 'nothing'; there are: none"):
        telemetry.span("nothing")
"""


def run(tmp_path, *arguments):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "test_app.py").write_text(TESTS)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "."],
        cwd=tmp_path, env=clean_environ(), capture_output=True, text=True, timeout=180,
    )  # fmt: skip


def test_a_services_tests_see_spans_metrics_events_and_budget(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nslotel_telemetry = true\n")
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_runs_side_by_side_see_their_own_telemetry_alone(tmp_path):
    """As pytest-xdist does it: the controller starts slotel, and its workers inherit its environment."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nslotel_telemetry = true\n")
    (tmp_path / "conftest.py").write_text(
        "import os, subprocess, sys\n"
        "def pytest_collection_finish(session):\n"
        "    from app import app\n"
        "    app.test_client().get('/ok')\n"
        "    if 'INNER' not in os.environ:\n"
        "        command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '.']\n"
        "        subprocess.run(command, env={**os.environ, 'INNER': '1'}, check=True)\n"
        "        from slotel.testing import _STARTED\n"
        "        assert _STARTED[0].budget() == (1, 0, 0)\n"
    )
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("3 passed") == 2


def test_without_the_fixture_the_plugin_starts_nothing(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_quiet.py").write_text(
        "import sys\ndef test_quiet():\n    assert not {'opentelemetry.sdk', 'sentry_sdk', 'slotel.runtime'} & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_quiet.py"],
        cwd=tmp_path, env=clean_environ(), capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_a_run_under_auto_instrumentation_is_not_warned_of_slotel(tmp_path):
    """With warnings as errors, as many projects have them, pytest would not start."""
    (tmp_path / "test_quiet.py").write_text("def test_quiet():\n    assert True\n")
    done = subprocess.run(
        [str(LAUNCHER), sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_quiet.py"],
        cwd=tmp_path, env=clean_environ(OTEL_METRICS_EXPORTER="none"), capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cannot be rewritten; slotel" not in done.stdout
