"""What reads a request for an event imports no Django for an app that uses none, and knows it in one that does."""

import subprocess
import sys

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, clean_environ, launched_by


def failed(kind, how):
    """Return Django's modules in the process of a failing request, and its event."""
    with SentrySink() as sink:
        env = clean_environ(
            SENTRY_DSN=sink.dsn(), OTEL_METRICS_EXPORTER="none", SENTRY_TRACES_SAMPLE_RATE="1.0"
        )
        launcher = launched_by(how, kind)
        command = [*launcher, sys.executable, "reading.py", kind]
        run = subprocess.run(
            command, env=env, cwd=APPS / "errors", timeout=170, check=True, capture_output=True, text=True
        )
        (event,) = sink.payloads("event")
        return run.stdout.split(), event


def test_an_app_without_django_does_not_get_it(monkeypatch):
    pytest.importorskip("django")
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "django")
    modules, event = failed("flask", "slotel")
    assert event["request"]["method"] == "POST"
    assert modules == []


def test_a_body_that_a_django_app_has_read_in_part_costs_no_part_of_the_event():
    pytest.importorskip("django")
    (_, plain), (_, slotel) = (failed("django", how) for how in ("plain", "slotel"))
    assert slotel["request"]["url"] == plain["request"]["url"] == "http://shop/"
    for part in ("method", "headers", "cookies", "data"):
        assert slotel["request"].get(part) == plain["request"].get(part)
    assert slotel["request"]["cookies"] == {"colour": "red"}
    assert slotel["exception"]["values"][0]["type"] == "ZeroDivisionError"
