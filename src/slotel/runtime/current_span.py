"""The context manager of `start_as_current_span`: also a decorator, of functions and of coroutine functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from types import TracebackType
from typing import Any, Final, TypeVar

from opentelemetry.context import Context, detach
from opentelemetry.sdk.trace import Tracer
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes

from slotel.runtime.known_sdk import SPAN_KEY, attach, current, reset

_Function = TypeVar("_Function", bound=Callable[..., Any])
_put: Final = dict.__setitem__


class CurrentSpan:
    """A span that is the current one inside the block; it starts when the block is entered.

    Args:
        records: whether an exception that leaves the block becomes an event of the span.
        marks: whether it makes the span an error.
        ends: whether the span ends with the block.

    What is no `Exception` (a cancelled task, a closed generator) is no error.
    """

    __slots__ = ("_ends", "_marks", "_records", "_span", "_start", "_token", "_tracer")

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        context: Context | None,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] | None,
        start_time: int | None,
        records: bool,
        marks: bool,
        ends: bool,
    ) -> None:
        self._tracer = tracer
        self._start = (name, context, kind, attributes, links, start_time, records, marks)
        self._records = records
        self._marks = marks
        self._ends = ends

    def __enter__(self) -> Span:
        """Start the span."""
        span = self._span = self._tracer.start_span(*self._start)
        inside = Context(current())
        _put(inside, SPAN_KEY, span)  # a Context refuses its own __setitem__
        self._token = attach(inside)
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span."""
        try:
            reset(self._token)
        except Exception:  # noqa: BLE001 whatever the store of contexts raises
            detach(self._token)  # fails again, and logs it as the SDK does
        span = self._span
        try:
            if error is not None and isinstance(error, Exception) and span.is_recording():
                if self._records:
                    span.record_exception(error)
                if self._marks:
                    span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        finally:
            if self._ends:
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
        return CurrentSpan(self._tracer, *self._start, self._ends)
