"""The layer between a WSGI server and its application: counts every request exactly once.

If a framework's instrumentation makes the server span, the layer makes none and only observes the response. The calls
of frameworks' own applications are observed, too, to see exceptions that a middleware above would swallow. Servers
whose C code calls the application have no layer: for these the call itself gets one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias

from opentelemetry.propagators.textmap import Getter

from slotel.runtime.requests.decision import of_escaped
from slotel.runtime.requests.layers.layer import Layer, Server
from slotel.runtime.requests.layers.wsgi_bodies import (
    Body,
    SentBody,
    SizedBody,
    WatchedBody,
    is_file,
    is_short,
    watch_file,
)
from slotel.runtime.requests.served import SERVED, ServedRequest, length_of
from slotel.runtime.requests.span_name import METHODS

Environ: TypeAlias = MutableMapping[str, Any]


class EnvironGetter(Getter[Environ]):
    """Reads the headers of a WSGI environ."""

    def get(self, carrier: Environ, key: str) -> list[str] | None:
        """Return the values of a header."""
        value = carrier.get("HTTP_" + key.upper().replace("-", "_"))
        return None if value is None else [value]

    def keys(self, carrier: Environ) -> list[str]:
        """Return the names of the headers."""
        return [name[5:].lower().replace("_", "-") for name in carrier if name.startswith("HTTP_")]


class WsgiRequest(ServedRequest):
    """A request that a WSGI server serves.

    Attributes:
        length: Content-Length of the response in bytes; None if it has none.
    """

    mechanism = "wsgi"
    root = "SCRIPT_NAME"
    getter = EnvironGetter()
    length: int | None = None

    starts: Callable[..., Any]
    """The server's `start_response`."""

    def start_response(self, status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        """Start the response, and note status and length. Servers refuse a second start without `exc_info`."""
        write = self.starts(status, headers, *more)
        if self.is_broken_off:  # a middleware answers in place of what has failed
            self.is_broken_off = False
        code = status[:3]
        self.status = int(code) if code.isdigit() else None
        self.length = None
        for name, value in headers:
            if name.lower() == "content-length":
                self.length = length_of(value)
                break
        return write

    @property
    def method(self) -> object:
        """Return the method of the request."""
        return self._request.get("REQUEST_METHOD")

    def note_unanswered(self, *, has_returned: bool) -> None:
        """Note that the application failed before the first part of its body: most servers then send a 500.

        Args:
            has_returned: the application returned a body, and iterating over it has failed.
        """
        if UWSGI in self._request:
            self.is_refused = self.status is None
        else:
            software = str(self._request.get("SERVER_SOFTWARE"))
            self.is_unanswered = not (has_returned and software.startswith(_SEND_HEADS))
            self.answers_stops = software.startswith(_ANSWER_STOPS)

    def path(self) -> str:
        """Return the requested path, with a leading slash."""
        request: Environ = self._request
        return _text(request.get("SCRIPT_NAME", "")) + _text(request.get("PATH_INFO", "")) or "/"

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of a server span. Source: OpenTelemetry semantic conventions, HTTP server."""
        request: Environ = self._request
        method = str(request.get("REQUEST_METHOD", "GET"))
        host, _, port = str(request.get("HTTP_HOST") or request.get("SERVER_NAME") or "").rpartition(":")
        if not port.isdigit():
            host, port = f"{host}:{port}".strip(":"), str(request.get("SERVER_PORT") or "")
        found = {
            "http.request.method": method if method in METHODS else "_OTHER",
            "url.scheme": self.socket_scheme or request.get("wsgi.url_scheme", "http"),
            "url.path": self.path(),
            "url.query": request.get("QUERY_STRING") or None,
            "server.address": host or None,
            "server.port": int(port) if port.isdigit() else None,
            "client.address": request.get("REMOTE_ADDR") or None,
            "user_agent.original": request.get("HTTP_USER_AGENT"),
            "network.protocol.version": str(request.get("SERVER_PROTOCOL", "")).partition("/")[2] or None,
        }
        return {name: value for name, value in found.items() if value is not None}


_SEND_HEADS: Final = ("Granian", "Cheroot/", "CherryPy/")
"""Servers that send the headers before the first part of the body; others send both together."""
_ANSWER_STOPS: Final = ("Granian", "WSGIServer/")
"""Servers, granian's and wsgiref's, that send a 500 for whatever an application raises, also for `SystemExit`."""
UWSGI: Final = "uwsgi.version"
"""Key that uWSGI puts into an environ. It sends the headers at once, and no 500 of its own."""


class WsgiUpload(WsgiRequest):
    """A request with a body: if a read of it ends too early, the client has disconnected."""

    def __init__(self, layer: Layer, environ: Environ, length: int) -> None:
        super().__init__(layer, environ)
        self._body = environ["wsgi.input"] = Body(environ["wsgi.input"], length)
        self._left = False

    @property
    def client_left(self) -> bool:
        """Whether the client disconnected before its body or the response was complete."""
        return self._left or self._body.is_cut_off

    @client_left.setter
    def client_left(self, value: bool) -> None:
        self._left = value


class WsgiLayer(Layer):
    """A WSGI application, wrapped once when its server loads it."""

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        length = length_of(environ.get("CONTENT_LENGTH"))
        if length and "wsgi.input" in environ:
            served: WsgiRequest = WsgiUpload(self, environ, length)
        else:
            served = WsgiRequest(self, environ)
        if "HTTP_UPGRADE" in environ and environ["HTTP_UPGRADE"].lower() == "websocket":
            served.socket_scheme = "wss" if environ.get("wsgi.url_scheme") == "https" else "ws"
        served.starts = start_response
        served.begin()
        try:
            answer: Iterable[bytes] = self._application(environ, served.start_response)
        except BaseException as error:
            is_over = isinstance(error, StopIteration) and served.socket_scheme  # so gunicorn is told
            if not is_over:
                served.note_unanswered(has_returned=False)
            served.end(None if is_over else error)
            served.leave()
            raise
        if answer.__class__ is WatchedBody:  # no middleware stands around it: what breaks it is seen here
            answer = answer.body
        local_root = served.local_root
        is_list = isinstance(answer, (list, tuple)) and all(isinstance(part, bytes) for part in answer)
        is_given = is_list and (local_root is None or local_root.ended or _joins(answer, environ))
        # the server sends such a file itself: it checks the class
        if is_given or is_file(answer, environ):
            if is_given and is_short(sum(map(len, answer)), served):
                served.is_broken_off = True
            if is_given or not watch_file(answer, served):
                served.end(None)
            served.leave()
            return answer
        return (SizedBody if hasattr(answer, "__len__") else SentBody)(answer, served)


def _joins(answer: Iterable[bytes], environ: Environ) -> bool:
    """Return whether the server joins the parts of a list, which it takes from the class, and closes nothing."""
    return isinstance(answer, list) and str(environ.get("SERVER_SOFTWARE")).startswith("Granian")


def _text(value: str) -> str:
    """Return a path as text. PEP 3333 encodes it as Latin-1."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace")


