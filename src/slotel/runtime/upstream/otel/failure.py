"""Records an exception on the span that it ends, even if the exception's own methods raise."""

from __future__ import annotations

from opentelemetry.trace import Span, Status, StatusCode

from slotel.runtime.logs import printable


def record(span: Span, error: BaseException) -> None:
    """Record an exception. A span of the SDK asks for its text: where that raises, its type is recorded."""
    try:
        span.record_exception(error)
    except Exception:  # noqa: BLE001 of the exception's own methods
        kind = type(error)
        described = {
            "exception.type": f"{kind.__module__}.{kind.__qualname__}",
            "exception.message": printable(error),
        }
        span.add_event("exception", described)


def failed_by(error: BaseException) -> Status:
    """Return the status of a span that an exception ended, with the description that OpenTelemetry's API gives it."""
    return Status(StatusCode.ERROR, f"{type(error).__name__}: {printable(error)}")
