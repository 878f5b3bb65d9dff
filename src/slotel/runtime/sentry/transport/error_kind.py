"""What error events of one kind have in common: type and place, or logger and message. Pure."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

from slotel.runtime.redaction.events import values

_FRAMES: Final = 20
"""Innermost frames of an exception that tell its place: further out is what calls everything."""
_LONGEST: Final = 200
"""Characters of a message that are looked at."""
_NUMBER: Final = re.compile(r"(?<![0-9a-fA-F-])[a-fA-F-]*[0-9][0-9a-fA-F-]*")
"""A number, or an id with a digit: texts that differ by these alone are of one kind. It is looked for once in each
run of such characters: else a line of dashes costs the request 0.1 ms."""


def error_kind(event: Mapping[str, Any]) -> Hashable:
    """Return the kind of an error event; None if it tells nothing.

    >>> error_kind({"message": "order 17 failed"}) == error_kind({"message": "order 18 failed"})
    True
    """
    try:
        return hash(tuple(_traits(event)))
    except Exception:  # noqa: BLE001 values of the app may be anything
        return None


def _traits(event: Mapping[str, Any]) -> Iterator[Hashable]:
    fingerprint = event.get("fingerprint")
    if fingerprint:
        yield tuple(map(str, fingerprint))
    exceptions = values(event, "exception")
    for exception in exceptions:
        yield exception.get("type")
        stack = exception.get("stacktrace") or {}
        for frame in stack.get("frames", ())[-_FRAMES:]:
            yield frame.get("filename")
            yield frame.get("lineno")
    if exceptions:
        return
    entry = event.get("logentry") or {}
    message = entry.get("message") or event.get("message") or ""
    yield event.get("logger")
    yield event.get("level")
    yield _NUMBER.sub("0", str(message)[:_LONGEST])
