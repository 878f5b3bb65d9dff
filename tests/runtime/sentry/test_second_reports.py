"""An event has its span's name, whatever an integration calls it; what tells nothing new is no event."""

import functools
import threading

import pytest

from slotel.runtime.sentry.errors.second_reports import is_second_report
from slotel.runtime.sentry.transactions.processors import OfIntegration


def naming(event, _hint):
    event["transaction"], event["transaction_info"] = "app.view", {"source": "component"}
    return event


@pytest.mark.parametrize(("name", "expected"), [("GET /items", "GET /items"), (None, "app.view")])
def test_an_integration_names_only_what_no_span_names(name, expected):
    event = {} if name is None else {"transaction": name, "transaction_info": {"source": "route"}}
    processor = functools.partial(OfIntegration(naming, "bottle"), event, {})
    assert processor()["transaction"] == expected
    assert event["transaction_info"] == {"source": "component" if name is None else "route"}


def test_what_an_integration_reads_on_the_thread_of_a_request_is_added_to_its_transaction_on_another():
    local = threading.local()
    local.request = {"data": {"amount": 3}}

    def reading(event, _hint):
        event.setdefault("request", {}).update(getattr(local, "request", {"data": "gone"}))
        event.setdefault("tags", {})["read"] = "yes"
        return event

    processor = OfIntegration(reading, "bottle")
    processor.note()
    made, error = {"type": "transaction", "request": {"url": "/"}, "tags": {"own": "1"}}, {}
    worker = threading.Thread(target=lambda: [processor(event, {}) for event in (made, error)])
    worker.start()
    worker.join()
    assert made["request"] == {"url": "/", "data": {"amount": 3}}
    assert made["tags"] == {"own": "1", "read": "yes"}
    assert error["request"] == {"data": "gone"}


ClientDisconnected = type("ClientDisconnected", (Exception,), {"__module__": "uvicorn.protocols.utils"})


def event_of(error, *, handled=False, logger=None):
    value = {"type": type(error).__name__, "mechanism": {"type": "litestar", "handled": handled}}
    return {"exception": {"values": [value]}, "logger": logger}


@pytest.mark.parametrize(
    ("error", "more", "is_nothing"),
    [
        (ClientDisconnected(), {}, True),
        (ClientDisconnected(), {"handled": True}, False),  # the app captures it itself
        (ClientDisconnected(), {"handled": True, "logger": "falcon"}, True),
        (ValueError(), {}, False),
        (ValueError(), {"handled": True, "logger": "falcon"}, False),
    ],
)
def test_an_exception_that_says_that_the_client_left_is_no_event_of_an_integrations(error, more, is_nothing):
    assert is_second_report(event_of(error, **more), error) is is_nothing
