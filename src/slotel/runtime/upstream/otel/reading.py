"""What the stages read of an ended span without a call: of slotel's own spans, else by the SDK's properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Status, StatusCode

UNSET: Final = Status(StatusCode.UNSET)
"""The status of a span of ours that nobody gave one: known by identity."""


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """Return a span's attributes, not to be written to: a view of them costs more than counting does."""
    recorded: Mapping[str, Any] | None = getattr(span, "recorded", None)
    return recorded if recorded is not None else dict(span.attributes or {})
