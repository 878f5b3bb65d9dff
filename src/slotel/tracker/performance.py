"""PerformanceTracker: decorators that create OpenTelemetry spans."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, TypeVar, overload

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Tracer

from slotel.runtime.upstream.otel.failure import failed_by, record
from slotel.tracker.started import started

F = TypeVar("F", bound=Callable[..., Any])

Attributes = Mapping[str, "str | bool | int | float"]


_KindOf = Callable[[str, Attributes], SpanKind]


class PerformanceTracker:
    """Creates a span for each call of a decorated function: sync, async, generator or async generator.

    An exception is recorded on the span, sets its status to ERROR and is raised to the caller. The span of a
    generator ends when the generator does, and is current only while the generator's code runs. Starts slotel at the
    first call if `opentelemetry-instrument` did not.
    """

    @overload
    def track_function(self, function: F) -> F: ...
    @overload
    def track_function(
        self, function: str | None = None, *, name: str | None = None, attributes: Attributes | None = None
    ) -> Callable[[F], F]: ...
    def track_function(
        self,
        function: F | str | None = None,
        *,
        name: str | None = None,
        attributes: Attributes | None = None,
    ) -> F | Callable[[F], F]:
        """Create an INTERNAL span for each call, or for each time that a property is computed.

        Args:
            function: what is tracked; a text here is the name.
            name: name of the span; default: the function's qualified name.
            attributes: attributes of the span, in addition to `code.function.name`.
        """
        tracked: F | Callable[[F], F] = _decorated(function, name, attributes, _internal)
        return tracked

    @overload
    def track_request(self, function: F) -> F: ...
    @overload
    def track_request(
        self, function: str | None = None, *, name: str | None = None, attributes: Attributes | None = None
    ) -> Callable[[F], F]: ...
    def track_request(
        self,
        function: F | str | None = None,
        *,
        name: str | None = None,
        attributes: Attributes | None = None,
    ) -> F | Callable[[F], F]:
        """Create a SERVER span for each call: a request that counts for the objectives.

        Within a span, such as that of an instrumented framework, the request is already counted: the new span is
        INTERNAL then. If only the server's layer counts the request, it takes over name and attributes.

        Args:
            function: what is tracked; a text here is the name.
            name: name of the span; default: the function's qualified name.
            attributes: attributes of the span, in addition to `code.function.name`.
        """
        tracked: F | Callable[[F], F] = _decorated(function, name, attributes, _request)
        return tracked


def _internal(_name: str, _attributes: Attributes) -> SpanKind:
    return SpanKind.INTERNAL


def _request(name: str, attributes: Attributes) -> SpanKind:
    current = trace.get_current_span()
    context = current.get_span_context()
    if not context.is_valid or context.is_remote:
        return SpanKind.SERVER
    from slotel.runtime.requests.current import describe_served

    describe_served(current, name, attributes)
    return SpanKind.INTERNAL


def _decorated(function: Any, name: str | None, attributes: Attributes | None, kind: _KindOf) -> Any:
    if isinstance(function, str):  # `@track_function("name")`
        function, name = None, function
    if function is None:
        return functools.partial(_decorated, name=name, attributes=attributes, kind=kind)
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_decorated(function.__func__, name, attributes, kind))
    if type(function) is property:  # a subclass may be made of other arguments
        return function.getter(_decorated(function.fget, name, attributes, kind))
    if not callable(function):
        # a `cached_property` or `partialmethod` calls what it holds; others stay as they are
        if hasattr(function, "func"):
            function.func = _decorated(function.func, name, attributes, kind)
        return function
    module, qualified = _names_of(function)
    made = _SpanOf(
        name or qualified, {"code.function.name": f"{module}.{qualified}", **(attributes or {})}, kind
    )
    # of an object that can be called, its `__call__` says what it is
    called = getattr(function, "__call__", function) if not inspect.isroutine(function) else function  # noqa: B004
    for asks, wrap in _WRAPPERS:
        if asks(function) or asks(called):
            return wrap(function, made)
    return _wrap_function(function, made)


def _names_of(function: Any) -> tuple[str, str]:
    """Return module and qualified name of what can be called: those of its class where it has none."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(getattr(named, "__module__", "") or "builtins"), str(named.__qualname__)


