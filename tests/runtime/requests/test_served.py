"""The server's layer counts each request once: where a framework makes a server span itself, its own is nobody's."""

import asyncio
import contextlib
import contextvars
import io
import threading

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from slotel.runtime.metrics.self_metrics import SelfMetrics
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.requests import current, served
from slotel.runtime.requests.layers import at_middleware
from slotel.runtime.requests.layers.asgi import AsgiLayer
from slotel.runtime.requests.layers.layer import Server
from slotel.runtime.requests.layers.wsgi import WsgiApplications, WsgiLayer
from slotel.runtime.requests.layers.wsgi_bodies import Body
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.tracing.processor import SlotelSpanProcessor

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/ok", "HTTP_HOST": "shop:80"}


class Counted:
    """A double of SpanMetrics: keeps which spans were measured."""

    def __init__(self):
        self.scopes = []
        self.names = []
        self.paths = []
        self.statuses = []

    def on_end(self, span, context, local_root, row=None):
        if span.kind is SpanKind.SERVER:
            self.scopes.append((span.instrumentation_scope.name, row.name))
            self.names.append(span.name)
            self.paths.append(span.attributes.get("url.path"))
            self.statuses.append(span.attributes.get("http.response.status_code"))


@pytest.fixture
def layer(monkeypatch):
    """A layer around an application that makes a server span itself, and what was counted."""
    counted, open_spans = Counted(), OpenSpans()
    pipeline = SlotelSpanProcessor(open_spans, counted, SelfMetrics(Store()))
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
        if "wsgi.input" in environ:
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    server = Server(pipeline, {})
    return WsgiLayer(server, native), WsgiLayer(server, bare), counted, open_spans


def ask(application, **more):
    answer = application({**ENVIRON, **more}, lambda _status, _headers: None)
    try:
        return b"".join(answer)
    finally:
        getattr(answer, "close", lambda: None)()


def test_a_framework_that_makes_server_spans_itself_is_counted_once_from_the_first_request_on(layer):
    native, _, counted, open_spans = layer
    for _ in range(3):
        assert ask(native) == b"ok"
    assert counted.scopes == [("framework", "succeeded")] * 3
    assert len(open_spans) == 0


def test_the_route_that_litestar_leaves_in_the_scope_is_the_requests(layer):
    """`path_template`, set once the route is known; a path without a route has none."""
    _, _, counted, _ = layer

    async def litestar(scope, receive, send):
        if scope["path"] == "/items/7":
            scope["path_template"] = "/items/{number}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"7"})

    async def nothing(*_):
        return {"type": "http.request"}

    application = AsgiLayer(layer[1].server, litestar)
    for path in ("/items/7", "/missing.php"):
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        asyncio.run(application(scope, nothing, nothing))
    assert counted.names == ["GET /items/{number}", "GET"]
    assert counted.paths == ["/items/7", "/missing.php"]


START, ACCEPT = {"type": "http.response.start", "status": 200}, {"type": "websocket.accept"}
DENIAL = {"type": "websocket.http.response.start"}
PART, LAST = {"type": "http.response.body", "more_body": True}, {"type": "http.response.body"}


@pytest.mark.parametrize(
    ("kind", "messages", "came", "row"),
    [
        ("http", [START, {"type": "http.response.body"}], None, "succeeded"),
        ("http", [START, {"type": "http.response.pathsend", "path": "/tmp/a"}], None, "succeeded"),
        ("http", [START], None, "broken_stream"),  # the server cuts it off
        ("http", [START, PART], None, "broken_stream"),
        ("http", [START, PART], "http.disconnect", "client_left"),
        ("http", [], None, "error_answer"),  # the server answers 500
        ("http", [], "http.disconnect", "client_left"),
        ("websocket", [], None, "error_answer"),
        ("websocket", [], "websocket.disconnect", "client_left"),
        ("websocket", [ACCEPT], None, "stream"),
        ("websocket", [{"type": "websocket.close"}], None, "stream"),  # refused
        ("websocket", [ACCEPT, {"type": "websocket.close", "code": 1011}], None, "failed"),
        ("websocket", [ACCEPT, {"type": "websocket.close", "code": 4500}], None, "failed"),
        ("websocket", [{**DENIAL, "status": 403}], None, "stream"),
        ("websocket", [{**DENIAL, "status": 503}], None, "error_answer"),
    ],
)
def test_what_an_asgi_application_tells_its_server_decides(layer, kind, messages, came, row):
    _, _, counted, _ = layer

    async def application(scope, receive, send):
        if came:
            await receive()
        for message in messages:
            await send(message)

    async def receive():
        return {"type": came}

    async def send(_message):
        pass

    scheme = "ws" if kind == "websocket" else "http"
    scope = {"type": kind, "scheme": scheme, "method": "GET", "path": "/ok", "headers": []}
    asyncio.run(AsgiLayer(layer[1].server, application)(scope, receive, send))
    assert counted.scopes == [("slotel.server", row)]


