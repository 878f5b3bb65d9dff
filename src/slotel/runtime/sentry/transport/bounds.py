"""Bounds of an error event, in characters and bytes, as Sentry's server cuts it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from slotel.runtime.redaction.events import values
from slotel.runtime.sentry.transport.encode import MAX_BYTES, serialize, shortened

MAX_MESSAGE: Final = 8192
"""Characters of a message and of an exception's text. Source: sentry-relay, `max_chars = "message"`."""
MAX_REQUEST: Final = 8192
MAX_EXTRA: Final = 262_144
MAX_CONTEXT: Final = 8192
MAX_VARIABLES: Final = 2048
"""Bytes that the server keeps of a request, of `extra`, of a context, of the variables of one frame. Source:
sentry-relay, `max_bytes` of `Frame.vars`, `Request.data`, `Event.extra`, `Contexts`."""
_MARK: Final = "..."
_SCALARS: Final = frozenset({int, float, bool, type(None)})

Event = dict[str, Any]


def encode_bounded(event: Event) -> bytes:
    """Return the event as JSON of at most MAX_BYTES, without what Sentry's server would cut off."""
    cut_long_values(event)
    encoded = serialize(event)
    if len(encoded) > MAX_BYTES:
        encoded = serialize(shortened(event))
    for part in ("breadcrumbs", "extra", "modules", "threads", "contexts"):
        if len(encoded) <= MAX_BYTES:
            break
        if part in event:
            kept = {"trace": event["contexts"].get("trace")} if part == "contexts" else None
            event.pop(part)
            if kept:
                event["contexts"] = kept
            encoded = serialize(shortened(event))
    return encoded


def cut_long_values(event: Event, times: int = 1) -> None:
    """Cut, in place, what is longer than Sentry's server keeps.

    Args:
        times: 2 keeps twice as much, for an event that is redacted afterwards: half a secret would not be found.
    """
    message, variables = times * MAX_MESSAGE, times * MAX_VARIABLES
    _cut_keys(event, ("message",), message)
    _cut_keys(event.get("logentry"), ("message", "formatted"), message)
    for exception in values(event, "exception"):
        _cut_keys(exception, ("value",), message)
    for frame in frames_of(event):
        if "vars" in frame and isinstance(frame["vars"], dict):
            frame["vars"] = _cut(frame["vars"], variables)
    for crumb in values(event, "breadcrumbs"):
        _cut_keys(crumb, ("message",), message)
        if isinstance(crumb.get("data"), dict):
            crumb["data"] = _cut(crumb["data"], variables)
    for part, most in (("request", MAX_REQUEST), ("extra", MAX_EXTRA)):
        if isinstance(event.get(part), dict):
            event[part] = _cut(event[part], times * most)
    contexts = event.get("contexts")
    if isinstance(contexts, dict):
        for name, context in contexts.items():
            contexts[name] = _cut(context, times * MAX_CONTEXT)


def frames_of(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the frames of an event's exceptions, threads and own stack."""
    for holder in (*values(event, "exception"), *values(event, "threads"), event):
        stack = holder.get("stacktrace")
        frames = stack.get("frames") if isinstance(stack, Mapping) else None
        yield from [frame for frame in frames or () if isinstance(frame, dict)]


def _cut_keys(holder: Any, keys: tuple[str, ...], most: int) -> None:
    for key in keys if isinstance(holder, dict) else ():
        if isinstance(holder.get(key), str) and len(holder[key]) > most:
            holder[key] = holder[key][: most - len(_MARK)] + _MARK


def _cut(value: Any, most: int) -> Any:
    """Return the value with every string in it cut to `most` characters; untouched where none is longer."""
    if not _may_be_longer(value, most):
        return value
    if isinstance(value, str):
        return value if len(value) <= most else value[: most - len(_MARK)] + _MARK
    if isinstance(value, Mapping):
        return {key: _cut(item, most) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cut(item, most) for item in value]
    return value


def _may_be_longer(value: Any, most: int) -> bool:
    """Whether a string in a value is longer, or the value is of a kind that only `_cut` knows."""
    kind = value.__class__
    if kind is str:
        return len(value) > most
    if kind is not dict and kind is not list:
        return kind not in _SCALARS
    for item in value.values() if kind is dict else value:
        if item.__class__ is str:
            if len(item) > most:
                return True
        elif item.__class__ not in _SCALARS and _may_be_longer(item, most):
            return True
    return False
