"""Redacts the items of a Sentry envelope by their type: knows which parts hold the app's data.

An item of an unknown type is redacted as data; its payload, if it is text, as text. Binary payloads are not changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from slotel.runtime.redaction.events import redacted_event, redacted_log
from slotel.runtime.redaction.redactor import Redactor

_EVENTS: Final = frozenset({"event", "transaction", "feedback", "check_in"})
_LISTS: Final = frozenset({"log", "trace_metric", "span"})
"""Types of sentry-sdk's batches: `{"items": […]}`, each with typed attributes."""
_PROTOCOL: Final = frozenset(
    {"session", "sessions", "client_report", "profile", "profile_chunk", "user_report", "replay_event"}
)
"""Item types whose top-level keys belong to the protocol: a session has a `sid`, which elsewhere is a secret."""
_PROFILES: Final = frozenset({"profile", "profile_chunk"})
_NUMBERS: Final = ("samples", "stacks")
"""Keys of a profile that hold thousands of numbers."""
_MONITOR: Final = ("monitor_slug", "monitor_config")
_TEXT: Final = "attachment"


def redacted_item(redactor: Redactor, kind: str, payload: Any) -> Any:
    """Return an item's payload without its secrets.

    Args:
        kind: the item's type.
        payload: decoded JSON, or bytes.
    """
    if isinstance(payload, (bytes, bytearray)):
        return _bytes(redactor, kind, bytes(payload))
    if not isinstance(payload, Mapping):
        return redactor.data(payload)
    if kind in _EVENTS:
        event = redacted_event(redactor, dict(payload))
        return {**event, **{part: redactor.data(event[part]) for part in _MONITOR if part in event}}
    if kind in _LISTS and isinstance(payload.get("items"), (list, tuple)):
        return {**payload, "items": [_typed(redactor, item) for item in payload["items"]]}
    if kind in _PROFILES and isinstance(payload.get("profile"), Mapping):
        profile = payload["profile"]
        numbers = {part: profile[part] for part in _NUMBERS if part in profile}
        rest = {part: value for part, value in profile.items() if part not in numbers}
        around = {part: value for part, value in payload.items() if part != "profile"}
        return {
            **redacted_values(redactor, around),
            "profile": {**redacted_values(redactor, rest), **numbers},
        }
    return redacted_values(redactor, payload) if kind in _PROTOCOL else redactor.data(payload)


def redacted_values(redactor: Redactor, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping, such as an envelope's headers, with redacted values. Its keys belong to the protocol."""
    return {
        key: redacted_values(redactor, value)
        if key == "trace" and isinstance(value, Mapping)
        else redactor.data(value)
        for key, value in data.items()
    }


def _bytes(redactor: Redactor, kind: str, payload: bytes) -> Any:
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return payload
    if "\x00" in text:
        return payload
    if kind != _TEXT:
        try:
            return redacted_item(redactor, kind, json.loads(text))
        except (ValueError, RecursionError):
            pass
    redacted = redactor.text(text)
    return payload if redacted == text else redacted.encode("utf-8", "replace")


def _typed(redactor: Redactor, item: Any) -> Any:
    """Redact a log, a metric or a streamed span: each attribute is a value with its type."""
    if not isinstance(item, Mapping):
        return redactor.data(item)
    given = item.get("attributes")
    if not isinstance(given, Mapping):
        return redacted_log(redactor, dict(item))
    plain = {key: each["value"] if _is_typed(each) else each for key, each in given.items()}
    redacted = redacted_log(redactor, {**item, "attributes": plain})
    redacted["attributes"] = {
        key: {**given[key], "value": value} if key in given and _is_typed(given[key]) else value
        for key, value in redacted["attributes"].items()
    }
    return redacted


def _is_typed(attribute: Any) -> bool:
    return isinstance(attribute, Mapping) and "value" in attribute