@pytest.mark.parametrize(
    ("accepted", "status", "row"),
    [([], 401, "stream"), ([], 404, "stream"), ([], 503, "failed"), ([ACCEPT], 401, "failed")],
)
def test_a_handshake_that_an_http_exception_refuses_is_the_clients_mistake_or_the_servers(
    layer, accepted, status, row
):
    """Litestar closes with 4500 for each of them, also for a path that it does not have: its client gets a 403."""
    _, _, counted, _ = layer

    class Refused(Exception):  # noqa: N818 a double of Litestar's HTTPException
        status_code = status

    async def application(_scope, _receive, send):
        for message in accepted:
            await send(message)
        try:
            raise Refused
        except Refused:
            await send({"type": "websocket.close", "code": 4500})

    async def send(_message):
        pass

    scope = {"type": "websocket", "scheme": "ws", "path": "/ok", "headers": []}
    asyncio.run(AsgiLayer(layer[1].server, application)(scope, None, send))
    assert counted.scopes == [("slotel.server", row)]


@pytest.mark.parametrize("is_caught", [True, False])
@pytest.mark.parametrize(
    ("error", "row"), [(RuntimeError("too long"), "broken_stream"), (ConnectionResetError(), "client_left")]
)
def test_a_last_part_that_the_server_cannot_send_completes_no_answer(layer, error, row, is_caught):
    _, _, counted, _ = layer

    async def application(_scope, _receive, send):
        await send(START)
        try:
            await send(LAST)
        except (RuntimeError, OSError):
            if not is_caught:
                raise

    async def send(message):
        if message is LAST:
            raise error

    scope = {"type": "http", "method": "GET", "path": "/ok", "headers": []}
    with contextlib.nullcontext() if is_caught else pytest.raises(type(error)):
        asyncio.run(AsgiLayer(layer[1].server, application)(scope, None, send))
    assert counted.scopes == [("slotel.server", row)]


def test_what_an_application_returns_is_its_servers(layer):
    """uvicorn logs what is not None: an event of plain sentry-sdk."""

    async def application(_scope, _receive, send):
        await send(START)
        await send(LAST)
        return 5

    async def send(_message):
        pass

    for kind in ("http", "lifespan"):
        scope = {"type": kind, "method": "GET", "path": "/ok", "headers": []}
        assert asyncio.run(AsgiLayer(layer[1].server, application)(scope, None, send)) == 5


class Sending:
    """A WSGI server that sends an answer as PEP 3333 says.

    Args:
        room: how many parts its client takes before it leaves.
    """

    def __init__(self, room=100, *, leaves=ConnectionResetError):
        self.room, self.leaves = room, leaves
        self.status = None

    def start_response(self, status, _headers, *_more):
        self.status = status

    def send(self, layer):
        answer = layer(dict(ENVIRON), self.start_response)
        try:
            for part in answer:
                assert self.status is not None, "write() before start_response()"
                if not self.room:
                    raise self.leaves
                self.room -= 1
                memoryview(part)
        finally:
            getattr(answer, "close", lambda: None)()


def parts(*given):
    for part in given:
        if isinstance(part, Exception):
            raise part
        yield part


@pytest.mark.parametrize(
    ("given", "status", "row"),
    [
        ([ValueError()], 500, "failed"),  # the head goes with the first part
        ([b"", ValueError()], 200, "broken_stream"),
        ([b"12345", ValueError()], 200, "broken_stream"),
        ([b"12345", b"67890"], 200, "succeeded"),
    ],
)
def test_the_status_of_a_stream_that_breaks_is_the_one_that_its_client_gets(layer, given, status, row):
    _, _, counted, _ = layer

    def application(_environ, start_response):
        start_response("200 OK", [])
        return parts(*given)

    with contextlib.suppress(ValueError):
        Sending().send(WsgiLayer(layer[1].server, application))
    assert (counted.scopes, counted.statuses) == ([("slotel.server", row)], [status])


