"""Faults of OpenTelemetry's instrumentation of gRPC servers, seen in 0.66b1.

It sees no call that comes to no handler, and no answer that cannot be serialized; a call whose handler raises, or whose
client no longer waits, has the code OK, also after `abort_with_status`; of an asynchronous server it knows neither
synchronous handlers nor those that call `context.write`: each of their calls failed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from math import inf
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from slotel.runtime.upstream.otel.failure import failed_by, record
from slotel.runtime.upstream.probe import Probe

_PACKAGE: Final = "opentelemetry.instrumentation.grpc"
_WITHOUT: Final = "calls of methods that a server does not have are not counted"
_SYNC: Final = Probe(
    f"{_PACKAGE}._server:OpenTelemetryServerInterceptor", "intercept_service",
    why="is asked for each call's handler, and learns that there is none", without=_WITHOUT,
)  # fmt: skip
_ASYNC: Final = Probe(
    f"{_PACKAGE}._aio_server:OpenTelemetryAioServerInterceptor", "intercept_service",
    why=_SYNC.why, without=_WITHOUT,
)  # fmt: skip
_COMPRESSES: Final = Probe(
    f"{_PACKAGE}._server:_OpenTelemetryServicerContext", "disable_next_message_compression",
    why="asks an attribute that is misspelt", without="calls that do so fail", level=None,
)  # fmt: skip
_CONTEXT: Final = Probe(
    f"{_PACKAGE}._server:_OpenTelemetryServicerContext", "_servicer_context", why="gRPC's own context",
    without=_COMPRESSES.without, level=None,  # of an instance
)  # fmt: skip
_SYNC_ORIGINAL: Final[list[Callable[..., Any]]] = []
"""The method of the instrumentation of synchronous servers."""
_INTERNAL: Final = 13
_UNKNOWN: Final = 2
"""Status codes of a synchronous and of an asynchronous server for a response that they cannot serialize; the second is
also for a handler that raises."""
_CODE: Final = "rpc.grpc.status_code"
_CANCELLED: Final = 1
_DEADLINE_EXCEEDED: Final = 4
_ENDED: Final = ("CancelledError", "GeneratorExit")
"""Errors by which an asynchronous server ends the handler of such a call."""
_EARLY: Final = 0.05
"""Seconds before a deadline at which a call that ended has missed it: the client's clock for it runs ahead."""
_FILTER: Final = Probe(
    f"{_PACKAGE}._server:OpenTelemetryServerInterceptor", "_filter",
    why="what the user left out of instrumentation is not counted", without=_WITHOUT,
    level=None,  # of an instance
)  # fmt: skip
_MADE: Final = "a server whose interceptors are given by position cannot be made: the app does not start"
_ORIGINALS: Final = tuple(
    (
        Probe(module, "server", why="`server(pool, None, interceptors)` is a TypeError", without=_MADE),
        Probe(f"{_PACKAGE}:{instrumentor}", "_original_func", why="has the names", without=_MADE, level=None),
    )
    for module, instrumentor in (("grpc", "GrpcInstrumentorServer"), ("grpc.aio", "GrpcAioInstrumentorServer"))
)  # fmt: skip

Refused = Callable[[Any, Any, "Exception | None"], object]
"""Told the method that was asked for, the call's metadata, and what an interceptor or a lookup raised."""


def watch_refused_calls(refused: Refused) -> None:
    """Call a function for each call without a handler: gRPC answers UNIMPLEMENTED, or UNKNOWN if the lookup raised."""
    tell = functools.partial(_tell, refused)
    _SYNC.wrap_on_import(_watching(tell))
    _ASYNC.wrap_on_import(_watching_async(tell))
    _COMPRESSES.wrap_on_import(_disabling_compression)


def _tell(refused: Refused, interceptor: Any, details: Any, error: Exception | None) -> None:
    with contextlib.suppress(Exception):  # the client is to get gRPC's answer
        wanted = _FILTER.of(interceptor)
        if is_instrumentation_enabled() and (wanted is None or wanted(details)):
            refused(details.method, details.invocation_metadata, error)


def _watching(tell: Callable[..., None]) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        _SYNC_ORIGINAL[:] = [original]

        def intercept_service(its: Any, continuation: Any, details: Any) -> Any:
            try:
                handler = original(
                    its, lambda given: _serializing(continuation(given), is_asyncio=False), details
                )
            except Exception as error:
                tell(its, details, error)
                raise
            if handler is None:
                tell(its, details, None)
            return _reading(handler, functools.partial(tell, its, details))

        return intercept_service

    return wrap


