"""Redacts the items of a Sentry envelope. Pure: knows which parts hold the app's data, and which are the protocol's.

An item of an unknown type is redacted as data; its payload, if it is text, as text. Binary payloads are not changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from slotel.config.names import REDACTED
from slotel.runtime.redaction.redactor import Redactor

_STACKS: Final = frozenset({"exception", "stacktrace", "threads"})
_OF_SENTRY: Final = _STACKS | {
    "event_id", "check_in_id", "type", "platform", "level", "status", "timestamp", "start_timestamp", "duration",
    "transaction_info", "measurements", "release", "environment", "dist", "server_name", "sdk", "modules", "_meta",
}  # fmt: skip
"""Keys of an event that belong to the protocol, or are looked into elsewhere. All others hold the app's data."""
_DATA: Final = frozenset({
    "breadcrumbs", "contexts", "culprit", "debug_meta", "errors", "extra", "fingerprint", "logentry", "logger",
    "message", "monitor_config", "monitor_slug", "request", "spans", "tags", "template", "transaction", "user",
})  # fmt: skip
"""Those of the protocol among them, whose name makes no secret of the whole."""
_NAMED: Final = ("value", "name")
"""Keys of an exception or a thread that hold text."""
_STATEMENTS: Final = ("query", "redis")
"""Categories of breadcrumbs whose message is a database statement."""
_SOURCE: Final = ("pre_context", "post_context")
_ARGV: Final = "sys.argv"
_PARAMETER: Final = "sentry.message.parameter."
"""Prefix of a log's attributes that hold the parameters of its message."""
_SHORTEST: Final = 4
"""Characters that a redacted parameter has at least, if it is also searched for in its message."""
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
_ATTACHMENT: Final = "attachment"


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
        return redacted_event(redactor, dict(payload))
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
    if kind != _ATTACHMENT:
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


def redacted_event(redactor: Redactor, event: dict[str, Any]) -> dict[str, Any]:
    """Return an error, a message or a transaction without its secrets."""
    for part in event.keys() - _OF_SENTRY:
        is_secret = part not in _DATA and redactor.is_sensitive(str(part))
        event[part] = REDACTED if is_secret else _part(redactor, part, event[part])
    if "breadcrumbs" in event:
        _statements(redactor, event)
    if not _STACKS.isdisjoint(event):
        _redact_frames(redactor, event)
    return event


def redacted_log(redactor: Redactor, log: dict[str, Any]) -> dict[str, Any]:
    """Return a log, a metric or a streamed span of sentry-sdk without its secrets."""
    shown = log.get("body")
    if isinstance(shown, str):
        log["body"] = redactor.text(shown)
    if isinstance(log.get("name"), str):
        log["name"] = redactor.text(log["name"])
    given = log.get("attributes")
    if isinstance(given, Mapping):
        attributes = redactor.attributes(dict(given))
        if isinstance(shown, str) and log["body"] != shown:
            parameters = {key: value for key, value in given.items() if str(key).startswith(_PARAMETER)}
            attributes = {**attributes, **_parameters(redactor, parameters, shown)}
        log["attributes"] = attributes
    return log


def _part(redactor: Redactor, part: str, data: Any) -> Any:
    if not isinstance(data, Mapping):
        return redactor.data(data)
    if part == "contexts":
        # a context's name is a section, not the key of a value: `auth` is no secret
        return {name: redactor.data(context, str(name)) for name, context in data.items()}
    if part == "logentry":
        return _logentry(redactor, dict(data))
    if part == "request" and isinstance(data.get("cookies"), Mapping):
        rest = {key: value for key, value in data.items() if key != "cookies"}
        # each by its own name: `cookies` as a whole would be one secret
        return {**redactor.data(rest), "cookies": redactor.data(data["cookies"])}
    if part != "extra" or _ARGV not in data:
        return redactor.data(data)
    argv = data[_ARGV]
    extra = redactor.data({key: value for key, value in data.items() if key != _ARGV})
    if redactor.choices.argv != "drop":
        extra[_ARGV] = argv if redactor.choices.argv == "keep" else redactor.data(argv)
    return extra


def _statements(redactor: Redactor, event: Mapping[str, Any]) -> None:
    for crumb in values(event, "breadcrumbs"):
        if crumb.get("category") in _STATEMENTS and isinstance(crumb.get("message"), str):
            crumb["message"] = redactor.statement(crumb["message"], _system(crumb))


def _system(crumb: Mapping[str, Any]) -> str:
    if crumb["category"] == "redis":
        return "redis"
    data = crumb.get("data")
    found = data.get("db.system") if isinstance(data, Mapping) else None
    return found if isinstance(found, str) else ""


def _redact_frames(redactor: Redactor, event: Mapping[str, Any]) -> None:
    """Redact an event's exceptions and threads, with their frames."""
    traces = [event.get("stacktrace")]
    for item in (*values(event, "exception"), *values(event, "threads")):
        for part in _NAMED:
            if part in item:
                item[part] = redactor.data(item[part])
        if isinstance(item.get("mechanism"), Mapping):
            item["mechanism"] = redactor.data(item["mechanism"])
        traces.append(item.get("stacktrace"))
    for trace in traces:
        frames = trace.get("frames") if isinstance(trace, Mapping) else None
        for frame in frames or ():
            if isinstance(frame, dict):
                _frame(redactor, frame)


def _frame(redactor: Redactor, frame: dict[str, Any]) -> None:
    if "vars" in frame:
        frame["vars"] = redactor.data(frame["vars"])
    if isinstance(frame.get("context_line"), str):
        frame["context_line"] = redactor.source(frame["context_line"])
    for part in _SOURCE:
        lines = frame.get(part)
        if isinstance(lines, list) and not _are_known(redactor, lines):
            frame[part] = [redactor.source(line) if line.__class__ is str else line for line in lines]


def _are_known(redactor: Redactor, lines: list[Any]) -> bool:
    try:
        return redactor.clean_source.issuperset(lines)
    except TypeError:  # something else than lines
        return False


def _logentry(redactor: Redactor, entry: dict[str, Any]) -> dict[str, Any]:
    """Redact a message, and the parameters that its text names as secrets."""
    params = entry.pop("params", None)
    shown = _formatted(entry.get("formatted"), entry.get("message"), params)
    entry = redactor.data(entry)
    if params is not None:
        entry["params"] = _parameters(redactor, params, shown)
    return entry


def _formatted(formatted: Any, message: Any, params: Any) -> str:
    if isinstance(formatted, str):
        return formatted
    if not isinstance(message, str) or not params:
        return ""
    try:
        return message % (tuple(params) if isinstance(params, list) else params)
    except Exception:  # noqa: BLE001 a template of another kind
        return message


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 the app's own code, or a number of more than 4,300 digits
        return ""


def _parameters(redactor: Redactor, params: Any, shown: str) -> Any:
    clean = redactor.text(shown)

    def one(value: Any) -> Any:
        text = value if isinstance(value, str) else _text(value)
        is_gone = len(text) >= _SHORTEST and text in shown and text not in clean
        return REDACTED if is_gone else redactor.data(value)

    if clean == shown:
        return redactor.data(params)
    if isinstance(params, Mapping):
        return redactor.data({key: one(value) for key, value in params.items()})
    return [one(value) for value in params] if isinstance(params, (list, tuple)) else one(params)


def values(event: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    """Return the items of an event's `exception`, `threads` or `breadcrumbs`, in any of its notations."""
    found = event.get(part)
    if found is None:  # most parts, in most events
        return []
    if isinstance(found, Mapping):
        found = found.get("values", (found,))
    return [item for item in found or () if isinstance(item, dict)]