@pytest.mark.parametrize(
    ("sent", "refused", "error", "status", "row"),
    [
        ([], None, ValueError(), 500, "failed"),  # the server answers
        ([], None, asyncio.CancelledError(), None, "cancelled"),
        ([START], None, ValueError(), 200, "broken_stream"),
        ([], START, None, None, "failed"),
        ([], START, ValueError(), None, "failed"),
    ],
)
def test_the_status_of_an_asgi_answer_is_the_one_that_was_sent(layer, sent, refused, error, status, row):
    _, _, counted, _ = layer

    async def application(_scope, _receive, send):
        for message in sent:
            await send(message)
        if refused:
            with contextlib.suppress(LookupError) if error else contextlib.nullcontext():
                await send(refused)
        raise error

    async def send(message):
        if message is refused:
            raise LookupError

    scope = {"type": "http", "method": "GET", "path": "/ok", "headers": []}
    with contextlib.suppress(ValueError, LookupError, asyncio.CancelledError):
        asyncio.run(AsgiLayer(layer[1].server, application)(scope, None, send))
    assert (counted.scopes, counted.statuses) == ([("slotel.server", row)], [status])


@pytest.mark.parametrize(
    ("server", "fails", "status", "row"),
    [
        ({}, "call", 500, "failed"),
        ({}, "begun", 500, "failed"),
        ({}, "body", 500, "failed"),
        ({"SERVER_SOFTWARE": "Granian"}, "begun", 500, "failed"),
        ({"SERVER_SOFTWARE": "Granian"}, "iter", 500, "failed"),
        ({"SERVER_SOFTWARE": "Granian"}, "body", 200, "broken_stream"),
        ({"SERVER_SOFTWARE": "Cheroot/11.1.2 Server"}, "body", 200, "broken_stream"),
        ({"uwsgi.version": b"2"}, "call", None, "failed"),
        ({"uwsgi.version": b"2"}, "begun", 200, "broken_stream"),
        ({"uwsgi.version": b"2"}, "body", 200, "broken_stream"),
    ],
)
def test_the_status_of_a_failure_before_the_first_part_is_the_one_that_its_server_sends(
    layer, server, fails, status, row
):
    """granian sends the head before it asks for a part; uWSGI sends a head that it has, and answers nothing itself."""
    _, _, counted, _ = layer

    def application(_environ, start_response):
        if fails != "call":
            start_response("200 OK", [])
        if fails in {"call", "begun"}:
            raise ValueError
        return parts(ValueError()) if fails == "body" else None

    with contextlib.suppress(ValueError, TypeError):
        ask(WsgiLayer(layer[1].server, application), **server)
    assert (counted.scopes, counted.statuses) == ([("slotel.server", row)], [status])


@pytest.mark.parametrize("server", ["", "Granian", "WSGIServer/0.2"])
@pytest.mark.parametrize(
    ("error", "status", "row"),
    [
        (ValueError, 500, "failed"), (gevent.Timeout, 500, "stopped"), (gevent.GreenletExit, None, "stopped"),
        (SystemExit, None, "exited"), (asyncio.CancelledError, None, "stopped"),
    ],
)  # fmt: skip
def test_what_is_no_exception_has_the_status_of_an_answer_where_servers_answer_it(
    layer, server, error, status, row
):
    """granian and wsgiref answer whatever is raised."""
    _, _, counted, _ = layer

    def application(*_):
        raise error

    with contextlib.suppress(error):
        ask(WsgiLayer(layer[1].server, application), SERVER_SOFTWARE=server)
    assert (counted.scopes, counted.statuses) == ([("slotel.server", row)], [500 if server else status])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 304])
@pytest.mark.parametrize("given", [1, 9, 10, 11])
def test_an_answer_that_is_shorter_than_its_head_says_is_broken_off_unless_it_has_no_body(
    layer, instrumented, method, status, given
):
    """The client waits for the rest, or sees the connection end."""
    _, bare, counted, _ = layer
    around, provider, _ = instrumented
    start = {**START, "status": status, "headers": [(b"Content-Length", b"10")]}  # as Django writes it

    def framework(_environ, start_response):
        with provider.get_tracer("opentelemetry.instrumentation.flask").start_as_current_span(
            "GET /ok", kind=SpanKind.SERVER
        ):
            start_response(f"{status} As it is", [("Content-Length", "10")])
        return [b"x" * given]

    async def application(_scope, _receive, send):
        await send(start)
        await send({**LAST, "body": b"x" * given})

    async def send(_message):
        pass

    ask(around(framework), REQUEST_METHOD=method)
    scope = {"type": "http", "method": method, "path": "/ok", "headers": []}
    asyncio.run(AsgiLayer(bare.server, application)(scope, None, send))
    is_short = given < 10 and method == "GET" and status == 200
    assert [row for _, row in counted.scopes] == ["broken_stream" if is_short else "succeeded"] * 2


