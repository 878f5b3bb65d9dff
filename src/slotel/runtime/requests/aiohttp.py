"""The layer between aiohttp's server and its application: an answer is sent when all middlewares have ended.

Where an instrumentation makes the server span, the layer stands back and only watches the answer.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from opentelemetry.propagators.textmap import Getter

from slotel.runtime.requests.decision import is_client_disconnect
from slotel.runtime.requests.layer import Layer
from slotel.runtime.requests.served import SERVED, ServedRequest
from slotel.runtime.requests.span_name import METHODS
from slotel.runtime.upstream.aiohttp import is_answer

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
        raised: what the application raised that is no answer: aiohttp answers 500, or breaks off what it had begun.
        unsent: the error of a connection that ended the sending.
        missing: bytes of the body that the answer ended without, by its head.
        measurements: those that wait for the status that is sent.
    """

    mechanism = "aiohttp"
    root = "slotel.root"
    getter = RequestGetter()
    raised: Exception | None = None
    unsent: ConnectionError | None = None
    missing = 0
    measurements: tuple[Callable[[int | None], None], ...] = ()

    def sent(self, status: int, *, is_cut_off: bool) -> None:
        """Note that an answer was sent, or that a connection broke meanwhile: the client's, or the app's own."""
        self.status = status
        self.is_broken_off = not is_cut_off and self.is_short(0, self.missing, self._request.method)
        error = self.unsent if is_cut_off else None
        if error is None or is_client_disconnect(error):
            self.client_left, error = is_cut_off, None
        self.is_complete = not (is_cut_off or self.is_broken_off)
        self.end(error)

    def note_ended(self, last: int) -> None:
        """Note how much of its body the answer lacks, which ends with so many bytes."""
        self.missing = (getattr(self._request.writer, "length", None) or 0) - last

    def broke_off(self, error: BaseException) -> None:
        """Note that the answer was not sent, or not to its end.

        Args:
            error: what aiohttp raises, also where it breaks off because the application has raised.
        """
        if not self._request.writer.output_size:
            self.status, self.is_refused = None, True
        self.end(self.raised or error)

    def leave(self) -> None:
        """Measure the request by its status, and put back the context that stood before."""
        for measure in self.measurements:
            measure(self.status)
        super().leave()
        self.raised = self.unsent = None  # their tracebacks hold this request

    def path(self) -> str:
        """Return the path that was asked for."""
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
    """The handler of an aiohttp server, wrapped once where the server takes it."""

    def __call__(self, request: Request) -> Awaitable[Any]:
        """Handle a request that nobody watches."""
        return self._application(request)  # type: ignore[no-any-return]  # a handler of aiohttp

    async def serve(self, request: Request, hand_to: Callable[[Handler], Awaitable[Any]]) -> Any:
        """Serve one request until its answer is sent; return what aiohttp returns.

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
    """Return what serves the requests of a handler; None of aiohttp's own, for what is no request."""
    return handler.serve if isinstance(handler, AiohttpLayer) else None


def note_prepared(status: int) -> None:
    """Note the status of the head that is sent to the request that is served here."""
    served = SERVED.get()
    if isinstance(served, AiohttpRequest):
        served.status = status


def note_unsent(error: ConnectionError) -> None:
    """Note the error of a connection that has ended the sending."""
    served = SERVED.get()
    if isinstance(served, AiohttpRequest):
        served.unsent = error


def note_ended(last: int) -> None:
    """Note that the answer to the request that is served here ends with so many bytes."""
    served = SERVED.get()
    if isinstance(served, AiohttpRequest):
        served.note_ended(last)


def measure_when_sent(measure: Callable[[int | None], None]) -> bool:
    """Measure a request when its status is known; return whether one is served here.

    Args:
        measure: called with the status that was sent; None: there was no answer.
    """
    served = SERVED.get()
    if not isinstance(served, AiohttpRequest) or served.is_over:
        return False
    served.measurements = (*served.measurements, measure)
    return True
