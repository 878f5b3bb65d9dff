"""Reads the fields of an ended span that counting needs: by the SDK's own slots, else by its public properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan

Fields: TypeAlias = tuple[str, int, int, Mapping[str, Any], "int | None", "int | None"]
"""Name, kind, status, attributes, start and end. Kind and status as OpenTelemetry's numbers, times in ns."""


def read(span: ReadableSpan) -> Fields:
    """Return a span's fields; the attributes are its own, not to be written to.

    The properties cost a call each, and those of the attributes a view and a copy: together more than counting does.
    A span that has no such slots, of another SDK or made by hand, is read by its properties (0036).
    """
    try:
        # pylint: disable=protected-access
        return (
            span._name,  # noqa: SLF001 see above, for all six
            span._kind._value_,  # noqa: SLF001
            span._status.status_code._value_,  # noqa: SLF001
            span._attributes._dict,  # type: ignore[union-attr]  # noqa: SLF001
            span._start_time,  # noqa: SLF001
            span._end_time,  # noqa: SLF001
        )
    except AttributeError:
        return (
            span.name,
            span.kind.value,
            span.status.status_code.value,
            dict(span.attributes or {}),
            span.start_time,
            span.end_time,
        )
