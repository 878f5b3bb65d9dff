"""Flask's instrumentation looks at the request itself, and sees what it would see through Flask's proxy."""

import sys
from types import ModuleType

import flask
import pytest
from opentelemetry.instrumentation import flask as instrumentation

from slotel.runtime.upstream.otel.instrumentations.instrumentors import patch_instrumentation

app = flask.Flask(__name__)


@pytest.fixture
def seen(monkeypatch):
    """Return what the instrumentation has in place of the module."""
    monkeypatch.setattr(instrumentation, "flask", flask)
    patch_instrumentation("flask")
    assert not isinstance(instrumentation.flask, ModuleType)
    return instrumentation.flask


def test_inside_a_request_it_is_the_request(seen):
    with app.test_request_context("/a"):
        outer = flask.request._get_current_object()
        assert seen.request is outer
        with app.test_request_context("/b"):
            assert seen.request is flask.request._get_current_object() is not outer
        assert seen.request is outer
        assert not hasattr(seen.request, "response")
        assert seen.globals.request_ctx.request is outer


def test_outside_of_one_it_is_the_proxy(seen):
    assert seen.request is flask.request
    assert not seen.request
    with pytest.raises(RuntimeError, match="outside of request context"):
        assert seen.request.environ


def test_a_request_that_somebody_has_put_there_is_seen(seen, monkeypatch):
    stands_in = object()
    monkeypatch.setattr(flask, "request", stands_in)
    assert seen.request is stands_in


def test_everything_else_is_the_modules(seen, monkeypatch):
    for name in ("globals", "Flask", "g", "has_request_context"):
        assert getattr(seen, name) is getattr(flask, name)
    with pytest.raises(AttributeError):
        assert seen.no_such_name
    monkeypatch.setattr(flask, "Flask", flask.Flask)
    seen.Flask = dict
    assert flask.Flask is dict


def test_a_request_goes_through_the_proxy_no_more(seen):
    """The instrumentation's own code alone is asked, and in all its functions."""
    asked = []
    proxies = sys.modules["werkzeug.local"].__file__

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename == proxies:
            caller = frame.f_back
            if caller.f_globals["__name__"] == instrumentation.__name__ and frame.f_code.co_name == "__get__":
                asked.append(caller.f_code.co_name)

    instrumented = flask.Flask("shop")
    instrumented.add_url_rule("/ok", view_func=lambda: "ok")
    instrumentation.FlaskInstrumentor.instrument_app(instrumented)
    client = instrumented.test_client()
    sys.setprofile(note)
    try:
        assert client.get("/ok").text == "ok"
    finally:
        sys.setprofile(None)
    assert asked == []
