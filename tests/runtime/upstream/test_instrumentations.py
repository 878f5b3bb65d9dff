"""What is mended in OpenTelemetry's instrumentations answers as before: beside the function that it stands before."""

import asyncio
import os
import sys
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.instrumentation import asgi, wsgi
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util import http

from slotel.runtime.upstream.otel.instrumentations import tornado
from slotel.runtime.upstream.otel.instrumentations.instrumentors import patch_instrumentation
from slotel.runtime.upstream.stdlib import quick_environment

ENVIRON = {
    "REQUEST_METHOD": "GET", "PATH_INFO": "/x", "QUERY_STRING": "a=1", "HTTP_HOST": "shop.example:8443",
    "SERVER_NAME": "0.0.0.0", "SERVER_PORT": "8443", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "https",
    "SCRIPT_NAME": "/app", "REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "555", "REMOTE_HOST": "client.example",
    "HTTP_USER_AGENT": "curl/8", "REQUEST_URI": "/app/x?a=1",
}  # fmt: skip
TEXTS = [
    "",
    "/y",
    "POST",
    "purge",
    "_OTHER",
    "80",
    "0",
    "x",
    "http/2",
    "HTTP/",
    "http",
    "192.0.2.1",
    "Googlebot",
    "\xe9",
]
SCOPE = {
    "type": "http", "method": "GET", "path": "/x", "query_string": b"a=1", "scheme": "https", "http_version": "1.1",
    "server": ("shop", 8443), "client": ("192.0.2.1", 555), "root_path": "", "headers": [(b"host", b"shop.example")],
}  # fmt: skip
PORTS = st.sampled_from([None, 0, 80, 443, "80", "x"])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["", "POST", "post", "PURGE", None, b"GET"]),
        "path": st.sampled_from(["", "/\xe9", None, b"/x"]),
        "query_string": st.sampled_from([b"", "a=1", b"\xff", b"%zz", None]),
        "scheme": st.sampled_from(["", "ws", None]),
        "http_version": st.sampled_from(["2", "", None]),
        "server": st.one_of(st.none(), st.tuples(st.sampled_from(["", "shop", None]), PORTS)),
        "client": st.one_of(st.none(), st.tuples(st.sampled_from(["", "shop", None]), PORTS), st.just(["a"])),
        "headers": st.lists(
            st.tuples(
                st.sampled_from([b"host", b"user-agent", b"User-Agent"]),
                st.sampled_from([b"", b"curl", b"Googlebot", b"\xff", b"\xff\\x"]),
            )
        ),
    },
)
MODES = st.sampled_from([None, *wsgi._StabilityMode])


def patched(module, name="collect_request_attributes"):
    """The function as the instrumentation has it, and ours that stands before it."""
    standing = getattr(module, name)
    found = getattr(standing, "_slotel_original", standing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, found)
        patch_instrumentation("flask")
        return found, getattr(module, name)


@pytest.mark.parametrize(("module", "request_of"), [(wsgi, ENVIRON), (asgi, SCOPE)])
def test_the_attributes_of_a_usual_request_are_collected_in_one_go(module, request_of):
    original, ours = patched(module)
    calls = []
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code) if event == "call" else None)
    try:
        ours(request_of, module._StabilityMode.HTTP)
    finally:
        sys.setprofile(None)
    assert original.__code__ not in calls


@given(
    changed=st.dictionaries(
        st.sampled_from([*ENVIRON, "RAW_URI"]), st.one_of(st.sampled_from(TEXTS), st.none())
    ),
    mode=MODES,
)
def test_a_wsgi_request_has_the_attributes_that_the_instrumentation_collects(changed, mode):
    environ = {name: value for name, value in {**ENVIRON, **changed}.items() if value is not None}
    _hold_side_by_side(wsgi, environ, mode)


@given(changed=CHANGES, mode=MODES)
@example(changed={"query_string": b"\xff"}, mode=wsgi._StabilityMode.HTTP)
@example(changed={"method": "", "path": "", "query_string": b"\xff"}, mode=wsgi._StabilityMode.HTTP)
@example(changed={"headers": [(b"user-agent", b"\xff\\x")]}, mode=None)
def test_an_asgi_request_has_the_attributes_that_the_instrumentation_collects(changed, mode):
    _hold_side_by_side(asgi, {**SCOPE, **changed}, mode)


def test_a_release_that_collects_others_is_asked(monkeypatch):
    original, _ = patched(wsgi)

    def newer(environ, sem_conv_opt_in_mode=wsgi._StabilityMode.DEFAULT):
        return {**original(environ, sem_conv_opt_in_mode), "new": 1}

    monkeypatch.setattr(wsgi, "collect_request_attributes", newer)
    patch_instrumentation("flask")
    assert wsgi.collect_request_attributes(ENVIRON, wsgi._StabilityMode.HTTP)["new"] == 1


def _hold_side_by_side(module, request_of, mode):
    original, ours = patched(module)
    named = {} if mode is None else {"sem_conv_opt_in_mode": mode}
    expected = _answer(original, dict(request_of), **named)
    if isinstance(expected, tuple) and expected[0] is UnicodeDecodeError:
        answer = _answer(ours, dict(request_of), **named)
        assert (
            isinstance(answer, dict) or answer[0] is not UnicodeDecodeError
        )  # the application may answer it
        return
    assert _answer(ours, dict(request_of), **named) == expected
    if mode is not None:
        assert _answer(ours, dict(request_of), mode) == expected


