"""Errors that Sentry does not take: each is counted as handed over and as lost, under its reason."""

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import Launched, wait_until

WAITRESS = ("waitress-serve", "--listen", "127.0.0.1:{port}", "flask_app:app")


@pytest.fixture
def failing():
    with SentrySink() as sentry:
        env = {"SENTRY_DSN": sentry.dsn(7), "SENTRY_TRACES_SAMPLE_RATE": "0", "SLOTEL_SENTRY_MODE": "errors"}
        with Launched(*WAITRESS, env=env) as service:
            yield sentry, service.wait_ready()


def lost(service):
    """What was lost, by reason; detail that was left out of an event is no loss of an event."""
    return {
        labels["reason"]: value
        for labels, value in service.samples("slotel_dropped_total")
        if labels["signal"] != "error_detail"
    }


@pytest.mark.parametrize(
    ("fault", "headers", "reason"),
    [
        ("429", {"Retry-After": "60"}, "rate_limited"),
        ("429", {"X-Sentry-Rate-Limits": "60:error:key"}, "rate_limited"),
        ("429", {"X-Sentry-Rate-Limits": "60:transaction:key"}, "rate_limited"),
        ("403", {}, "status_403"),
    ],
)
def test_every_error_that_sentry_does_not_take_is_counted_under_its_reason(failing, fault, headers, reason):
    sentry, service = failing
    sentry.set_fault(fault, headers)
    for number in range(1, 4):
        service.get("/error")
        wait_until(lambda number=number: sum(lost(service).values()) >= number, "the loss is counted")
    assert lost(service) == {reason: 3}
    assert service.sample("sentry_errors_total", project="7") == 3
    assert sentry.events == 0


def test_no_error_is_lost_while_sentry_is_away(failing):
    """In three ways, one after the other."""
    sentry, service = failing
    for times, fault in enumerate(("5xx", "reset", "refuse"), 1):
        sentry.set_fault(fault)
        for _ in range(30):
            service.get("/error")
        sentry.set_fault("none")
        assert sentry.wait_for(lambda sink, least=30 * times: sink.events >= least, timeout=60), fault

    def all_arrived() -> bool:  # a busy machine's client asks twice
        return sentry.events == service.sample("sentry_errors_total", project="7")

    wait_until(all_arrived, "every error that was handed over arrives", 60)
    assert lost(service) == {}


def test_a_limit_of_another_category_on_an_answer_stops_no_error(failing):
    sentry, service = failing
    sentry.set_fault("none", {"X-Sentry-Rate-Limits": "60:transaction:key"})
    for _ in range(3):
        service.get("/error")
    assert sentry.wait_for(lambda sink: sink.events == 3)
    assert lost(service) == {}


def test_slotels_client_sends_events_and_nothing_that_glitchtip_stops_at(failing):
    sentry, service = failing
    service.get("/error")
    assert sentry.wait_for(lambda sink: sink.events == 1)
    service.stop()
    kinds = {header["type"] for envelope in sentry.envelopes for header, _ in envelope.items}
    assert kinds == {"event"}
