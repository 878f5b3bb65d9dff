"""The record of an exception, kept on the exception itself: the span that it failed, and whether it was reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import sentry_sdk
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from slotel.runtime.requests.local_roots import LocalRoot

RECORD: Final = "slotel.exception_record"
"""Key of an event's hint with the record of its exception."""
HAS_DETAILS: Final = "slotel.has_details"
"""In the hint of an event that has what the framework knows of its request."""
_KEY: Final = "_slotel_exception_record"


class ExceptionRecord:
    """One occurrence of an exception.

    Args:
        context: of the span that failed; None outside of every span.
        span: that span, once it has ended.

    Attributes:
        is_unwanted: the app's `before_send` dropped its event.
    """

    __slots__ = ("_reported", "context", "is_unwanted", "local_root", "span")

    def __init__(
        self, context: SpanContext | None, local_root: LocalRoot | None, span: ReadableSpan | None = None
    ) -> None:
        self.context = context
        self.local_root = local_root
        self.span = span
        self._reported: dict[Any, float] = {}
        self.is_unwanted = False

    @property
    def reported(self) -> float:
        """Monotonic seconds of the report to the active client; 0.0 if it was not reported."""
        return self._reported.get(sentry_sdk.get_client(), 0.0)

    @reported.setter
    def reported(self, when: float) -> None:
        self._reported[sentry_sdk.get_client()] = when

    def trace_differs(self, current: SpanContext | None = None) -> bool:
        """Whether the exception was raised again in another trace than the current one, as a shared instance may be."""
        current = current or trace.get_current_span().get_span_context()
        return self.context is not None and current.is_valid and current.trace_id != self.context.trace_id

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the record out when the exception is pickled or copied: readers need not have slotel."""
        return (dict, ())


def record_of(error: BaseException | None) -> ExceptionRecord | None:
    """Return the record of an exception; None if it has none."""
    found = vars(error).get(_KEY) if error is not None else None
    return found if isinstance(found, ExceptionRecord) else None


def remember(error: BaseException, exception_record: ExceptionRecord) -> None:
    """Store the record on the exception, so that it lives as long and matches by identity."""
    vars(error)[_KEY] = exception_record  # past __setattr__: an exception may be a frozen class


def is_reported(error: BaseException | None) -> bool:
    """Return whether an exception was already reported in the current trace: a second report is dropped."""
    known = record_of(error)
    return (
        known is not None and known.reported > 0.0 and known.context is not None and not known.trace_differs()
    )


def is_unwanted(error: BaseException) -> bool:
    """Return whether the app's `before_send` dropped the event of an exception of this trace."""
    known = record_of(error)
    return known is not None and known.is_unwanted and not known.trace_differs()


def unreport(hint: Mapping[str, Any]) -> None:
    """Forget that an exception was reported: the app's `before_send` dropped this event, and may keep the next."""
    known = hint.get(RECORD)
    if isinstance(known, ExceptionRecord):
        known.reported = 0.0
        known.is_unwanted = True
