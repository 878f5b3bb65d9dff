"""Further events of a kind wait a moment for each other; what is new, a flush and a crowd end the wait."""

import time

import pytest

from slotel.cli.sink.server import SentrySink
from slotel.runtime.sentry.transport import sender
from support.sentry_tracing import Losses, client, transport_class


def event(number, *, repeats):
    mechanism = {
        "type": "generic",
        "handled": False,
        **({"data": {"left out": "variables"}} if repeats else {}),
    }
    return {"exception": {"values": [{"type": "E", "value": str(number), "mechanism": mechanism}]}}


@pytest.fixture
def sentry(monkeypatch):
    monkeypatch.setattr(sender, "DEFERRED_DELAY", 600.0)
    losses = Losses()
    with SentrySink() as sink:
        made = client(sink.dsn(), transport=transport_class(losses))
        yield sink, made
        made.close(timeout=30.0)  # the sink counts an event before its sender has read the answer
    assert losses.counts == {}


def repeated(client, count):
    for number in range(count):
        client.capture_event(event(number, repeats=True))
    assert client.transport.sender._defers


def values(sink):
    return [each["exception"]["values"][0]["value"] for each in sink.payloads("event")]


def test_an_event_of_another_kind_takes_the_repeats_along(sentry):
    sink, client = sentry
    repeated(client, 5)
    client.capture_event(event("new", repeats=False))
    assert sink.wait_for(lambda sink: sink.events == 6)
    assert sorted(values(sink)) == ["0", "1", "2", "3", "4", "new"]


def test_a_flush_waits_for_no_more(sentry, monkeypatch):
    sink, client = sentry
    monkeypatch.setattr(sender, "BATCH_DELAY", 600.0)
    repeated(client, 5)
    begun = time.monotonic()
    client.flush(timeout=60.0)
    assert sink.events == 5
    assert time.monotonic() - begun < 60.0


def test_a_crowd_waits_for_no_more(sentry):
    sink, client = sentry
    for number in range(sender.MAX_DEFERRED):
        client.capture_event(event(number, repeats=True))
    assert sink.wait_for(lambda sink: sink.events == sender.MAX_DEFERRED)


def test_a_client_that_is_closed_sends_them(sentry):
    sink, client = sentry
    repeated(client, 3)
    client.close(timeout=30.0)
    assert sink.wait_for(lambda sink: sink.events == 3)


def test_they_wait_no_longer_than_that(sentry, monkeypatch):
    sink, client = sentry
    monkeypatch.setattr(sender, "DEFERRED_DELAY", 0.01)
    client.capture_event(event(0, repeats=True))
    assert sink.wait_for(lambda sink: sink.events == 1)
