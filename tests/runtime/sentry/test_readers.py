"""What reads a request for an event imports no Django for an app that uses none, and knows it in one that does."""

import pytest

from support.sentry_app import run_app


def failed(kind, how):
    """Return Django's modules in the process of a failing request, and its event."""
    ran = run_app(how, "reading.py", kind, uses=[kind], SENTRY_TRACES_SAMPLE_RATE="1.0")
    (event,) = ran.payloads("event")
    return ran.stdout.split(), event


def test_an_app_without_django_does_not_get_it(monkeypatch):
    pytest.importorskip("django")
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "django")
    modules, event = failed("flask", "slotel")
    assert event["request"]["method"] == "POST"
    assert modules == []


def test_a_body_that_a_django_app_has_read_in_part_costs_no_part_of_the_event():
    pytest.importorskip("django")
    (_, plain), (_, slotel) = (failed("django", how) for how in ("plain", "slotel"))
    assert slotel["request"]["url"] == plain["request"]["url"] == "https://public.test/é€"
    for part in ("method", "headers", "cookies", "data"):
        assert slotel["request"].get(part) == plain["request"].get(part)
    assert slotel["request"]["cookies"] == {"colour": "red"}
    assert slotel["exception"]["values"][0]["type"] == "ZeroDivisionError"