@pytest.mark.parametrize("has_framework", [False, True])
@pytest.mark.parametrize("given", [list, iter])
def test_a_body_without_a_head_is_no_answer_whether_or_not_a_framework_is_beside_its_application(
    layer, monkeypatch, has_framework, given
):
    """gunicorn sends `HTTP/1.1 None`: it was good in a process in which a framework's instrumentation makes the spans."""
    wrapped = WsgiLayer(layer[1].server, lambda _environ, _start: given([b"ok"]))
    monkeypatch.setattr(wrapped, "makes_spans", not has_framework)
    ask(wrapped)
    assert [row for _, row in layer[2].scopes] == ["broken_stream"]


class UnspeakableError(Exception):
    def __str__(self):
        raise LookupError


def test_an_exception_whose_text_raises_is_counted_and_reaches_the_server_as_it_is(layer):
    """The request was not counted, and its server met the exception of `__str__`."""
    _, bare, counted, _ = layer

    def application(_environ, _start_response):
        raise UnspeakableError

    async def asynchronous(_scope, _receive, _send):
        raise UnspeakableError

    with pytest.raises(UnspeakableError):
        ask(WsgiLayer(bare.server, application))
    scope = {"type": "http", "method": "GET", "path": "/ok", "headers": []}
    with pytest.raises(UnspeakableError):
        asyncio.run(AsgiLayer(bare.server, asynchronous)(scope, None, None))
    assert (counted.scopes, counted.statuses) == ([("slotel.server", "failed")] * 2, [500] * 2)


class Framework:
    """A framework's application, of which the answer breaks, or the call after the head; its span is its instrumentation's."""

    def __init__(self, provider, fails):
        self.tracer = provider.get_tracer("opentelemetry.instrumentation.flask")
        self.fails = fails

    def __call__(self, environ, start_response):
        with self.tracer.start_as_current_span(
            "GET /ok", kind=SpanKind.SERVER, attributes={"http.request.method": "GET", "url.path": "/ok"}
        ):
            start_response("200 OK", [])
        if self.fails == "call":
            raise ValueError("call")
        return parts(*([b"12345"] if self.fails == "body" else []), ValueError(self.fails))


def passing(application):
    return application


def swallowing(application):
    def middleware(environ, start_response):
        with contextlib.suppress(ValueError):
            yield from application(environ, start_response)

    return middleware


def answering(application):
    def middleware(environ, start_response):
        try:
            yield from application(environ, start_response)
        except ValueError:
            start_response("503 Service Unavailable", [])
            yield b"sorry"

    return middleware


def refused(application):
    """As werkzeug's debugger: the server refuses its own answer, for the head has been given."""

    def middleware(environ, start_response):
        try:
            yield from application(environ, start_response)
        except ValueError:
            environ["refuses"] = True
            with contextlib.suppress(AssertionError):
                start_response("500 Internal Server Error", [])

    return middleware


@pytest.mark.parametrize("fails", ["call", "first", "body"])
@pytest.mark.parametrize(
    ("middleware", "rows"),
    [
        (swallowing, {"broken_stream"}),
        (answering, {"error_answer"}),
        (refused, {"broken_stream"}),
        (passing, {"failed", "broken_stream"}),
    ],
)
@pytest.mark.parametrize("server", [{}, {"uwsgi.version": b"2"}])
def test_what_escapes_a_frameworks_application_is_reported_and_counted_whatever_a_middleware_makes_of_it(
    layer, instrumented, monkeypatch, fails, middleware, rows, server
):
    """Once, and with the answer that the client gets; a server of C code calls the application itself, beneath no layer."""
    _, bare, counted, _ = layer
    around, provider, _ = instrumented
    reported = []
    monkeypatch.setattr(bare.server.pipeline, "escaped", lambda error, _mechanism: reported.append(error))
    framework, applications = Framework(provider, fails), WsgiApplications(bare.server)
    environ = {**ENVIRON, **server}

    def call(environ, start_response):
        return applications.around(Framework.__call__)(framework, environ, start_response)

    def start_response(_status, _headers):
        assert "refuses" not in environ

    stack = middleware(call)
    with contextlib.suppress(ValueError):
        answer = stack(environ, start_response) if server else around(stack)(environ, start_response)
        try:
            list(answer)
        finally:
            answer.close()
    assert len(counted.scopes) == 1
    assert counted.scopes[0][1] in (rows if not server else {"broken_stream"})
    if not server and middleware is not passing:  # else the layer reports it, with the span's end
        assert [str(error) for error in reported] == [fails]


def test_a_frameworks_application_that_nobody_serves_is_called_as_it_is(layer):
    """As test clients do; one inside another's request, and the server's own, too."""
    _, bare, counted, _ = layer
    applications, given = WsgiApplications(bare.server), [b"ok"]
    assert applications.around(lambda *_: given)(object(), dict(ENVIRON), None) is given
    assert counted.scopes == []


