"""Errors that Sentry does not take: each is counted as handed over and as lost, under its reason."""

import pytest

from slotel.cli.sink import SentrySink
from support.launch import Launched, wait_until

WAITRESS = ("waitress-serve", "--listen", "127.0.0.1:{port}", "flask_app:app")


@pytest.fixture
def failing():
    with SentrySink() as sentry:
        env = {"SENTRY_DSN": sentry.dsn(7), "SENTRY_TRACES_SAMPLE_RATE": "0", "SLOTEL_SENTRY_MODE": "errors"}
        with Launched(*WAITRESS, env=env) as service:
            yield sentry, service.wait_ready()


def lost(service):
    return {labels["reason"]: value for labels, value in service.samples("slotel_dropped_total")}


@pytest.mark.parametrize(
    ("fault", "headers", "reasons"),
    [
        ("429", {"Retry-After": "60"}, {"rate_limited": 1, "ratelimit_backoff": 2}),
        ("429", {"X-Sentry-Rate-Limits": "60:error:key"}, {"rate_limited": 1, "ratelimit_backoff": 2}),
        ("429", {"X-Sentry-Rate-Limits": "60:transaction:key"}, {"rate_limited": 3}),
        ("5xx", {}, {"network_error": 3}),
        ("reset", {}, {"network_error": 3}),
        ("refuse", {}, {"network_error": 3}),
    ],
)
def test_every_error_that_sentry_does_not_take_is_counted_under_its_reason(failing, fault, headers, reasons):
    sentry, service = failing
    sentry.set_fault(fault, headers)
    for number in range(1, 4):
        service.get("/error")
        wait_until(lambda number=number: sum(lost(service).values()) >= number, "the loss is counted")
    assert lost(service) == reasons
    assert service.sample("sentry_errors_total", project="7") == 3
    assert sentry.events == 0


def test_a_limit_of_another_category_on_an_answer_stops_no_error(failing):
    sentry, service = failing
    sentry.set_fault("none", {"X-Sentry-Rate-Limits": "60:transaction:key"})
    for _ in range(3):
        service.get("/error")
    assert sentry.wait_for(lambda sink: sink.events == 3)
    assert lost(service) == {}


def test_slotels_client_sends_events_and_nothing_that_glitchtip_stops_at(failing):
    sentry, service = failing
    sentry.set_fault("5xx")
    service.get("/error")
    wait_until(lambda: lost(service), "the loss is counted")
    sentry.set_fault("none")
    service.get("/error")
    assert sentry.wait_for(lambda sink: sink.events == 1)
    service.stop()
    kinds = {header["type"] for envelope in sentry.envelopes for header, _ in envelope.items}
    assert kinds == {"event"}
