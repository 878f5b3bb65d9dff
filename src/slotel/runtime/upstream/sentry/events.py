"""Moves the last steps of sentry-sdk with an event to the sender's thread: mark the app's frames, scrub, serialise.

On the capturing thread, event processors run, and each value of the app is copied or converted to text, so that later
changes of the value have no effect. The other steps can run on any thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime, timezone
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from sentry_sdk import client as sentry_client

from slotel.runtime.logs import LOG
from slotel.runtime.upstream.probe import SLOWER, Probe, unwrapped
from slotel.runtime.upstream.sentry.frames import KnownFrame
from slotel.runtime.upstream.sentry.plain_values import LEAVES, Event, parts_of, tamed

_HAS_SCRUBBER: Final = find_spec("sentry_sdk.scrubber") is not None
"""3.x has none: then this one scrubs nothing."""
EventScrubber: Final[Any] = (
    import_module("sentry_sdk.scrubber").EventScrubber
    if _HAS_SCRUBBER
    else type("EventScrubber", (), {"scrub_event": lambda _self, _event: None})
)

_FIRST_YEAR, _LAST_YEAR = 1000, 9999
"""For years outside of these, time zones and the length of the text differ."""
_DATA_LEVELS: Final = 5
_DATA_ITEMS: Final = 10
"""Source: sentry-sdk, `MAX_DATABAG_DEPTH`, `MAX_DATABAG_BREADTH`."""
_PAIR: Final = 2
_NOW: Final = "an error event is serialised on the thread that captures it"
_CLIENT: Final = Probe(
    "sentry_sdk.client", "_Client", why="the class of every client", without=_NOW, level=SLOWER
)
_PREPARE: Final = Probe(
    "sentry_sdk.client:_Client", "_prepare_event",
    why="knows the client of an event", without=_NOW, level=SLOWER,
)  # fmt: skip
_IN_APP: Final = Probe(
    "sentry_sdk.client", "handle_in_app", why="is left to the sender's thread", without=_NOW, level=SLOWER
)
_SCRUB: Final = Probe(
    "sentry_sdk.scrubber:EventScrubber", "scrub_event",
    why="is left to the sender's thread", without=_NOW, level=SLOWER,
)  # fmt: skip
_SERIALIZE: Final = Probe(
    "sentry_sdk.client", "serialize", why="is left to the sender's thread", without=_NOW, level=SLOWER
)
_STACKS: Final = ("exception", "threads")
_BODY: Final = "data"
"""The key of a request that sentry-sdk trims. Of the other keys, and of a user, it only cuts long texts."""


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

    @property
    def marks(self) -> Any:
        """The arguments that decide which frames are the app's; None where texts of frames are cut, too."""
        if self._pending.options.get("max_value_length") is not None:
            return None
        return [tuple(each) if each.__class__ is list else each for each in self._pending.in_app]

    @property
    def longest(self) -> int | None:
        """The app's `max_value_length`."""
        longest = self._pending.options.get("max_value_length")
        return longest if isinstance(longest, int) else None

    def finished(self) -> Event:
        """Return the event as sentry-sdk would have made it; as it is where sentry-sdk fails."""
        rest = {part: value for part, value in self.items() if part not in self._ready}
        try:
            rest = self._pending.prepared(rest)
            made = _serialized(rest, self._pending.hooks.serialize, self._pending.options)
        except Exception as error:  # noqa: BLE001 an event that is not marked and scrubbed is better than none
            LOG.debug("an event could not be finished: %s", error, exc_info=True)
            return dict(self)
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
    """The steps of sentry-sdk that are postponed for the event that is being prepared in this context."""

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
        made: Event = self.hooks.serialize(tamed(self.prepared(event)), **self.options)
        return made


_PENDING: ContextVar[_Pending | None] = ContextVar("slotel-pending-event", default=None)
_NAMED: ContextVar[str | None] = ContextVar("slotel-name-of-event", default=None)


def defer_serializing(may: Callable[[Any], bool]) -> None:
    """Leave the serialising of error events to `UnserializedEvent.finished`, if sentry-sdk can be asked for it.

    Args:
        may: given a client, tells whether its transport finishes events.
    """
    client: Any = _CLIENT.of(sentry_client)
    places = (
        (_PREPARE, client),
        (_IN_APP, sentry_client),
        (_SCRUB, EventScrubber),
        (_SERIALIZE, sentry_client),
    )
    if client is None or any(probe.of(owner) is None for probe, owner in places):
        return
    hooks = _Hooks(*(unwrapped(probe.of(owner)) for probe, owner in places))

    def prepare_event(client: Any, event: Any, *more: Any, **named: Any) -> Any:
        is_error = event.get("type") is None
        token = _PENDING.set(_Pending(hooks) if is_error and may(client) else None)
        token_of_name = _NAMED.set(event.get("transaction") if is_error else None)
        try:
            return hooks.prepare(client, event, *more, **named)
        finally:
            _NAMED.reset(token_of_name)
            _PENDING.reset(token)

    def handle_in_app(event: Any, *options: Any, **named: Any) -> Any:
        pending = _PENDING.get()
        if pending is None or named:
            return hooks.in_app(event, *options, **named)
        pending.in_app = options
        return event

    def scrub_event(scrubber: Any, event: Any) -> None:
        pending = _PENDING.get()
        known = type(scrubber) is EventScrubber and not getattr(scrubber, "recursive", True)
        caller = sys._getframe(1).f_code  # noqa: SLF001 public, if documented as CPython's
        if pending is not None and known and caller is hooks.prepare.__code__:
            pending.scrubber = scrubber
        else:
            hooks.scrub(scrubber, event)

    def serialize(event: Any, **options: Any) -> Any:
        pending = _PENDING.get()
        if pending is None:
            return hooks.serialize(event, **options)
        pending.options = options
        plain, later, odd = parts_of(event, options.get("max_value_length") is None)
        done = pending.serialized(odd) if odd else {}
        meta = done.pop("_meta", {})
        return UnserializedEvent(later, {**plain, **done}, meta, pending)

    replacements = (prepare_event, handle_in_app, scrub_event, serialize)
    for (probe, owner), replacement in zip(places, replacements, strict=True):
        probe.wrap(owner, lambda _original, new=replacement: new)  # type: ignore[misc]  # bound now