@pytest.mark.parametrize("is_instrumented", [True, False])
@pytest.mark.parametrize(
    ("length", "given", "room", "rows"),
    [
        (10, [b"12345", b"67890"], 100, {"succeeded"}),
        (0, [], 100, {"succeeded"}),
        (10, [], 100, {"succeeded"}),  # HEAD, or what was handed to write()
        (10, [b"12345", ValueError()], 100, {"broken_stream"}),
        (10, [b"12345"], 100, {"broken_stream"}),  # the client waits for the rest
        (10, [b"12345", b"67890"], 1, {"client_left", "succeeded"}),  # in the last part: may have come
        (15, [b"12345", b"67890", b"12345"], 1, {"client_left"}),
        (4, ["text"], 100, {"broken_stream"}),
        (None, ["text"], 100, {"broken_stream"}),
        (None, [b"12345", 5], 100, {"broken_stream"}),
        (None, [b"12345", ValueError()], 100, {"broken_stream"}),
        (None, [b"12345", b"67890"], 1, {"client_left"}),
        (
            "none",
            [b"12345"],
            100,
            {"failed", "broken_stream"},
        ),  # no start_response  # start_response was not called
    ],
)
def test_an_answer_is_good_if_its_server_could_send_it(
    instrumented, is_instrumented, length, given, room, rows
):
    """Whether or not it says how long it is, and whether a framework's span has ended before it is sent."""
    around, provider, counted = instrumented

    def application(_environ, start_response):
        if is_instrumented:
            with provider.get_tracer("opentelemetry.instrumentation.flask").start_as_current_span(
                "GET /ok", kind=SpanKind.SERVER, attributes={"http.route": "/ok"}
            ):
                pass
        if length != "none":
            start_response("200 OK", [("Content-Length", str(length))] if length is not None else [])
        return parts(*given)

    with contextlib.suppress(ValueError, TypeError, OSError, AssertionError):
        Sending(room).send(around(application))
    [(_, row)] = counted.scopes
    assert row in rows


@pytest.mark.parametrize("leaves", [ConnectionResetError, BrokenPipeError, GeneratorExit])
def test_a_client_that_leaves_fails_nothing_however_the_server_says_it(instrumented, leaves):
    around, _, counted = instrumented

    def application(_environ, start_response):
        start_response("200 OK", [])
        return parts(b"12345", b"67890")

    with contextlib.suppress(OSError, GeneratorExit):
        Sending(1, leaves=leaves).send(around(application))
    assert [row for _, row in counted.scopes] == ["client_left"]


@pytest.mark.parametrize("is_instrumented", [True, False])
@pytest.mark.parametrize(
    ("asked", "ends", "status", "row"),
    [
        ("WebSocket", StopIteration, None, "stream"),
        ("websocket", None, "200 OK", "stream"),
        ("websocket", None, None, "stream"),
        ("websocket", None, "403 Forbidden", "stream"),
        ("websocket", ValueError, None, "failed"),
        ("websocket", None, "500 Internal Server Error", "error_answer"),
        ("h2c", None, "200 OK", "succeeded"),
        ("", StopIteration, None, "failed"),  # a `next()` of the application's
    ],
)
def test_a_socket_that_the_application_takes_from_a_wsgi_server_has_no_latency_and_its_end_is_no_failure(
    instrumented, is_instrumented, asked, ends, status, row
):
    """As flask-sock does; gunicorn wants a StopIteration, which its workers take for the end of the connection."""
    around, provider, counted = instrumented

    def application(_environ, start_response):
        with contextlib.ExitStack() as stack:
            if is_instrumented:
                tracer = provider.get_tracer("opentelemetry.instrumentation.flask")
                stack.enter_context(tracer.start_as_current_span("GET /echo", kind=SpanKind.SERVER))
            if status:
                start_response(status, [])
        if ends:
            raise ends
        return []

    with contextlib.suppress(StopIteration, ValueError):
        ask(around(application), HTTP_UPGRADE=asked)
    rows = [found for _, found in counted.scopes]
    assert rows == [row] or (row, rows) == ("failed", ["broken_stream"])


