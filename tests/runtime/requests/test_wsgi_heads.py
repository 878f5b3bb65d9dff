"""The head of an answer is the one that its client gets without slotel: servers read it off the body's class and length."""

import contextlib
import http.client
import threading
import wsgiref.simple_server
from pathlib import Path

import gevent.pywsgi
import pytest
import waitress
import werkzeug.serving
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from slotel.runtime.metrics.self_metrics import SelfMetrics
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.requests.layers.layer import Server
from slotel.runtime.requests.layers.wsgi import WsgiLayer
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.tracing.processor import SlotelSpanProcessor


class Sized:
    """A body of the application's own that has a length."""

    def __iter__(self):
        return iter([b"12", b"345"])

    def __len__(self):
        return 2


def file_of(environ):
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(Path(__file__).open("rb")) if wrapper else []


BODIES = {
    "/list": lambda _: [b"12345"],
    "/lists": lambda _: [b"12", b"345"],
    "/tuple": lambda _: (b"12345",),
    "/empty": lambda _: [],
    "/sized": lambda _: Sized(),
    "/parts": lambda _: iter([b"12345"]),
    "/file": file_of,
}
"""None of these answers says its length itself."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return BODIES[environ["PATH_INFO"]](environ)


class Silent(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@contextlib.contextmanager
def served(kind, app):
    """Serve an application on a thread, and yield the port."""
    if kind == "waitress":
        server = waitress.create_server(app, host="127.0.0.1", port=0)
        # within its own loop: that may be waiting for the socket
        ends = [lambda: server.trigger.pull_trigger(server.close)]
        run, port = server.run, server.effective_port
    else:
        if kind == "wsgiref":
            server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=Silent)
        else:
            server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)
        run, port, ends = server.serve_forever, server.server_port, [server.shutdown, server.server_close]
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        for end in ends:
            end()
        thread.join(10)


def head_and_body(port, path):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return sorted((k, v) for k, v in answer.getheaders() if k != "Date"), answer.read()


@pytest.fixture
def layer(monkeypatch):
    """Put a layer around an application; `rows` are the outcomes that were counted."""
    rows = []

    class Counted:
        def on_end(self, span, context, local_root, row=None):
            if span.kind is SpanKind.SERVER:
                rows.append(row.name)

    pipeline = SlotelSpanProcessor(OpenSpans(), Counted(), SelfMetrics(Store()))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(pipeline)
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    found = WsgiLayer(Server(pipeline, {}), application)
    found.makes_spans = True
    return found, rows


@pytest.mark.parametrize("kind", ["waitress", "wsgiref", "werkzeug"])
def test_a_server_sends_the_head_that_it_sends_without_slotel(layer, kind):
    around, rows = layer
    with served(kind, application) as bare, served(kind, around) as port:
        for path in BODIES:
            assert head_and_body(port, path) == head_and_body(bare, path), path
    assert rows == ["succeeded"] * len(BODIES)


def test_gevent_sums_up_a_body_while_it_sends_it(layer):
    """In this thread: gevent's server runs where its hub does."""
    around, rows = layer
    for path in BODIES:
        heads = []
        for app in (application, around):
            with contextlib.closing(gevent.pywsgi.WSGIServer(("127.0.0.1", 0), app, log=None)) as server:
                server.start()
                with contextlib.closing(gevent.socket.create_connection(server.address)) as client:
                    client.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
                    answer = b"".join(iter(lambda client=client: client.recv(65536), b""))
                heads.append([line for line in answer.splitlines() if not line.startswith(b"Date")])
        assert heads[0] == heads[1], path
    assert rows == ["succeeded"] * len(BODIES)


def test_granian_joins_a_list_and_closes_nothing(layer):
    """It takes a list by its class; a double stands for its C code."""
    around, rows = layer
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/lists", "SERVER_SOFTWARE": "Granian"}
    answer = around(environ, lambda *_: None)
    assert answer == [b"12", b"345"]
    assert rows == ["succeeded"]
