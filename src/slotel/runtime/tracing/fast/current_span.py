"""The context managers of `start_as_current_span` and `use_span`: also decorators, of plain and coroutine functions."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from types import TracebackType
from typing import Any, Final, TypeAlias, TypeVar

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.sdk.trace import Tracer
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.util.types import Attributes

from slotel.runtime.upstream.otel.failure import failed_by, record
from slotel.runtime.upstream.otel.spans import SPAN_KEY

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Start: TypeAlias = tuple[
    str, "Context | None", SpanKind, Attributes, "Sequence[Link] | None", "int | None", bool, bool
]
_new: Final = object.__new__
_put: Final = dict.__setitem__


class CurrentSpan:
    """A span that is the current one inside the block; it starts when the block is entered.

    What is no `Exception` (a cancelled task, a closed generator) is no error.
    """

    __slots__ = ("ends", "span", "start", "token", "tracer")
    tracer: Tracer
    start: _Start
    """The arguments of `start_span`; at the end, whether an exception is recorded, and whether it makes an error."""
    ends: bool
    """Whether the span ends with the block."""
    span: Span
    token: Any

    def __enter__(self) -> Span:
        """Start the span."""
        span = self.span = self.tracer.start_span(*self.start)
        inside = Context(get_current())
        _put(inside, SPAN_KEY, span)  # a Context refuses its own __setitem__
        self.token = attach(inside)
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span: while its exception is being handled, also one that is given by hand, as in a generator."""
        if error is None or sys.exc_info()[1] is error:
            self._end(error)
        else:
            self._end_handling(error, trace)

    def _end_handling(self, error: BaseException, trace: TracebackType | None) -> None:
        around = error.__context__
        try:
            raise error  # noqa: TRY301 what handles it is here
        except BaseException:  # noqa: BLE001 it is the caller's
            self._end(error)
        finally:
            error.__context__, error.__traceback__ = around, trace

    def _end(self, error: BaseException | None) -> None:
        detach(self.token)
        span = self.span
        try:
            if isinstance(error, Exception) and isinstance(span, Span) and span.is_recording():
                *_, records, marks = self.start
                if records:
                    record(span, error)
                if marks:
                    span.set_status(failed_by(error))
        finally:
            if self.ends:
                span.end()

    def __call__(self, function: _Function) -> _Function:
        """Return the function with a span of its own around each call."""
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return awaited  # type: ignore[return-value]

        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return called  # type: ignore[return-value]

    def _again(self) -> CurrentSpan:
        return start_as_current_span(self.tracer, *self.start, self.ends)


def start_as_current_span(
    self: Tracer,
    name: str,
    context: Context | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes = None,
    links: Sequence[Link] | None = (),
    start_time: int | None = None,
    record_exception: bool = True,
    set_status_on_exception: bool = True,
    end_on_exit: bool = True,
) -> CurrentSpan:
    """Return a context manager, or decorator, in which a new span is the current one. A method of a tracer."""
    opened: CurrentSpan = _new(CurrentSpan)  # a constructor would cost a call more
    opened.tracer = self
    opened.start = (
        name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception,
    )  # fmt: skip
    opened.ends = end_on_exit
    return opened


class UsedSpan(CurrentSpan):
    """A span that has started, and is the current one inside the block.

    One that is entered and forgotten is left when it is freed, as the API's generator is: a span may end by that.
    """

    __slots__ = ("is_inside",)
    is_inside: bool

    def __enter__(self) -> Span:
        """Make the span the current one."""
        inside = Context(get_current())
        _put(inside, SPAN_KEY, self.span)
        self.token = attach(inside)
        self.is_inside = True
        return self.span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put back the span that was the current one, and end this one if that was asked for."""
        self.is_inside = False
        super().__exit__(kind, error, trace)

    def __del__(self) -> None:
        """Leave the block."""
        if self.is_inside:
            self.__exit__(GeneratorExit, GeneratorExit(), None)

    def _again(self) -> CurrentSpan:
        *_, records, marks = self.start
        return use_span(self.span, self.ends, records, marks)


def use_span(
    span: Span,
    end_on_exit: bool = False,
    record_exception: bool = True,
    set_status_on_exception: bool = True,
) -> UsedSpan:
    """Return a context manager, or decorator, in which a span is the current one; `opentelemetry.trace.use_span`."""
    used: UsedSpan = _new(UsedSpan)
    used.span = span
    used.start = (record_exception, set_status_on_exception)  # type: ignore[assignment]  # it has started
    used.ends = end_on_exit
    used.is_inside = False
    return used