def _watching_async(tell: Callable[..., None]) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        async def intercept_service(its: Any, continuation: Any, details: Any) -> Any:
            try:
                found = await continuation(details)
                handler = _serializing(found, is_asyncio=True)

                async def shaped(_details: Any) -> Any:
                    return handler

                if handler is None or _is_async(_behavior(handler)):
                    handler = await original(its, shaped, details)
                else:  # gRPC calls it in a thread, as it calls those of the other kind of server
                    shapes = _SYNC_ORIGINAL or [lambda _its, _continuation, _details: found]
                    handler = shapes[0](its, lambda _given: handler, details)
            except Exception as error:
                tell(its, details, error)
                raise
            if handler is None:
                tell(its, details, None)
            return _reading(handler, functools.partial(tell, its, details))

        return intercept_service

    return wrap


class _Unserialized:
    """An answer that cannot be serialized, on its way to where gRPC would have met the error."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error: Exception | None = error

    def take(self) -> Exception | None:
        """Return the error and drop the reference: a cycle would keep the call's generator, whose end ends the span."""
        error, self._error = self._error, None
        return error


def _serializing(handler: Any, *, is_asyncio: bool) -> Any:
    """Return a handler that serializes its answers itself, while its span is open: one that cannot be fails the span.

    gRPC gets the same bytes, or meets the same error, where it would serialize them.

    Args:
        is_asyncio: whether it is of a server of grpc.aio, which gives other answers.
    """
    if handler is None:
        return None
    behavior, serializer, is_stream = (
        _behavior(handler),
        handler.response_serializer,
        handler.response_streaming,
    )
    if is_stream and inspect.iscoroutinefunction(behavior):
        return _rebuilt(handler, _writing(behavior), serializer)  # what it writes is serialized in its span

    def serialize(response: Any) -> Any:
        if serializer is None:
            return response
        try:
            if is_asyncio and isinstance(response, str):
                response = response.encode()  # as that server does
            return serializer(response)
        except Exception as error:
            span = trace.get_current_span()
            with (
                contextlib.suppress(Exception),
                trace.get_tracer(_PACKAGE).start_as_current_span("serialize"),
            ):
                raise  # gRPC logs it when the call's span has ended: this one says which call it was
            record(span, error)
            _fail(span, _UNKNOWN if is_asyncio else _INTERNAL, error)
            return _Unserialized(error)

    around, read, unread = _AROUND[_is_async(behavior), is_stream], None, None
    if handler.request_streaming and handler.request_deserializer is not None and not _is_async(behavior):
        unread = _Unread()
        read = functools.partial(unread.read, handler.request_deserializer)
    return _rebuilt(handler, around(behavior, serialize, unread), _serialized, read)


def _is_ok(span: trace.Span) -> bool:
    return (getattr(span, "attributes", None) or {}).get(_CODE) == 0


def _fail(span: trace.Span, code: int, error: BaseException) -> None:
    span.set_attribute(_CODE, code)
    span.set_status(failed_by(error))


class _Unread:
    """A request of a stream that cannot be deserialized: gRPC answers INTERNAL, and ends the stream for the handler.

    A synchronous server reads on a thread of its own, outside of the call's span.
    """

    __slots__ = ("error", "span")

    def __init__(self) -> None:
        self.span: trace.Span | None = None
        self.error: Exception | None = None

    def take(self) -> Exception | None:
        """Return the error and drop the reference, which makes a cycle."""
        error, self.error = self.error, None
        return error

    def read(self, deserialize: Callable[[bytes], Any], request: bytes) -> Any:
        """Deserialize a request."""
        try:
            return deserialize(request)
        except Exception as error:
            self.error = error
            if self.span is not None:
                with (
                    contextlib.suppress(Exception),
                    trace.use_span(self.span, record_exception=False, set_status_on_exception=False),
                    trace.get_tracer(_PACKAGE).start_as_current_span("deserialize"),
                ):
                    raise  # gRPC logs it outside of the call's span: this one says which call it was
            raise


class _Failing:
    """Around a handler: the call's span gets the code that its client gets.

    It is not the handler's if the handler raises, if a request cannot be read, or if the call has ended before.
    """

    __slots__ = ("_context", "_unread")

    def __init__(self, context: Any, unread: _Unread | None = None) -> None:
        self._context, self._unread = context, unread

    def __enter__(self) -> None:
        """Call the handler next."""
        if self._unread is not None:
            self._unread.span = trace.get_current_span()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Note the code that the handler has set or aborted with, else UNKNOWN; that of a call that has ended."""
        span = trace.get_current_span()
        unread = self._unread.take() if self._unread is not None else None
        if isinstance(error, Exception):
            # a synchronous handler's context in an asynchronous server has no code
            with contextlib.suppress(Exception):
                if (code := self._context.code()) is not None:
                    self._context.set_code(code)
            if _is_ok(span):
                _fail(span, _UNKNOWN, error)
        elif error is None and unread is not None:
            record(span, unread)
            _fail(span, _INTERNAL, unread)
        left = self._left()
        if left <= 0 or (left < _EARLY and self._has_ended(error)):
            span.set_attribute(_CODE, _DEADLINE_EXCEEDED)
            span.set_status(trace.Status(trace.StatusCode.ERROR, "DEADLINE_EXCEEDED"))
        elif _is_ok(span) and self._has_ended(error):
            span.set_attribute(_CODE, _CANCELLED)

    def _has_ended(self, error: BaseException | None) -> bool:
        """Whether the call ended before its handler: the client has gone, or no longer waits."""
        with contextlib.suppress(Exception):  # an asynchronous server's cannot tell: it cancels the handler
            if not self._context.is_active():
                return True
        return type(error).__name__ in _ENDED

    def _left(self) -> float:
        """Return the seconds until the client's deadline."""
        with contextlib.suppress(Exception):
            left = self._context.time_remaining()
            return inf if left is None else float(left)
        return inf