class ServersFile:
    """What a server makes of a file that it sends itself; it looks at the class."""

    def __init__(self, *given):
        self.parts = parts(*given)
        self.is_closed = False

    def __iter__(self):
        return self.parts

    def close(self):
        self.is_closed = True


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ([b"12345"], ["succeeded"]),
        ([b"12345", ValueError()], ["broken_stream"]),
        ([b"12345", OSError(5, "Input/output error")], ["broken_stream"]),
    ],
)
def test_a_file_that_the_server_sends_is_the_servers_own_and_its_end_is_the_requests(
    instrumented, given, rows
):
    around, provider, counted = instrumented
    answer = ServersFile(*given)

    def application(_environ, start_response):
        with provider.get_tracer("opentelemetry.instrumentation.flask").start_as_current_span(
            "GET /ok", kind=SpanKind.SERVER, attributes={"http.route": "/ok"}
        ):
            start_response("200 OK", [("Content-Length", "5")])
        return answer

    environ = {**ENVIRON, "wsgi.file_wrapper": ServersFile}
    returned = around(application)(environ, lambda *_: None)
    assert returned is answer
    with contextlib.suppress(ValueError, OSError):
        try:
            list(returned)
        finally:
            returned.close()
    assert answer.is_closed
    assert [row for _, row in counted.scopes] == rows


def test_a_file_that_the_server_reads_again_after_its_failure_fails_by_the_same_exception(instrumented):
    """waitress may do so, in its other thread: the request's event and what the server logs are one failure."""
    around, provider, counted = instrumented

    class Breaks(ServersFile):
        def get(self, _size):
            raise ValueError("the disk is gone")

    def application(_environ, start_response):
        with provider.get_tracer("opentelemetry.instrumentation.flask").start_as_current_span(
            "GET /ok", kind=SpanKind.SERVER
        ):
            start_response("200 OK", [("Content-Length", "5")])
        return Breaks()

    file = around(application)({**ENVIRON, "wsgi.file_wrapper": ServersFile}, lambda *_: None)
    seen = []
    for _ in range(2):
        with pytest.raises(ValueError, match="the disk is gone") as raised:
            file.get(10)
        seen.append(raised.value)
    file.close()
    assert seen[0] is seen[1]
    assert [row for _, row in counted.scopes] == ["broken_stream"]


@pytest.mark.parametrize("told", [current.note_route, lambda route: None])
def test_a_route_that_a_framework_tells_is_the_requests_with_the_root_before_it(layer, told):
    _, bare, counted, _ = layer

    def framework(environ, start_response):
        told("/items/<number>")
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    ask(WsgiLayer(bare.server, framework), SCRIPT_NAME="/api")
    assert counted.names == ["GET" if told is not current.note_route else "GET /api/items/<number>"]


def test_an_application_that_nothing_instruments_is_counted_once_beside_one_that_instruments_itself(layer):
    native, bare, counted, open_spans = layer
    for application in (bare, native, bare):
        ask(application)
    assert [scope for scope, _ in counted.scopes] == ["slotel.server", "framework", "slotel.server"]
    assert len(open_spans) == 0


@pytest.mark.parametrize(
    ("sent", "row"), [(b"x" * 9, "client_left"), (b"x" * 10, "succeeded"), (b"x" * 11, "succeeded")]
)
def test_a_client_that_gives_its_upload_up_has_left_whatever_the_application_answers(layer, sent, row):
    _, bare, counted, _ = layer
    upload = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "10", "wsgi.input": io.BytesIO(sent)}
    assert ask(bare, **upload) == b"ok"
    assert counted.scopes == [("slotel.server", row)]


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "", "five", "٣٤", 5, None, b"5"])
def test_a_length_that_is_none_is_for_the_application_and_the_server_to_judge(layer, length):
    _, bare, counted, _ = layer
    around = bare._application

    def application(environ, start_response):
        assert environ["CONTENT_LENGTH"] is length
        return around(
            {**environ, "CONTENT_LENGTH": "0"},
            lambda *_: start_response("200 OK", [("Content-Length", length)]),
        )

    bare._application = application
    assert ask(bare, REQUEST_METHOD="POST", CONTENT_LENGTH=length, **{"wsgi.input": io.BytesIO()}) == b"ok"
    assert [row for _, row in counted.scopes] == ["succeeded"]


READS = st.one_of(
    st.tuples(st.sampled_from(("read", "readline", "readlines")), st.just(())),
    st.tuples(st.sampled_from(("read", "readline", "readlines")), st.tuples(st.integers(-1, 12))),
    st.tuples(st.just("read"), st.tuples(st.none())),
)


@given(st.binary(max_size=40), st.integers(0, 45), st.lists(READS, max_size=8))
def test_a_body_reads_as_the_servers_and_is_cut_off_where_a_read_met_an_end_that_came_too_early(
    sent, length, reads
):
    sent = sent[:length].replace(b"\x00", b"\n")
    body, plain = Body(io.BytesIO(sent), length), io.BytesIO(sent)
    met_end = False
    for method, arguments in reads:
        before = plain.tell()
        got = getattr(body, method)(*arguments)
        assert got == getattr(plain, method)(*arguments)
        asked = arguments[0] if arguments and arguments[0] is not None and arguments[0] >= 0 else None
        if method == "read":
            met_end = asked is None or asked > len(sent) - before
        elif method == "readline":
            met_end = not got.endswith(b"\n") and (asked is None or asked > len(got))
        elif asked in (None, 0):
            met_end = True
        else:
            met_end = body.is_cut_off  # a hint: it may or may not have met the end
    if not reads or plain.tell() < len(sent) or len(sent) == length:
        assert not body.is_cut_off
    else:
        assert body.is_cut_off == met_end


