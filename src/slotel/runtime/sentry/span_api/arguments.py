"""Converts arguments of sentry-sdk's span API to attributes, values and times of OpenTelemetry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

OP: Final = "sentry.op"
STATUS: Final = "sentry.status"
SOURCE: Final = "sentry.source"
TRANSACTION: Final = "sentry.transaction"
"""Attributes that Sentry's transactions read. Source: Sentry's SDKs for JavaScript, "semantic attributes"."""
DESCRIPTION: Final = "sentry.description"
"""Attribute with the unbounded text of a span whose name must be bounded for metrics: a cache's key, a command line."""
ATTRIBUTES: Final = frozenset({OP, STATUS, SOURCE, TRANSACTION, DESCRIPTION})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_BY_INTEGRATION: Final = "auto."
_NOT_INSTRUMENTED: Final = ("auto.ai", "auto.graphql")
_OPS_NOT_INSTRUMENTED: Final = ("cache.", "subprocess")


def is_made_by_code(origin: Any) -> bool:
    """Whether slotel makes the span: OpenTelemetry's instrumentations make those of most integrations of sentry-sdk.

    Args:
        origin: what sentry-sdk calls so: `manual`, `auto.http.httpx`; None counts as `manual`.
    """
    return (
        origin is None
        or not str(origin).startswith(_BY_INTEGRATION)
        or str(origin).startswith(_NOT_INSTRUMENTED)
    )


def with_bounded_name(arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of a child span whose name has a bound; None for one that an instrumentation makes.

    A span of a cache or a process is named by its operation; its key or command line becomes `sentry.description`.
    """
    op = str(arguments.get("op") or "")
    if not op.startswith(_OPS_NOT_INSTRUMENTED):
        return None
    said = arguments.get("name") or arguments.get("description")
    attributes = {**(arguments.get("attributes") or {}), **({DESCRIPTION: said} if said else {})}
    return {**arguments, "name": op, "attributes": attributes}


def as_attribute(value: Any) -> Any:
    """Return a value that OpenTelemetry accepts; None for one of another type, as a dict or a list of numbers."""
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return list(value)
    return None


def as_json(value: Any) -> str:
    """Return JSON; of what has none, its `repr`: 1,000 characters at the most. Never raises."""
    try:
        return json.dumps(value, default=str)
    except Exception:  # noqa: BLE001 a value of the app may have no text
        try:
            return json.dumps(repr(value)[:1000])
        except Exception as error:  # noqa: BLE001 the same
            return json.dumps(f"<{type(value).__name__}: {type(error).__name__}>")


def as_datetime(nanoseconds: int | None) -> datetime | None:
    """Return the UTC time of unix nanoseconds."""
    return None if nanoseconds is None else _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def nanoseconds_of(time: float | datetime | None) -> int | None:
    """Return unix nanoseconds of unix seconds or a datetime."""
    if time is None:
        return None
    return int((time.timestamp() if isinstance(time, datetime) else time) * 1e9)
