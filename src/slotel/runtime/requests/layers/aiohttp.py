"""The layer between aiohttp's server and its application: a response is sent after all middlewares have returned.

If an instrumentation makes the server span, the layer makes none and only observes the response.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from opentelemetry.propagators.textmap import Getter

from slotel.runtime.requests.decision import is_client_disconnect
from slotel.runtime.requests.layers.layer import Layer
from slotel.runtime.requests.served import SERVED, ServedRequest
from slotel.runtime.requests.span_name import METHODS
from slotel.runtime.upstream.frameworks.aiohttp import is_answer

Request: TypeAlias = Any
"""aiohttp's: `aiohttp.web.BaseRequest`."""
Handler: TypeAlias = Callable[[Request], Awaitable[Any]]


class RequestGetter(Getter[Request]):
    """Reads the headers of a request."""

    def get(self, carrier: Request, key: str) -> list[str] | None:
        """Return the values of a header."""
        return carrier.headers.getall(key, None)  # type: ignore[no-any-return]  # a list of text

    def keys(self, carrier: Request) -> list[str]:
        """Return the names of the headers."""
        return list(carrier.headers)


class AiohttpRequest(ServedRequest):
    """A request that aiohttp's server serves.

    Attributes:
        raised: the exception of the application that is no HTTPException: aiohttp sends a 500, or aborts the response.
        unsent: the connection error that ended the sending.
        missing: bytes of Content-Length that were not sent.
        measurements: called with the status that was sent.
    """

    mechanism = "aiohttp"
    root = "slotel.root"
    getter = RequestGetter()
    raised: Exception | None = None
    unsent: ConnectionError | None = None
    missing = 0
    measurements: tuple[Callable[[int | None], None], ...] = ()

    def sent(self, status: int, *, is_cut_off: bool) -> None:
        """Note that a response was sent, or (`is_cut_off`) that the connection broke while it was sent."""
        self.status = status
        self.is_broken_off = not is_cut_off and self.is_short(0, self.missing, self._request.method)
        error = self.unsent if is_cut_off else None
        if error is None or is_client_disconnect(error):
            self.client_left, error = is_cut_off, None
        self.is_complete = not (is_cut_off or self.is_broken_off)
        self.end(error)

    def note_ended(self, last: int) -> None:
        """Note how much of the body is missing when the response ends with `last` more bytes."""
        self.missing = (getattr(self._request.writer, "length", None) or 0) - last

    def broke_off(self, error: BaseException) -> None:
        """Note that the response was not sent completely.

        Args:
            error: what aiohttp raises, also when it aborts the response because the application has raised.
        """
        if not self._request.writer.output_size:
            self.status, self.is_refused = None, True
        self.end(self.raised or error)

    def leave(self) -> None:
        """Record the measurements with the status, and restore the context that was current before `begin`."""
        for measure in self.measurements:
            measure(self.status)
        super().leave()
        self.raised = self.unsent = None  # their tracebacks hold this request

    def path(self) -> str:
        """Return the requested path, with a leading slash."""
        return str(self._request.path)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of a server span. Source: OpenTelemetry semantic conventions, HTTP server."""
        request: Request = self._request
        host, _, port = str(request.host or "").rpartition(":")
        if not port.isdigit():
            host, port = f"{host}:{port}".strip(":"), ""
        found = {
            "http.request.method": request.method if request.method in METHODS else "_OTHER",
            "url.scheme": request.scheme,
            "url.path": self.path(),
            "url.query": request.query_string or None,
            "server.address": host or None,
            "server.port": int(port) if port else None,
            "client.address": request.remote,
            "user_agent.original": request.headers.get("User-Agent"),
            "network.protocol.version": f"{request.version[0]}.{request.version[1]}",
        }
        return {name: value for name, value in found.items() if value is not None}


class AiohttpLayer(Layer):
    """The handler of an aiohttp server, wrapped once when the server receives it."""

    def __call__(self, request: Request) -> Awaitable[Any]:
        """Handle a request without observing it."""
        return self._application(request)  # type: ignore[no-any-return]  # a handler of aiohttp

    async def serve(self, request: Request, hand_to: Callable[[Handler], Awaitable[Any]]) -> Any:
        """Serve one request until its response is sent; return what aiohttp returns.

        Args:
            hand_to: hands the request to a handler, and sends what that returns.
        """
        __traceback_hide__ = True
        served = AiohttpRequest(self, request)
        served.begin()
        try:
            answer, is_cut_off = await hand_to(functools.partial(self._handle, served))
        except BaseException as error:
            served.broke_off(error)
            raise
        else:
            served.sent(answer.status, is_cut_off=is_cut_off)
            return answer, is_cut_off
        finally:
            served.leave()

    async def _handle(self, served: AiohttpRequest, request: Request) -> Any:
        __traceback_hide__ = True
        try:
            return await self._application(request)
        except Exception as error:
            if not is_answer(error):
                served.raised = error
                served.fail(error)
            raise


def serving(handler: Any) -> Callable[[Request, Callable[[Handler], Awaitable[Any]]], Awaitable[Any]] | None:
    """Return the `serve` of a layer; None for aiohttp's own handlers, such as that of a malformed request."""
    return handler.serve if isinstance(handler, AiohttpLayer) else None


def served_request() -> AiohttpRequest | None:
    """Return the request of an aiohttp server that is served in this context."""
    served = SERVED.get()
    return served if isinstance(served, AiohttpRequest) else None


def measure_when_sent(measure: Callable[[int | None], None]) -> bool:
    """Call `measure` when the status of the current request is known; return False if no request is being served.

    Args:
        measure: called with the status that was sent, or None if no response was sent.
    """
    served = served_request()
    if served is None or served.is_over:
        return False
    served.measurements = (*served.measurements, measure)
    return True