def test_the_lines_of_a_body_are_those_of_the_servers():
    assert list(Body(io.BytesIO(b"a\nb\nc"), 5)) == [b"a\n", b"b\n", b"c"]


@pytest.mark.parametrize("method", ["read1", "readinto"])
@pytest.mark.parametrize(("sent", "is_cut_off"), [(b"12345", False), (b"1234", True)])
def test_a_body_is_read_in_the_other_ways_of_a_server_until_nothing_comes(method, sent, is_cut_off):
    body = Body(io.BufferedReader(io.BytesIO(sent)), 5)
    while getattr(body, method)(3 if method == "read1" else bytearray(3)):
        assert not body.is_cut_off
    assert body.is_cut_off == is_cut_off
    assert not hasattr(Body(object(), 5), method)


class Instrumented:
    """An application as an instrumentation of a framework makes it: SERVER where no span stands, INTERNAL below one."""

    def __init__(self, provider, *, outside):
        self.tracer = provider.get_tracer("opentelemetry.instrumentation.flask")
        self.outside = outside
        self.asked = 0

    def __call__(self, environ, start_response):
        self.asked += 1
        if self.asked not in self.outside:  # a middleware around the framework answers those
            kind = SpanKind.INTERNAL if trace.get_current_span().is_recording() else SpanKind.SERVER
            attributes = {"url.path": environ["PATH_INFO"], "http.route": "/ok"}
            with self.tracer.start_as_current_span("GET /ok", kind=kind, attributes=attributes):
                pass
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]


@pytest.fixture
def instrumented(layer, monkeypatch):
    """Makes layers around applications, in a process that has instrumentations, and what was counted."""
    _, bare, counted, _ = layer
    monkeypatch.setattr(served, "_may_make_spans", lambda: True)

    class Provider:
        get_tracer = staticmethod(trace.get_tracer)

    return lambda application: WsgiLayer(bare.server, application), Provider, counted


def test_a_request_that_a_middleware_answers_first_leaves_the_spans_to_the_framework(instrumented):
    around, provider, counted = instrumented
    application = around(Instrumented(provider, outside={1, 4}))
    for _ in range(5):
        ask(application)
    scopes = [scope.rpartition(".")[2] for scope, _ in counted.scopes]
    assert scopes == ["server", "server", "flask", "server", "flask"]
    assert counted.names == ["GET", "GET /ok", "GET /ok", "GET", "GET /ok"]


def test_spans_below_a_request_that_nothing_instruments_are_its_own_from_the_second_request_on(instrumented):
    around, provider, counted = instrumented
    below = []

    def application(_environ, start_response):
        with provider.get_tracer("shop").start_as_current_span("query") as span:
            below.append(span.parent is not None)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    wrapped = around(application)
    for _ in range(3):
        ask(wrapped)
    assert counted.scopes == [("slotel.server", "succeeded")] * 3
    assert below == [False, True, True]


@pytest.mark.parametrize(
    ("answer", "raises", "row"),
    [
        ("404 Not Found", True, "answered"),
        ("500 Internal Server Error", True, "failed"),
        ("503 Service Unavailable", False, "error_answer"),
        ("200 OK", False, "succeeded"),
    ],
)
def test_what_the_client_gets_decides_where_a_middleware_answers_for_the_framework(
    instrumented, answer, raises, row
):
    around, provider, counted = instrumented

    def framework():
        with provider.get_tracer("opentelemetry.instrumentation.flask").start_as_current_span(
            "GET /ok", kind=SpanKind.SERVER, attributes={"http.route": "/ok"}
        ):
            if raises:
                raise LookupError

    def application(_environ, start_response):
        with contextlib.suppress(LookupError):
            framework()
        start_response(answer, [("Content-Length", "2")])
        return iter([b"ok"])

    ask(around(application))
    assert [row for _, row in counted.scopes] == [row]


def test_an_exception_that_leaves_a_span_open_fails_the_request(instrumented):
    """A teardown function of Flask raises before that of the instrumentation is called."""
    around, provider, counted = instrumented

    def application(_environ, start_response):
        tracer = provider.get_tracer("opentelemetry.instrumentation.flask")
        tracer.start_span("GET /ok", kind=SpanKind.SERVER, attributes={"http.response.status_code": 200})
        start_response("200 OK", [("Content-Length", "2")])
        raise LookupError

    with pytest.raises(LookupError):
        ask(around(application))
    assert [row for _, row in counted.scopes] == [
        "failed"
    ]  # a server sends the head with the first part: 500


