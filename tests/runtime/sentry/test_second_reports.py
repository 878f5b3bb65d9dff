"""An event has its span's name, whatever an integration calls it; what tells nothing new is no event."""

import functools

import pytest

from slotel.runtime.sentry.errors.integrations import _keeping_name
from slotel.runtime.sentry.errors.second_reports import is_second_report


def naming(event, _hint):
    event["transaction"], event["transaction_info"] = "app.view", {"source": "component"}
    return event


@pytest.mark.parametrize(("name", "expected"), [("GET /items", "GET /items"), (None, "app.view")])
def test_an_integration_names_only_what_no_span_names(name, expected):
    event = {} if name is None else {"transaction": name, "transaction_info": {"source": "route"}}
    processor = functools.partial(_keeping_name(naming, "bottle"), event, {})
    assert processor()["transaction"] == expected
    assert event["transaction_info"] == {"source": "component" if name is None else "route"}


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
