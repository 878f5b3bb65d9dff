"""Reads fields of an ended span: without a call from slotel's own spans, by the SDK's properties from others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status, StatusCode

from slotel.runtime.logs import exact_text

UNSET: Final = Status(StatusCode.UNSET)
"""The status of a span of slotel's own that was given none; compared by identity."""
_FIELDS: Final = (
    "name", "context", "parent", "resource", "attributes", "events", "links", "kind", "status", "start_time",
    "end_time", "instrumentation_scope",
)  # fmt: skip
_SERVER_ERROR: Final = 500
"""From here on a server span is an error. Source: OpenTelemetry semantic conventions, HTTP spans, Status."""


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """Return a span's attributes, not to be written to: a view of them costs more than counting does."""
    recorded: Mapping[str, Any] | None = getattr(span, "recorded", None)
    return recorded if recorded is not None else dict(span.attributes or {})


def exact(span: ReadableSpan) -> ReadableSpan | None:
    """Return the span with texts and numbers of Python's own types, for one whose values' methods raise.

    Neither the API nor the SDK tests a name, or a value's class beyond `isinstance`.

    Returns:
        None if it has no others.
    """
    given = attributes_of(span)
    attributes = {exact_text(key): exact_value(value) for key, value in given.items()}
    events = [
        Event(
            exact_text(event.name),
            {exact_text(key): exact_value(value) for key, value in (event.attributes or {}).items()},
            event.timestamp,
        )
        for event in span.events
    ]
    status, name = span.status, exact_text(span.name)
    if (
        span.name is name
        and all(map(_is_same, given.values(), attributes.values()))
        and (status.description is None or type(status.description) is str)
        and not events
    ):
        return None
    if status.description is not None:
        status = Status(status.status_code, exact_text(status.description))
    return copied(span, name=name, attributes=attributes, events=events, status=status)


def copied(span: ReadableSpan, **changed: Any) -> ReadableSpan:
    """Return a copy of an ended span with other values for some arguments of `ReadableSpan`."""
    return ReadableSpan(**{name: getattr(span, name) for name in _FIELDS if name not in changed}, **changed)


def exact_value(value: Any) -> Any:
    """Return an attribute's value as one of Python's own types."""
    if isinstance(value, (str, bytes, type(None), bool)):
        return exact_text(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return tuple(map(exact_value, value)) if isinstance(value, (list, tuple)) else exact_text(value)


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is tuple and all(map(_is_same, one, other)))


def add_missing(span: ReadableSpan, name: str, value: Any) -> None:
    """Add attributes to a span that has ended and was not exported yet; a span of the SDK stays as it is."""
    recorded = getattr(span, "recorded", None)
    if recorded is not None:
        recorded.setdefault(name, value)


def set_sent_status(span: ReadableSpan, name: str, status: int | None) -> None:
    """Set the sent status code on a span that has ended and was not exported yet; a span of the SDK stays as it is.

    Args:
        name: of the attribute.
        status: None: no answer was sent.
    """
    recorded = getattr(span, "recorded", None)
    if recorded is None:
        return
    if status is None:
        recorded.pop(name, None)
        return
    recorded[name] = status
    if status >= _SERVER_ERROR and span.status is UNSET:
        recorded.setdefault("error.type", str(status))
        cast("Any", span).amend_status(StatusCode.ERROR)