def test_a_path_is_no_name_though_its_server_does_not_tell_the_url_as_it_was_sent(instrumented):
    around, provider, counted = instrumented

    def application(environ, start_response):
        name = f"GET {environ['PATH_INFO']}"
        with provider.get_tracer("opentelemetry.instrumentation.flask").start_as_current_span(
            name, kind=SpanKind.SERVER, attributes={"http.request.method": "GET"}
        ):
            start_response("404 Not Found", [("Content-Length", "2")])
        return [b"no"]

    ask(around(application), PATH_INFO="/wp-login.php")
    assert counted.names == ["GET"]
    assert counted.paths == ["/wp-login.php"]


def test_a_request_that_begins_in_the_context_of_the_one_before_is_one_of_its_own(instrumented):
    """A server that starts a pipelined request while the one before sends its last bytes does so."""
    around, provider, counted = instrumented
    pipelined, begun = Instrumented(provider, outside=()), []

    def first(_environ, start_response):
        with provider.get_tracer("opentelemetry.instrumentation.flask").start_as_current_span(
            "GET /first", kind=SpanKind.SERVER, attributes={"http.route": "/first"}
        ):
            start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def both(environ, start_response):
        return (pipelined if environ["PATH_INFO"] == "/second" else first)(environ, start_response)

    layer = around(both)
    answer = layer(dict(ENVIRON), lambda *_: begun or begun.append(ask(layer, PATH_INFO="/second")))
    assert b"".join(answer) == b"ok"
    getattr(answer, "close", lambda: None)()
    assert sorted(counted.names) == ["GET /first", "GET /ok"]


def test_a_server_inside_the_request_of_another_counts_nothing_of_its_own(instrumented):
    around, provider, counted = instrumented

    def inner(_environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    contained = around(inner)
    with provider.get_tracer("opentelemetry.instrumentation.tornado").start_as_current_span(
        "GET", kind=SpanKind.SERVER
    ):
        assert ask(contained) == b"ok"
    assert [scope for scope, _ in counted.scopes] == ["opentelemetry.instrumentation.tornado"]


@pytest.mark.parametrize("at_server", [True, False])
def test_a_request_is_no_child_of_the_span_in_which_its_server_was_started(layer, at_server):
    """A thread continues the span of its starter, and a task has the context in which it was made."""
    _, bare, _, _ = layer
    seen = []

    def application(_environ, start_response):
        seen.append(trace.get_current_span())
        start_response("200 OK", [])
        return [b"ok"]

    around = WsgiLayer(bare.server, application)
    around.makes_spans = False  # an instrumentation does, below the current span

    def serve():
        if at_server:
            assert ask(around) == b"ok"
        else:
            with at_middleware.counted(around, dict(ENVIRON)) as answered:
                application(ENVIRON, lambda *_: None)
                answered(200, "/ok")

    def start():
        with trace.get_tracer("t").start_as_current_span("main") as main:
            thread = threading.Thread(target=contextvars.copy_context().run, args=(serve,))
            thread.start()
            thread.join()
        assert [span is main for span in seen] == [not at_server]

    contextvars.Context().run(start)  # not in a request that another test has left open


@pytest.mark.parametrize(
    ("module", "status"), [("hypercorn.protocol.http_stream", 500), ("uvicorn.protocols", None)]
)
def test_a_head_that_is_refused_has_the_status_of_what_its_server_answers_in_its_place(layer, module, status):
    _, bare, counted, _ = layer

    async def application(_scope, _receive, send):
        await send(START)

    async def send(_its, _message):
        raise LookupError

    server = type("Stream", (), {"__module__": module, "send": send})()
    scope = {"type": "http", "method": "GET", "path": "/ok", "headers": []}
    with contextlib.suppress(LookupError):
        asyncio.run(AsgiLayer(bare.server, application)(scope, None, server.send))
    assert (counted.scopes, counted.statuses) == ([("slotel.server", "failed")], [status])


def test_a_body_that_no_middleware_has_touched_is_looked_at_by_the_layer_alone(layer):
    """waitress puts a middleware of its own around every application, which touches none."""
    _, bare, _, _ = layer
    body = iter([b"ok"])
    call = WsgiApplications(bare.server).around(lambda *_: body)

    def middleware(environ, start_response):
        return call(object(), environ, start_response)

    answer = WsgiLayer(bare.server, middleware)(dict(ENVIRON), lambda *_: None)
    assert answer._answer is body
    answer.close()
