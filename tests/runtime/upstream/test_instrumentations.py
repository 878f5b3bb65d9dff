"""What is mended in OpenTelemetry's instrumentations answers as before: beside the function that it stands before."""

import os

import opentelemetry.instrumentation.flask  # noqa: F401 its second look is what is spared
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.instrumentation import asgi, wsgi
from opentelemetry.util import http

from slotel.runtime.upstream.otel.instrumentations import patch_instrumentation

ENVIRON = {
    "REQUEST_METHOD": "GET", "PATH_INFO": "/x", "QUERY_STRING": "a=1", "HTTP_HOST": "shop.example:8443",
    "SERVER_NAME": "0.0.0.0", "SERVER_PORT": "8443", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "https",
    "SCRIPT_NAME": "/app", "REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "555", "REMOTE_HOST": "client.example",
    "HTTP_USER_AGENT": "curl/8",
}  # fmt: skip


@pytest.fixture
def original(monkeypatch):
    """The function as the instrumentation has it; ours stands before it."""
    found = getattr(wsgi.collect_request_attributes, "_slotel_original", wsgi.collect_request_attributes)
    monkeypatch.setattr(wsgi, "collect_request_attributes", found)
    patch_instrumentation("flask")
    assert wsgi.collect_request_attributes is not found
    return found


def test_the_second_look_at_a_request_costs_no_second_collection(original, monkeypatch):
    calls = []
    monkeypatch.setattr(
        wsgi, "collect_request_attributes", lambda *args: calls.append(args) or original(*args)
    )
    patch_instrumentation("flask")
    environ = dict(ENVIRON)
    first = wsgi.collect_request_attributes(environ, wsgi._StabilityMode.DEFAULT)
    first["http.status_code"] = 200  # the instrumentation writes into the first
    second = wsgi.collect_request_attributes(environ, sem_conv_opt_in_mode=wsgi._StabilityMode.DEFAULT)
    assert len(calls) == 1
    assert second == original(dict(ENVIRON), wsgi._StabilityMode.DEFAULT)
    assert environ == ENVIRON


@given(
    changed=st.dictionaries(
        st.sampled_from([*ENVIRON, "RAW_URI", "REQUEST_URI"]), st.sampled_from(["", "/y", "POST", "80", "x"])
    ),
    modes=st.tuples(st.sampled_from(list(wsgi._StabilityMode)), st.sampled_from(list(wsgi._StabilityMode))),
)
def test_a_request_that_an_application_changed_is_looked_at_again(changed, modes):
    found = getattr(wsgi.collect_request_attributes, "_slotel_original", wsgi.collect_request_attributes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wsgi, "collect_request_attributes", found)
        patch_instrumentation("flask")
        environ = dict(ENVIRON)
        for mode in modes:
            assert _answer(wsgi.collect_request_attributes, environ, mode) == _answer(
                found, {key: environ[key] for key in environ if key != "slotel.request_attributes"}, mode
            )
            environ.update(changed)


def _answer(function, environ, mode):
    try:
        return function(environ, mode)
    except ValueError as error:  # a port that is no number
        return str(error)


def test_the_environment_is_read_as_ever_whatever_is_set_when(monkeypatch):
    monkeypatch.setattr(http, "environ", os.environ)
    patch_instrumentation("any")
    patch_instrumentation("any")
    asked = http.environ
    assert asked is not os.environ
    assert asked.get("SLOTEL_TEST_A") is None
    assert asked.get("SLOTEL_TEST_A", "else") == "else"
    monkeypatch.setenv("SLOTEL_TEST_A", "ä")
    assert asked.get("SLOTEL_TEST_A") == asked["SLOTEL_TEST_A"] == "ä"
    monkeypatch.delenv("SLOTEL_TEST_A")
    assert asked.get("SLOTEL_TEST_A") is None
    monkeypatch.setenv(http.OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS, "1")
    assert http.sanitize_method("PROPFIND") == "PROPFIND"
    monkeypatch.delenv(http.OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS)
    assert http.sanitize_method("PROPFIND") == "_OTHER"


@pytest.mark.parametrize("environ", [{}, None, object()])
def test_an_environment_of_another_kind_is_left_alone(environ, monkeypatch):
    monkeypatch.setattr(http, "environ", environ)
    patch_instrumentation("any")
    assert http.environ is environ


def test_headers_are_captured_from_the_moment_they_are_asked_for(monkeypatch):
    patch_instrumentation("flask")
    environ = {**ENVIRON, "HTTP_X_KIND": "a", "HTTP_X_OTHER": "b"}
    answer = [("X-Kind", "c"), ("X-Other", "d")]
    assert wsgi.collect_custom_request_headers_attributes(environ) == {}
    assert wsgi.collect_custom_response_headers_attributes(answer) == {}
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", "x-kind")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE", "x-kind")
    assert wsgi.collect_custom_request_headers_attributes(environ) == {"http.request.header.x_kind": ["a"]}
    assert wsgi.collect_custom_response_headers_attributes(answer) == {"http.response.header.x_kind": ["c"]}


@pytest.mark.parametrize(
    "headers", [None, [], [(b"Host", b"x"), (b"x-a", b"1"), (b"X-A", "ä".encode()), (b"x-b", b"\xff")]]
)
@pytest.mark.parametrize("key", ["host", "X-A", "x-b", "missing", "ünï"])
def test_an_asgi_header_is_read_as_ever(headers, key):
    getter = asgi.ASGIGetter()
    original = getattr(asgi.ASGIGetter.get, "_slotel_original", asgi.ASGIGetter.get)
    patch_instrumentation("fastapi")
    assert asgi.ASGIGetter.get is not original
    scope = {} if headers is None else {"headers": headers}
    assert getter.get(scope, key) == original(getter, scope, key)