class _SpanOf:
    """Opens the spans of one decorated function."""

    __slots__ = ("_attributes", "_kind", "_name", "_tracer")

    def __init__(self, name: str, attributes: Attributes, kind: _KindOf) -> None:
        self._name = name
        self._attributes = attributes
        self._kind = kind
        self._tracer: Tracer | None = None

    def call(self) -> AbstractContextManager[Span]:
        """Return a context manager for a span that lasts as long as it."""
        tracer = self._get_tracer()
        kind = self._kind(self._name, self._attributes)
        return tracer.start_as_current_span(self._name, kind=kind, attributes=self._attributes)

    def start(self) -> Span:
        """Return a started span that is current nowhere."""
        tracer = self._get_tracer()
        kind = self._kind(self._name, self._attributes)
        return tracer.start_span(self._name, kind=kind, attributes=self._attributes)

    def _get_tracer(self) -> Tracer:
        if self._tracer is None:
            started()
            self._tracer = trace.get_tracer("slotel.tracker")
        return self._tracer


def _wrap_function(function: Any, made: _SpanOf) -> Any:
    @functools.wraps(function)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        with made.call():
            return function(*args, **kwargs)

    return tracked


def _wrap_coroutine(function: Any, made: _SpanOf) -> Any:
    @functools.wraps(function)
    async def tracked(*args: Any, **kwargs: Any) -> Any:
        with made.call():
            return await function(*args, **kwargs)

    return tracked


def _wrap_generator(function: Any, made: _SpanOf) -> Any:
    @functools.wraps(function)
    def tracked(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with _lasting(made.start()) as span:
            generator = function(*args, **kwargs)
            step: Callable[[], Any] = functools.partial(next, generator)
            while True:
                try:
                    with _current(span):
                        item = step()
                except StopIteration as end:
                    return end.value
                try:
                    step = functools.partial(generator.send, (yield item))
                except GeneratorExit:
                    with _current(span):
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 it is the generator's to handle
                    step = functools.partial(generator.throw, error)

    return tracked


def _wrap_async_generator(function: Any, made: _SpanOf) -> Any:
    @functools.wraps(function)
    async def tracked(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with _lasting(made.start()) as span:
            generator = function(*args, **kwargs)
            step: Callable[[], Any] = generator.__anext__
            while True:
                try:
                    with _current(span):
                        item = await step()
                except StopAsyncIteration:
                    return
                try:
                    step = functools.partial(generator.asend, (yield item))
                except GeneratorExit:
                    with _current(span):
                        await generator.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 it is the generator's to handle
                    step = functools.partial(generator.athrow, error)

    return tracked


def _is_awaited(function: Any) -> bool:
    """Return whether a call is awaited: of a coroutine function, or a generator under `types.coroutine`."""
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return inspect.iscoroutinefunction(function) or bool(flags & inspect.CO_ITERABLE_COROUTINE)


_WRAPPERS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any, _SpanOf], Any]], ...]] = (
    (inspect.isasyncgenfunction, _wrap_async_generator),
    (_is_awaited, _wrap_coroutine),
    (inspect.isgeneratorfunction, _wrap_generator),
)


@contextmanager
def _lasting(span: Span) -> Iterator[Span]:
    """End the span of a generator when the generator ends, as failed if an exception ended it."""
    try:
        yield span
    except Exception as error:
        record(span, error)
        span.set_status(failed_by(error))
        raise
    finally:
        span.end()


def _current(span: Span) -> AbstractContextManager[Span]:
    """Make the span current for one step; its end and its failure are decided once, for the whole generator."""
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)
