"""Copies the values that an app has put into an event, on the capturing thread: later changes have no effect.

Plain values are copied. Values that are odd, deep or cyclic are left to sentry-sdk's serializer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any, Final

from sentry_sdk.utils import AnnotatedValue  # type: ignore[attr-defined]  # where both 2.x and 3.x have it

from slotel.runtime.upstream.sentry.frames import KnownFrame, shared_by

Event = dict[str, Any]

LONGEST: Final = 300_000
"""Characters of a text that is kept for later: more than Sentry's server keeps of any. A longer one is cut at once."""
_DEEPEST: Final = 30
_MOST: Final = 5000
"""Most levels, and most dicts and lists of a part: sentry-sdk trims larger ones."""
LEAVES: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
_WITH_DATES: Final = LEAVES | {datetime}
_HOLDERS: Final = frozenset({dict, KnownFrame, list, tuple, AnnotatedValue})
_DATED: Final = frozenset({"timestamp", "breadcrumbs"})
_TRIMMED: Final = frozenset({"exception", "threads", "request", "extra", "user", "spans"})
"""Parts that sentry-sdk trims or scrubs, or that hold frames."""
_SERIALIZED: Final = _DATED | _TRIMMED


def parts_of(event: Mapping[str, Any], unbounded: bool) -> tuple[Event, Event, Event]:
    """Return the parts of an event, copied: those that need no serialising, those to be serialised later; and the odd
    ones, which sentry-sdk must serialise at once.

    Args:
        unbounded: no text is cut.
    """  # noqa: D205 one sentence
    plain, later, odd = Event(), Event(), Event()
    for part, value in event.items():
        try:
            if value.__class__ is str and len(value) <= LONGEST and unbounded and part not in _SERIALIZED:
                plain[part] = value
            elif part in _DATED:
                later[part] = _Copy(_WITH_DATES).of(value)
            elif part in _TRIMMED or not unbounded:
                later[part] = _Copy(LEAVES).of(value)
            else:
                plain[part] = _Copy(LEAVES).of(value)
        except (_OddError, RuntimeError):  # another thread changes a dict
            odd[part] = value
    return plain, later, odd


def tamed(value: Any) -> Any:
    """Return data without circles and within bounds: sentry-sdk's serializer never ends at one that closes twice."""
    left = [_MOST]

    def tame(value: Any, above: tuple[int, ...]) -> Any:
        kind: Any = value.__class__
        if kind not in _HOLDERS or kind is AnnotatedValue:
            return value
        if id(value) in above:
            return "<cyclic>"
        left[0] -= 1
        if len(above) >= _DEEPEST or left[0] < 0:
            return "<too much>"
        above = (*above, id(value))
        if kind is dict or kind is KnownFrame:
            return {key: tame(item, above) for key, item in list(value.items())}
        return kind(tame(item, above) for item in value)

    return tame(value, ())


class _OddError(Exception):
    """A value that may change, or that only its own thread can write as text; or too much of it, as in a circle."""


class _Copy:
    """Copies what holds nothing but plain values."""

    __slots__ = ("_leaves", "_left")

    def __init__(self, leaves: frozenset[type]) -> None:
        self._leaves = leaves
        self._left = _MOST

    def of(self, value: Any, levels: int = _DEEPEST) -> Any:
        kind = value.__class__
        if kind is str:
            return value if len(value) <= LONGEST else value[:LONGEST]
        if kind in self._leaves:
            return value if kind is not float or isfinite(value) else repr(value)
        self._left -= 1
        if not levels or self._left < 0 or kind not in _HOLDERS:
            raise _OddError
        if kind is AnnotatedValue:
            return AnnotatedValue(self.of(value.value, levels - 1), self.of(value.metadata, levels - 1))
        if kind is KnownFrame:
            return shared_by(value) or self._dict(value, levels - 1)
        return self._dict(value, levels - 1) if kind is dict else self._list(value, levels - 1)

    def _dict(self, value: dict[Any, Any], levels: int) -> dict[str, Any]:
        of, copied = self.of, {}
        for key, item in value.items():
            if key.__class__ is not str:
                raise _OddError
            # most are such texts and numbers: a call for each would take twice as long
            kind = item.__class__
            is_short = kind is int or (kind is str and len(item) <= LONGEST)
            copied[key] = item if is_short else of(item, levels)
        return copied

    def _list(self, value: Any, levels: int) -> list[Any]:
        of = self.of
        return [
            item if item.__class__ is str and len(item) <= LONGEST else of(item, levels) for item in value
        ]
