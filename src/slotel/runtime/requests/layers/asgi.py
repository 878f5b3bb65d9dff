"""The layer between an ASGI server and its application: counts every request exactly once.

If a framework's instrumentation makes the server span, the layer makes none and only observes the messages.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from opentelemetry.propagators.textmap import Getter

from slotel.runtime.requests.decision import answer_of
from slotel.runtime.requests.layers.layer import Layer
from slotel.runtime.requests.served import SERVER_ERROR, ServedRequest, length_of
from slotel.runtime.requests.span_name import METHODS

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_DISCONNECTS: Final = ("http.disconnect", "websocket.disconnect")
_STARTS: Final = ("http.response.start", "websocket.http.response.start")
_ANSWER_REFUSED: Final = ("granian.", "hypercorn.")
"""Prefixes of the modules whose `send` replaces a response start that the server refuses by a 500."""
_BODIES: Final = ("http.response.body", "http.response.pathsend", "http.response.zerocopysend")
"""The last two are ASGI extensions: the server itself reads a file."""
_OF_STATUS: Final = 4000
"""A websocket's close code for a status is 4000 and the status, by the custom of Starlette and Litestar."""
_SOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


class ScopeGetter(Getter[Message]):
    """Reads the headers of an ASGI scope."""

    def get(self, carrier: Message, key: str) -> list[str] | None:
        """Return the values of a header."""
        wanted = key.lower().encode()
        found = [
            value.decode("utf-8", "replace")
            for name, value in carrier.get("headers") or ()
            if name.lower() == wanted
        ]
        return found or None

    def keys(self, carrier: Message) -> list[str]:
        """Return the names of the headers."""
        return [name.decode("latin-1").lower() for name, _ in carrier.get("headers") or ()]


class AsgiRequest(ServedRequest):
    """A request or websocket that an ASGI server serves."""

    mechanism = "asgi"
    root = "root_path"
    getter = ScopeGetter()

    is_accepted = False
    _gives_last = False
    _head: Any = ()
    _given = 0
    receives: Receive
    sends: Send
    """`receive` and `send` of the server."""

    async def receive(self) -> Message:
        """Receive a message, and note whether the client has disconnected."""
        message = await self.receives()
        if message["type"] in _DISCONNECTS and not (self.is_complete or self._gives_last):
            self.client_left = True
        return message

    async def send(self, message: Message) -> None:
        """Note status and length of the response, and send the message."""
        kind = message["type"]
        if kind in _STARTS:
            self.status = message["status"]
            self._head = message.get("headers")
        elif kind in _BODIES:
            self._gives_last = not message.get("more_body")
            if kind == _BODIES[0]:
                self._given += len(message.get("body") or b"")
            else:
                self._head = ()  # the server reads the file: its bytes are not seen here
        elif kind == "websocket.accept":
            self.is_accepted = True
        elif kind == "websocket.close":
            self.close_code = message.get("code", 1000) if self.is_accepted else self._refusal(message)
            self.is_complete = True
        try:
            await self.sends(message)
        except BaseException as error:
            self._gives_last = False
            if kind in _STARTS:
                self.status = None
                given_by = type(getattr(self.sends, "__self__", None)).__module__
                self.is_refused = not given_by.startswith(_ANSWER_REFUSED)
            if isinstance(error, OSError):
                self.client_left = True
            raise
        if self._gives_last and not self.is_complete and not self._is_short():
            self.complete()

    @staticmethod
    def _refusal(message: Message) -> int:
        """Return the close code of a handshake that is refused: the client gets a 403, and never sees the code.

        Litestar has one code for all its HTTP exceptions: if the one in flight is a client error, nothing failed.
        """
        code: int = message.get("code", 1000)
        error = sys.exc_info()[1]
        status = None if error is None else answer_of(error)
        return code if status is None or status >= SERVER_ERROR else _OF_STATUS + status

    def _is_short(self) -> bool:
        """Whether the complete response is shorter than its Content-Length: the server then closes the connection."""
        for name, value in self._head if isinstance(self._head, (list, tuple)) else ():
            if name.lower() == b"content-length":
                length = length_of(value.decode("latin-1"))
                is_less = length is not None and self._given < length
                return is_less and self.is_short(self._given, length, self._request.get("method"))
        return False

    @property
    def is_unanswered(self) -> bool:  # type: ignore[override]  # asked at the end alone
        """Whether nothing was sent to a connected client."""
        has_begun = self.status is not None or self.close_code is not None or self.is_accepted
        return not (has_begun or self.is_refused or self.client_left)

    @property
    def is_broken_off(self) -> bool:  # type: ignore[override]
        """Whether the application has returned before the end of its response to a connected client."""
        is_begun = self.status is not None and self._request["type"] == "http"
        return is_begun and not (self.is_complete or self.client_left)

    def path(self) -> str:
        """Return the requested path, with a leading slash."""
        return str(self._request.get("path") or "/")

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of a server span. Source: OpenTelemetry semantic conventions, HTTP server."""
        request: Message = self._request
        method = str(request.get("method") or "GET")
        scheme = str(request.get("scheme") or "http")
        host, port = (*(request.get("server") or ()), None, None)[:2]
        named = self.getter.get(request, "host")
        if named:
            name, _, given = named[0].rpartition(":")
            host, port = (name, int(given)) if given.isdigit() and name else (named[0], port)
        client, agent = request.get("client"), self.getter.get(request, "user-agent")
        found = {
            "http.request.method": method if method in METHODS else "_OTHER",
            "url.scheme": _SOCKET_SCHEMES.get(scheme, scheme) if request["type"] == "websocket" else scheme,
            "url.path": self.path(),
            "url.query": (request.get("query_string") or b"").decode("latin-1") or None,
            "server.address": host or None,
            "server.port": port,
            "client.address": client[0] if client else None,
            "user_agent.original": agent[0] if agent else None,
            "network.protocol.version": request.get("http_version"),
        }
        return {name: value for name, value in found.items() if value is not None}


class AsgiLayer(Layer):
    """An ASGI application, wrapped once when its server loads it."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> Any:
        """Serve one request or websocket, or the lifespan scope; return what the application returns."""
        if scope["type"] not in ("http", "websocket"):
            return await self._application(scope, receive, send)
        served = AsgiRequest(self, scope)
        served.receives = receive
        served.sends = send
        served.begin()
        try:
            returned = await self._application(scope, served.receive, served.send)
        except BaseException as error:
            served.end(error)
            raise
        else:
            served.end(None)
            return returned
        finally:
            served.leave()
