"""The server's layer counts each request once: where a framework makes a server span itself, its own is nobody's."""

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from slotel.runtime.metrics.self_metrics import SelfMetrics
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.requests import served
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.requests.wsgi import WsgiLayer
from slotel.runtime.tracing.processor import SlotelSpanProcessor

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/ok", "HTTP_HOST": "shop:80"}


class Counted:
    """A double of SpanMetrics: keeps which spans were measured."""

    def __init__(self):
        self.scopes = []

    def on_end(self, span, context, local_root, row=None):
        if span.kind is SpanKind.SERVER:
            self.scopes.append((span.instrumentation_scope.name, row.name))


@pytest.fixture
def layer(monkeypatch):
    """A layer around an application that makes a server span itself, and what was counted."""
    counted, open_spans = Counted(), OpenSpans()
    pipeline = SlotelSpanProcessor(open_spans, counted, [], SelfMetrics(Store()))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(pipeline)
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    monkeypatch.setattr(served, "_FASTAPI", "")

    def native(environ, start_response):
        tracer = provider.get_tracer("framework")
        with tracer.start_as_current_span("GET", Context(), SpanKind.SERVER):
            start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def bare(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    server = served.Server(pipeline, {})
    return WsgiLayer(server, native), WsgiLayer(server, bare), counted, open_spans


def ask(application):
    answer = application(dict(ENVIRON), lambda _status, _headers: None)
    body = b"".join(answer)
    getattr(answer, "close", lambda: None)()
    return body


def test_a_framework_that_makes_server_spans_itself_is_counted_once_from_the_first_request_on(layer):
    native, _, counted, open_spans = layer
    for _ in range(3):
        assert ask(native) == b"ok"
    assert counted.scopes == [("framework", "succeeded")] * 3
    assert len(open_spans) == 0


def test_an_application_that_nothing_instruments_is_counted_once_beside_one_that_instruments_itself(layer):
    native, bare, counted, open_spans = layer
    for application in (bare, native, bare):
        ask(application)
    assert [scope for scope, _ in counted.scopes] == ["slotel.server", "framework", "slotel.server"]
    assert len(open_spans) == 0
