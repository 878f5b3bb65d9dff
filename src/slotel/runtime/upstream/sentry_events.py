"""Leaves to another thread what sentry-sdk does with a made event: marks the app's frames, scrubs, serialises.

On the thread that captures, event processors have run and each value of the app is copied or written as text, so that
nothing changes behind its back. What is left is bound to no thread.

| name | why | where it is missing |
| --- | --- | --- |
| `client._Client._prepare_event` | knows the client and its options | an event is serialised where it is captured |
| `client.serialize`, `client.handle_in_app` | are left for later, within that method | the same |
| `EventScrubber.scrub_event` | is left for later, if it is sentry-sdk's own and that method calls it | the same |
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, NamedTuple

from sentry_sdk import client as sentry_client
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.utils import AnnotatedValue  # type: ignore[attr-defined]  # where both 2.x and 3.x have it

from slotel.runtime.logs import LOG

Event = dict[str, Any]

LONGEST: Final = 300_000
"""Characters of a text that is kept for later: more than Sentry's server keeps of any. A longer one is cut at once."""
_DEEPEST: Final = 30
_MOST: Final = 5000
"""Levels, and dicts and lists of a part: more is copied by nobody, but trimmed by sentry-sdk."""
_LEAVES: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
_WITH_DATES: Final = _LEAVES | {datetime}
_HOLDERS: Final = frozenset({dict, list, tuple, AnnotatedValue})
_KEYS: Final = frozenset({str})
_MARK: Final = "_slotel_original"
_STACKS: Final = ("exception", "threads")
_DATED: Final = frozenset({"timestamp", "breadcrumbs"})
_TRIMMED: Final = frozenset({"exception", "threads", "request", "extra", "user", "spans"})
"""Parts that sentry-sdk trims or scrubs, or that hold frames."""


class UnserializedEvent(Event):
    """An error event that is still to be finished, on any thread.

    Args:
        ready: its parts that need no serialising, or are serialised.
        meta: what sentry-sdk noted of the parts that are serialised already.
    """

    __slots__ = ("_meta", "_pending", "_ready")

    def __init__(
        self, event: Mapping[str, Any], ready: Mapping[str, Any], meta: Any, pending: _Pending
    ) -> None:
        super().__init__({**event, **ready})
        self._ready = ready.keys()
        self._meta = meta
        self._pending = pending

    def finished(self) -> Event:
        """Return the event as sentry-sdk would have made it; as it is where sentry-sdk fails."""
        try:
            return self._finished()
        except Exception as error:  # noqa: BLE001 an event that is not marked and scrubbed is better than none
            LOG.debug("an event could not be finished: %s", error, exc_info=True)
            return dict(self)

    def _finished(self) -> Event:
        rest = {part: value for part, value in self.items() if part not in self._ready}
        rest = self._pending.prepared(rest)
        made = _serialized(rest, self._pending.hooks.serialize, self._pending.options)
        meta = {**self._meta, **made.pop("_meta", {})}
        made.update({part: self[part] for part in self._ready if part in self})
        return {**made, "_meta": meta} if meta else made


class _Hooks(NamedTuple):
    """sentry-sdk's own functions."""

    prepare: Any
    in_app: Any
    scrub: Any
    serialize: Any


class _Pending:
    """What sentry-sdk wants to do with the event that is being prepared here."""

    __slots__ = ("hooks", "in_app", "options", "scrubber")

    def __init__(self, hooks: _Hooks) -> None:
        self.hooks = hooks
        self.in_app: tuple[Any, ...] = ()
        self.options: Mapping[str, Any] = {}
        self.scrubber: Any = None

    def prepared(self, event: Event) -> Event:
        """Return the event with the app's frames marked, scrubbed."""
        event = self.hooks.in_app(event, *self.in_app)
        if self.scrubber is not None:
            self.hooks.scrub(self.scrubber, event)
        return event

    def serialized(self, event: Event) -> Event:
        """Return the event as sentry-sdk makes it, at once."""
        made: Event = self.hooks.serialize(self.prepared(event), **self.options)
        return made


_PENDING: ContextVar[_Pending | None] = ContextVar("slotel-pending-event", default=None)


def defer_serializing(may: Callable[[Any], bool]) -> bool:
    """Leave the serialising of error events to `UnserializedEvent.finished`; return whether sentry-sdk can be asked.

    Args:
        may: given a client, tells whether its transport finishes events.
    """
    kind: Any = getattr(sentry_client, "_Client", None)
    places = (
        (kind, "_prepare_event", _prepare),
        (sentry_client, "handle_in_app", _in_app),
        (EventScrubber, "scrub_event", _scrub),
        (sentry_client, "serialize", _serialize),
    )
    if not all(hasattr(holder, name) for holder, name, _ in places):
        return False
    hooks = _Hooks(*(_original(getattr(holder, name)) for holder, name, _ in places))
    for (holder, name, wrap), original in zip(places, hooks, strict=True):
        wrapped = functools.wraps(original)(wrap(hooks, may))
        setattr(wrapped, _MARK, original)
        setattr(holder, name, wrapped)
    return True


def _original(function: Any) -> Any:
    return getattr(function, _MARK, function)


def _prepare(hooks: _Hooks, may: Callable[[Any], bool]) -> Callable[..., Any]:
    def prepare_event(client: Any, event: Any, *more: Any, **named: Any) -> Any:
        token = _PENDING.set(_Pending(hooks) if event.get("type") is None and may(client) else None)
        try:
            return hooks.prepare(client, event, *more, **named)
        finally:
            _PENDING.reset(token)

    return prepare_event