def _answer(function, *request, **named):
    try:
        return function(*request, **named)
    except Exception as error:
        return type(error), str(error)


class Seen:
    """A span that notes what is set."""

    def __init__(self, *, recording):
        self.recording, self.set = recording, []

    def is_recording(self):
        return self.recording

    def set_attribute(self, name, value):
        self.set.append((name, value))

    def set_status(self, status):
        if not status.is_unset:  # the SDK does nothing then
            self.set.append((status.status_code, status.description))


@pytest.mark.parametrize("module", [wsgi, asgi])
@given(
    status=st.one_of(st.sampled_from([-1, 0, 99, 100, 200, 302, 404, 499, 500, 503]), st.integers(-9, 999)),
    mode=st.sampled_from(list(wsgi._StabilityMode)),
    is_server=st.booleans(),
    recording=st.booleans(),
)
def test_a_status_is_set_as_the_instrumentation_sets_it(module, status, mode, is_server, recording):
    seen = []
    for set_status in patched(module, "_set_status"):
        span, metric = Seen(recording=recording), {"url.scheme": "http"}
        set_status(span, metric, status, str(status), server_span=is_server, sem_conv_opt_in_mode=mode)
        seen.append((span.set, metric))
    assert seen[0] == seen[1]


@given(changed=CHANGES)
@example(changed={"server": (None, 80)})
def test_an_asgi_request_has_the_url_that_the_instrumentation_compares(changed):
    original, ours = patched(asgi, "get_host_port_url_tuple")
    scope = {**SCOPE, **changed}
    expected = _answer(original, scope)
    if expected[0] is UnicodeDecodeError:
        assert _answer(ours, scope)[0] is not UnicodeDecodeError
    else:
        assert _answer(ours, scope) == expected


def test_a_release_that_sets_a_status_otherwise_is_asked(monkeypatch):
    original, ours = patched(asgi, "_set_status")
    assert ours.__code__ is not original.__code__

    def newer(span, *_more, sem_conv_opt_in_mode=wsgi._StabilityMode.DEFAULT, **_named):
        span.set_attribute("new", 1)

    monkeypatch.setattr(asgi, "_set_status", newer)
    patch_instrumentation("flask")
    span = Seen(recording=True)
    asgi._set_status(span, {}, 200, "200", server_span=True, sem_conv_opt_in_mode=wsgi._StabilityMode.HTTP)
    assert span.set == [("new", 1)]


@pytest.mark.parametrize("opted", ["", "http", "http/dup", "database, http"])
def test_the_target_of_an_asgi_request_is_asked_for_where_a_metric_has_it(opted, monkeypatch):
    """What the middleware measures is the same with and without what stands before the function."""
    mode = wsgi._StabilityMode(next((each for each in ("http/dup", "http") if each in opted), "default"))
    modes = wsgi._OpenTelemetrySemanticConventionStability
    monkeypatch.setattr(modes, "_get_opentelemetry_stability_opt_in_mode", lambda _kind: mode)
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", opted)
    original, ours = patched(asgi, "_collect_target_attribute")
    assert (ours is original) == (mode is not wsgi._StabilityMode.HTTP)
    scope = {**SCOPE, "route": type("Route", (), {"path_format": "/x/{id}"})()}
    measured = []
    for collect in (original, ours):
        monkeypatch.setattr(asgi, "_collect_target_attribute", collect)
        reader = InMemoryMetricReader()
        middleware = asgi.OpenTelemetryMiddleware(_answers, meter_provider=MeterProvider([reader]))
        asyncio.run(middleware(dict(scope), None, _ignores))
        (found,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
        measured.append(
            [
                (each.name, [dict(point.attributes) for point in each.data.data_points])
                for each in found.metrics
            ]
        )
    assert measured[0] == measured[1]
    assert len(measured[0]) >= 2


async def _answers(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


async def _ignores(_message):
    pass


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


def test_the_environment_answers_as_a_mapping_does():
    """Contrib asks only by `get` (0.66b1); a release may ask otherwise."""
    asked = quick_environment()
    assert ("PATH" in asked, "NO_SUCH_NAME" in asked, asked.get("NO_SUCH_NAME", "x")) == (True, False, "x")
    assert dict(asked) == dict(os.environ)


@pytest.mark.parametrize("name", [b"traceparent", b"baggage", b"x-\xff\\x", b"user-agent", b"host"])
def test_a_request_whose_headers_are_no_text_reaches_its_application_in_its_trace(name):
    patch_instrumentation("fastapi")
    seen = []

    async def app(_scope, _receive, _send):
        seen.append(trace.get_current_span().get_span_context().trace_id)

    odd = [(name, b"\xff\\x"), (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    provider = TracerProvider(shutdown_on_exit=False)
    asyncio.run(
        asgi.OpenTelemetryMiddleware(app, tracer_provider=provider)({**SCOPE, "headers": odd}, None, None)
    )
    assert len(seen) == 1
    assert (seen[0] == 0x0AF7651916CD43DD8448EB211C80319C) is (name != b"traceparent")


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


def test_a_method_called_as_something_else_of_a_tornado_handler_is_unknown_too():
    """A handler has no method PROPFIND; it has a `request` and a `write`, which answer no such request."""
    for method in ("PROPFIND", "REQUEST", "WRITE"):
        request = SimpleNamespace(method=method)
        handler = SimpleNamespace(SUPPORTED_METHODS=("GET",), get=len, write=len, request=request)
        asked = tornado._naming_any_method(lambda _, asked: (asked.request.method, asked.get))
        assert asked(None, handler) == ("GET", len)