def _giving(behavior: Any, serialize: Any, unread: _Unread | None) -> Any:
    def gives(request: Any, context: Any) -> Any:
        with _Failing(context, unread):
            return serialize(behavior(request, context))

    return gives


def _yielding(behavior: Any, serialize: Any, unread: _Unread | None) -> Any:
    def yields(request: Any, context: Any) -> Any:
        with _Failing(context, unread):
            responses = behavior(request, context)
            try:
                for response in responses:
                    yield serialize(response)
            finally:
                getattr(responses, "close", lambda: None)()

    return yields


def _giving_later(behavior: Any, serialize: Any, unread: _Unread | None) -> Any:
    async def gives(request: Any, context: Any) -> Any:
        with _Failing(context, unread):
            return serialize(await behavior(request, context))

    return gives


def _yielding_later(behavior: Any, serialize: Any, unread: _Unread | None) -> Any:
    async def yields(request: Any, context: Any) -> Any:
        with _Failing(context, unread):
            async for response in behavior(request, context):
                yield serialize(response)

    return yields


def _writing(behavior: Any) -> Any:
    """Return a handler that calls `context.write` as the generator that the instrumentation takes it for."""

    async def yields(request: Any, context: Any) -> Any:
        nothing: tuple[Any, ...] = ()
        with _Failing(context):
            await behavior(request, context)
        for each in nothing:
            yield each

    return yields


_AROUND: Final[dict[tuple[bool, bool], Callable[[Any, Any, _Unread | None], Any]]] = {
    (False, False): _giving, (False, True): _yielding, (True, False): _giving_later, (True, True): _yielding_later,
}  # fmt: skip
"""By whether gRPC calls it in the event loop, and whether it streams."""


def _serialized(response: Any) -> Any:
    if isinstance(response, _Unserialized):
        raise response.take() or TypeError
    return response


def _reading(handler: Any, tell: Callable[[Exception], None]) -> Any:
    """Return a handler that reports a request which cannot be deserialized: its behavior is never called."""
    if handler is None or handler.request_streaming or handler.request_deserializer is None:
        return handler
    read = handler.request_deserializer

    def deserialize(request: bytes) -> Any:
        try:
            return read(request)
        except Exception as error:
            tell(error)
            raise

    return _rebuilt(handler, _behavior(handler), handler.response_serializer, deserialize)


def _kind(handler: Any) -> str:
    given, taken = (
        ("stream" if each else "unary") for each in (handler.request_streaming, handler.response_streaming)
    )
    return f"{given}_{taken}"


def _behavior(handler: Any) -> Any:
    return getattr(handler, _kind(handler))


def _is_async(behavior: Any) -> bool:
    """Whether gRPC calls it in the event loop."""
    return inspect.iscoroutinefunction(behavior) or inspect.isasyncgenfunction(behavior)


def _rebuilt(handler: Any, behavior: Any, serializer: Any, deserializer: Any = None) -> Any:
    make = getattr(sys.modules["grpc"], f"{_kind(handler)}_rpc_method_handler")
    return make(behavior, deserializer or handler.request_deserializer, serializer)


def _disabling_compression(_original: Any) -> Any:
    def disable_next_message_compression(its: Any) -> Any:
        return _CONTEXT.of(its).disable_next_message_compression()

    return disable_next_message_compression


def take_arguments_by_position() -> None:
    """Accept servers whose interceptors are given by position: the instrumentation adds its own by name."""

    def wrap(made: Any, original: Any) -> Any:
        names = tuple(inspect.signature(made).parameters)

        def server(*args: Any, **kwargs: Any) -> Any:
            if len(args) <= len(names) and kwargs.keys().isdisjoint(names[: len(args)]):
                args, kwargs = (), {**dict(zip(names, args, strict=False)), **kwargs}
            return original(*args, **kwargs)  # what is wrong with them gRPC says

        return server

    for server, made in _ORIGINALS:
        instrumentor = made.owner()
        function = made.of(instrumentor()) if instrumentor is not None else None
        if function is not None:
            server.wrap_imported(functools.partial(wrap, function))