def _in_app(hooks: _Hooks, _: Any) -> Callable[..., Any]:
    def handle_in_app(event: Any, *options: Any, **named: Any) -> Any:
        pending = _PENDING.get()
        if pending is None or named:
            return hooks.in_app(event, *options, **named)
        pending.in_app = options
        return event

    return handle_in_app


def _scrub(hooks: _Hooks, _: Any) -> Callable[..., Any]:
    prepare = hooks.prepare.__code__

    def scrub_event(scrubber: Any, event: Any) -> None:
        pending = _PENDING.get()
        known = type(scrubber) is EventScrubber and not getattr(scrubber, "recursive", True)
        caller = sys._getframe(1).f_code  # noqa: SLF001 public, if documented as CPython's
        if pending is not None and known and caller is prepare:
            pending.scrubber = scrubber
        else:
            hooks.scrub(scrubber, event)

    return scrub_event


def _serialize(hooks: _Hooks, _: Any) -> Callable[..., Any]:
    def serialize(event: Any, **options: Any) -> Any:
        pending = _PENDING.get()
        if pending is None:
            return hooks.serialize(event, **options)
        pending.options = options
        plain, later, odd = _parts(event, options.get("max_value_length") is None)
        done = pending.serialized(odd) if odd else {}
        meta = done.pop("_meta", {})
        return UnserializedEvent(later, {**plain, **done}, meta, pending)

    return serialize


def settled(parts: Event) -> Event:
    """Return parts of an event as copies of plain values; what is odd, deep or cyclic is serialised by sentry-sdk.

    Raises:
        KeyError: sentry-sdk has no `serialize` any more.
    """
    plain, later, odd = _parts(parts, unbounded=True)
    made = {**plain, **later}
    if odd:
        serialized = _original(vars(sentry_client)["serialize"])(odd)
        serialized.pop("_meta", None)
        made.update(serialized)
    return made


# -- on the thread that captures -----------------------------------------------------------------------------------


def _parts(event: Mapping[str, Any], unbounded: bool) -> tuple[Event, Event, Event]:
    """Return the parts of an event, copied: those that need no serialising, those to be serialised later; and the odd
    ones, which sentry-sdk must serialise at once.

    Args:
        unbounded: no text is to be cut.
    """  # noqa: D205 one sentence
    plain, later, odd = {}, {}, {}
    for part, value in event.items():
        try:
            if part in _DATED:
                later[part] = _Copy(_WITH_DATES).of(value)
            elif part in _TRIMMED or not unbounded:
                later[part] = _Copy(_LEAVES).of(value)
            else:
                plain[part] = _Copy(_LEAVES).of(value)
        except (_OddError, RuntimeError):  # another thread changes a dict
            odd[part] = value
    return plain, later, odd


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
            return value
        self._left -= 1
        if not levels or self._left < 0 or kind not in _HOLDERS:
            raise _OddError
        if kind is AnnotatedValue:
            return AnnotatedValue(self.of(value.value, levels - 1), self.of(value.metadata, levels - 1))
        return self._dict(value, levels - 1) if kind is dict else self._list(value, levels - 1)

    def _dict(self, value: dict[Any, Any], levels: int) -> dict[str, Any]:
        if not _KEYS.issuperset(map(type, value)):
            raise _OddError
        items = list(value.values())
        if self._leaves.issuperset(map(type, items)) and not _is_long(items):
            return dict(value)
        return {key: self.of(item, levels) for key, item in value.items()}

    def _list(self, value: Any, levels: int) -> list[Any]:
        if self._leaves.issuperset(map(type, value)) and not _is_long(value):
            return list(value)
        return [self.of(item, levels) for item in value]


def _is_long(items: Any) -> bool:
    return any(item.__class__ is str and len(item) > LONGEST for item in items)


# -- on any thread -------------------------------------------------------------------------------------------------


def _serialized(event: Event, serialize: Callable[..., Any], options: Mapping[str, Any]) -> Event:
    """Serialise an event; frames are plain already, and are left out where nothing in them is too long."""
    longest = options.get("max_value_length")
    aside: list[tuple[dict[str, Any], list[Any]]] = []
    for stack in _stacks(event):
        frames = stack.get("frames")
        if isinstance(frames, list) and (
            longest is None or all(_is_short(frame, longest) for frame in frames)
        ):
            stack["frames"] = [len(aside)]
            aside.append((stack, frames))
    try:
        made: Event = serialize(event, **options)
    finally:
        for stack, frames in aside:
            stack["frames"] = frames
    for stack in _stacks(made):
        numbers = stack.get("frames")
        if isinstance(numbers, list) and len(numbers) == 1 and isinstance(numbers[0], int):
            stack["frames"] = aside[numbers[0]][1]
    return made


def _stacks(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    holders: list[Any] = [event]
    for part in _STACKS:
        found = event.get(part)
        values = found.get("values") if isinstance(found, Mapping) else found
        holders.extend(values if isinstance(values, list) else ())
    for holder in holders:
        stack = holder.get("stacktrace") if isinstance(holder, Mapping) else None
        if isinstance(stack, dict):
            yield stack


def _is_short(value: Any, longest: int) -> bool:
    kind = value.__class__
    if kind is str:
        return len(value) <= longest
    if kind is dict:
        return all(_is_short(item, longest) for item in value.values())
    return all(_is_short(item, longest) for item in value) if kind is list else True