def name_given_to_event() -> str | None:
    """Return the transaction that the app itself wrote into the event that is being prepared, or None."""
    return _NAMED.get()


def settled(parts: Event) -> Event:
    """Return parts of an event as copies of plain values; what is odd, deep or cyclic is serialised by sentry-sdk."""
    plain, later, odd = parts_of(parts, unbounded=True)
    made = {**plain, **later}
    if odd:
        serialize = unwrapped(_SERIALIZE.of(sentry_client))
        serialized = (
            serialize(tamed(odd)) if serialize is not None else {part: repr(odd[part]) for part in odd}
        )
        serialized.pop("_meta", None)
        made.update(serialized)
    return made


def given_tags(tags: Any) -> dict[str, Any]:
    """Return an event's tags, which may be pairs, too; odd values are text as sentry-sdk writes it.

    >>> given_tags([["a", 1], ("b", b"tea"), "no pair"])
    {'a': 1, 'b': 'tea'}
    """
    if isinstance(tags, (list, tuple)):
        tags = {
            str(pair[0]): pair[1] for pair in tags if isinstance(pair, (list, tuple)) and len(pair) == _PAIR
        }
    if not isinstance(tags, dict):
        return {}
    if all(value.__class__ in LEAVES for value in tags.values()):
        return dict(tags)
    told = settled({"tags": tags})["tags"]
    return {key: told.get(str(key), value) for key, value in tags.items()}


def _serialized(event: Event, serialize: Callable[..., Any], options: Mapping[str, Any]) -> Event:
    """Serialise an event; plain values, which sentry-sdk's serializer would not change, are not copied."""
    longest = options.get("max_value_length")
    aside: Event = {
        part: event.pop(part)
        for part in _STACKS
        if part in event and (longest is None or _stays(event[part], longest))
    }
    for part in ("request", "user"):
        said = event.get(part)
        if said.__class__ is dict and _BODY not in said and _stays(said, longest):
            aside[part] = event.pop(part)
    if "extra" in event and _fits(event["extra"], longest):
        aside["extra"] = event.pop("extra")
    crumbs = _crumbs(event.get("breadcrumbs"), longest)
    if crumbs is not None:
        del event["breadcrumbs"]
        aside["breadcrumbs"] = crumbs
    time = _time(event.get("timestamp"))
    if time is not None:
        aside["timestamp"] = time
        del event["timestamp"]
    made: Event = serialize(event, **options) if event else {}
    return {**made, **aside}


def _crumbs(crumbs: Any, longest: int | None) -> Event | None:
    """Return breadcrumbs with their times as text; None if sentry-sdk must trim them."""
    values = crumbs.get("values") if crumbs.__class__ is dict and len(crumbs) == 1 else None
    if values.__class__ is not list:
        return None
    made = []
    for crumb in values:
        if crumb.__class__ is not dict:
            return None
        time = _time(crumb.get("timestamp"))
        said = crumb if time is None else {**crumb, "timestamp": time}
        if not _fits(said, longest):
            return None
        made.append(said)
    return {"values": made}


def _time(time: Any) -> str | None:
    if time.__class__ is not datetime or not _FIRST_YEAR < time.year < _LAST_YEAR:
        return None
    return f"{time.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _fits(value: Any, longest: int | None, levels: int = _DATA_LEVELS) -> bool:
    """Whether plain data are within the bounds that sentry-sdk's serializer sets to data of the app."""
    kind = value.__class__
    if not levels:
        return False
    if kind is str:
        return longest is None or len(value) <= longest
    if kind is dict:
        return len(value) <= _DATA_ITEMS and all(_fits(item, longest, levels - 1) for item in value.values())
    if kind is list:
        return len(value) <= _DATA_ITEMS and all(_fits(item, longest, levels - 1) for item in value)
    return kind in LEAVES


def _stays(value: Any, longest: int | None) -> bool:
    """Whether sentry-sdk's serializer leaves plain data as it is: nothing is annotated, no text too long."""
    kind = value.__class__
    if kind is str:
        return longest is None or len(value) <= longest
    if kind is KnownFrame and longest is None:
        return True
    if kind is dict or kind is KnownFrame:
        value = value.values()
    elif kind is not list:
        return kind in LEAVES
    return all((longest is None and item.__class__ is str) or _stays(item, longest) for item in value)