_OF_C_SERVERS: Final = (UWSGI, "mod_wsgi.version")
"""Environ keys of servers whose C code calls the application, so that it cannot be wrapped there."""
_LAYER: Final = "_slotel_layer"


class WsgiApplications:
    """Serves the calls of frameworks' own applications: through a layer, if the server is written in C.

    Under other servers it reports what escapes the application before a middleware can swallow it.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls an application and observes it.

        Args:
            call: the application's own `__call__`, unbound.
        """

        def serve(application: Any, environ: Environ, start_response: Any) -> Any:
            __traceback_hide__ = True
            served = SERVED.get()
            if (served is None or served.is_over) and any(key in environ for key in _OF_C_SERVERS):
                return self._layer_of(application)(environ, start_response)
            if served is not None and (served.is_over or served.layer.is_around(application)):
                return call(application, environ, start_response)
            try:
                answer = call(application, environ, start_response)
            except BaseException as error:
                self.failed(error, served)
                raise
            if hasattr(answer, "__len__") or is_file(answer, environ):
                return answer  # servers look at its class and its length
            return WatchedBody(answer, functools.partial(self.failed, served=served))

        return serve

    def _layer_of(self, application: Any) -> WsgiLayer:
        """Return the layer of an application that a server of C code calls."""
        known = vars(application)
        layer: WsgiLayer | None = known.get(_LAYER)
        if layer is None:
            layer = known[_LAYER] = WsgiLayer(self._server, application)
        return layer

    def failed(self, error: BaseException, served: ServedRequest | None) -> None:
        """Report what escaped the application, and note that the response that had begun is broken off.

        Args:
            served: the request, if a layer observes it.
        """
        if isinstance(error, StopIteration) or not of_escaped(error).reports:
            return
        if isinstance(served, WsgiRequest) and served.status is not None:
            served.is_broken_off = True
        self._server.pipeline.escaped(error, WsgiRequest.mechanism)
