"""Enforces the tag policy on what leaves: spans, metric labels, Sentry events. Decides nothing, keeps no span."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link

from slotel.config.names import REDACTED
from slotel.config.tags import TagPolicy, TagRule, clean_value, judge, redaction

MAX_CACHED: Final = 10_000
MAX_DEPTH: Final = 16
_FREE: Final = TagRule(default="")
_URLS: Final = frozenset({"url.full", "http.url", "http.target", "url.query", "http.request.header.referer"})
_USERINFO: Final = re.compile(r"(?<=//)[^/?#]*@")
_PAIR: Final = re.compile(r"(?:(?<=[?&#])|^)([^=&?#]*)=([^&?#]*)")
"""A key and its value; the compiled collector policy has the same pattern, so change both."""

_PAIR_IN_TEXT: Final = re.compile(r"(?<=[?&])([\w.%\-\[\]]+)=([^&?#\s'\"<>]+)", re.ASCII)
"""A key and its value within a URL that stands in a text; in the collector's policy too."""
_USERINFO_IN_TEXT: Final = re.compile(r"(?<=://)[^/?#\s'\"<>]*@", re.ASCII)
_TEXTS: Final = frozenset({"exception.message", "exception.stacktrace"})
"""Attributes whose text may hold a URL."""

_EVENT_DATA: Final = ("request", "extra", "contexts", "tags", "user", "breadcrumbs", "modules")
"""Parts of a Sentry event that hold an app's data; the others are Sentry's protocol."""


class PlainSpan(NamedTuple):
    """A span and what of it may leave: read attributes, events and links here, the rest from `span`."""

    span: ReadableSpan
    attributes: dict[str, Any]
    events: Sequence[Event]
    links: Sequence[Link]


class Enforcer:
    """The tag policy at work.

    Args:
        violation: called with (tag, action) for each repaired or redacted value.
        service: the service's name: a tag in Sentry, which has no other place for it; spans have their resource.
    """

    def __init__(
        self, policy: TagPolicy, violation: Callable[[str, str], None], service: str | None = None
    ) -> None:
        self.policy = policy
        self._service = {} if service is None else {"service": service}
        self._violation = violation
        self._redacted_key = redaction(policy)
        self._keys: dict[str, bool] = {}
        self._judged: dict[tuple[str, object], tuple[str, str | None]] = {}
        self._harmless: dict[tuple[str, ...], bool] = {}
        self._set = {key: clean_value(value)[0] for key, value in policy.set.items()}
        self._rules = {
            key: policy.required.get(key, _FREE) for key in policy.tag_keys if key not in self._set
        }
        self._tagged = bool(self._rules or self._set)
        self.label_names = tuple(dict.fromkeys(policy.metric_labels))
        self._asked = tuple(key for key in self.label_names if key not in self._set)
        self.unlabelled = tuple(
            key for key in policy.required if key not in self._set and key not in self._asked
        )

    # -- metrics ---------------------------------------------------------------------------------------------

    def given(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> tuple[str | None, ...]:
        """Return what a span says about the metric labels that the policy does not set itself, unjudged.

        Args:
            attributes: the span's.
            tags: custom tags of the span's entry.
        """
        found: list[str | None] = []
        for key in self._asked:
            value = attributes.get(key)
            if not value and value != 0:
                value = tags.get(key)
            # True and 1 are one key of a dict, and a sequence is none
            found.append(value if value is None or value.__class__ is str else clean_value(value)[0])
        return tuple(found)

    def judge_labels(
        self, given: Sequence[str | None]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """Return the values of all metric labels in the policy's order, and (tag, action) of each that a required
        tag lacked or had wrong. An absent optional tag is ''.
        """  # noqa: D205 one sentence
        judged = {key: self._value(key, value) for key, value in zip(self._asked, given, strict=True)}
        labels = tuple(judged[key][0] if key in judged else self._set[key] for key in self.label_names)
        repaired = tuple(
            (key, action) for key, (_, action) in judged.items() if action and key in self.policy.required
        )
        return labels, repaired

    def labels(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> tuple[str, ...]:
        """Return the values of the policy's metric labels, in its order."""
        return self.judge_labels(self.given(attributes, tags))[0]

    def count_unlabelled(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Count each required tag, of those that are no metric label, that an entry span lacks or has wrong."""
        for key in self.unlabelled:
            unlabelled = self._value(key, _given(key, attributes, tags))[1]
            if unlabelled is not None:
                self._violation(key, unlabelled)

    # -- spans -----------------------------------------------------------------------------------------------

    def tags(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, str]:
        """Return the tags of a span in Sentry: the policy's, the custom ones of its entry, and its service."""
        return {**self._service, **self._tags(attributes, tags)}

    def _tags(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, str]:
        values = {key: self._value(key, _given(key, attributes, tags))[0] for key in self._rules}
        free = {key: self._clean(key, value) for key, value in tags.items() if key not in values}
        return {**free, **{key: value for key, value in values.items() if value}, **self._set}

    def plain(self, span: ReadableSpan, tags: Mapping[str, str]) -> PlainSpan:
        """Return the span's attributes, events and links as they may leave."""
        attributes = _copy(span.attributes)
        keys = tuple(attributes)
        harmless = self._harmless.get(keys)
        if harmless is None:
            harmless = not self._needs_change(attributes)
            if len(self._harmless) >= MAX_CACHED:
                self._harmless.clear()
            self._harmless[keys] = harmless
        if not harmless:
            attributes = self._attributes(attributes)
        if self._tagged or tags:
            attributes.update(self._tags(attributes, tags))
        return PlainSpan(span, attributes, self._events(span.events), self._links(span.links))

    def span(self, span: ReadableSpan, tags: Mapping[str, str]) -> ReadableSpan:
        """Return the span as it may leave: a copy with repaired tags and redacted values, or itself."""
        events, links = span.events, span.links
        plain = self.plain(span, tags)
        after = plain.attributes
        if after == _copy(span.attributes) and list(plain.events) == list(events) and plain.links == links:
            return span
        events, links = plain.events, plain.links
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=after,
            events=events,
            links=links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    # -- Sentry events ---------------------------------------------------------------------------------------

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return the Sentry event with redacted values in its data: request, extra, contexts, variables."""
        for part in _EVENT_DATA:
            if part in event:
                event[part] = self._scrub(event[part], MAX_DEPTH)
        if isinstance(event.get("message"), str):
            event["message"] = self._text(event["message"])
        if isinstance(event.get("logentry"), dict):
            event["logentry"] = self._scrub(event["logentry"], MAX_DEPTH)
        for exception in _values(event, "exception"):
            if isinstance(exception.get("value"), str):
                exception["value"] = self._text(exception["value"])
            for frame in (exception.get("stacktrace") or {}).get("frames") or ():
                if "vars" in frame:
                    frame["vars"] = self._scrub(frame["vars"], MAX_DEPTH)
        return event

    def _scrub(self, data: Any, depth: int) -> Any:
        if depth == 0:
            return data
        if isinstance(data, Mapping):
            return {key: self._scrub_item(key, value, depth) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            if len(data) == 2 and isinstance(data[0], str):  # noqa: PLR2004 a pair, as headers are given
                return [data[0], self._scrub_item(data[0], data[1], depth)]
            return [self._scrub(item, depth - 1) for item in data]
        return self._text(data) if isinstance(data, str) else data

    def _scrub_item(self, key: Any, value: Any, depth: int) -> Any:
        if isinstance(key, str):
            if value is not None and self._is_redacted(key):
                self._violation(key, "redact")
                return REDACTED
            if isinstance(value, str) and key in {"url", "query_string", "http.query"}:
                return self._url(value)
        return self._scrub(value, depth - 1)

    # -- values ----------------------------------------------------------------------------------------------

    def _value(self, key: str, raw: object) -> tuple[str, str | None]:
        """Judge a tag's value, once for each value that is seen."""
        if raw is not None and raw.__class__ is not str:
            raw = clean_value(raw)[0]  # True and 1 are one key of a dict, and a sequence is none
        judged = self._judged.get((key, raw))
        if judged is None:
            hidden = bool(raw) and self._is_redacted(key)
            judged = (REDACTED, "redact") if hidden else judge(self._rules.get(key, _FREE), raw)
            if len(self._judged) >= MAX_CACHED:
                self._judged.clear()
            self._judged[(key, raw)] = judged
        return judged

    def _clean(self, key: str, value: object) -> str:
        return REDACTED if self._is_redacted(key) else clean_value(value)[0]

    def _is_redacted(self, key: str) -> bool:
        known = self._keys.get(key)
        if known is None:
            if len(self._keys) >= MAX_CACHED:
                self._keys.clear()
            known = self._keys[key] = self._redacted_key(key)
        return known

    def _attributes(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        cleaned: dict[str, Any] = {}
        for key, value in attributes.items():
            if self._is_redacted(key):
                self._violation(key, "redact")
                cleaned[key] = REDACTED
            elif key in _URLS and isinstance(value, str):
                cleaned[key] = self._url(value)
            elif key in _TEXTS and isinstance(value, str):
                cleaned[key] = self._text(value)
            else:
                cleaned[key] = value
        return cleaned

    def _events(self, events: Sequence[Event]) -> Sequence[Event]:
        if not any(self._needs_change(event.attributes) for event in events):
            return events
        return [
            Event(event.name, self._attributes(dict(event.attributes or {})), event.timestamp)
            for event in events
        ]

    def _links(self, links: Sequence[Link]) -> Sequence[Link]:
        if not any(self._needs_change(link.attributes) for link in links):
            return links
        return [Link(link.context, self._attributes(dict(link.attributes or {}))) for link in links]

    def _needs_change(self, attributes: Mapping[str, Any] | None) -> bool:
        return any(self._is_redacted(key) or key in _URLS or key in _TEXTS for key in attributes or ())

    def _url(self, url: str) -> str:
        """Redact the user and the values whose keys the policy names in a URL, its query and its fragment."""
        if "@" in url:
            url = _USERINFO.sub(f"{REDACTED}@", url)
        return _PAIR.sub(self._pair, url) if "=" in url else url

    def _text(self, text: str) -> str:
        """Redact the values in the URLs of a text: of a message, or of a variable's representation."""
        if "@" in text:
            text = _USERINFO_IN_TEXT.sub(f"{REDACTED}@", text)
        return _PAIR_IN_TEXT.sub(self._pair, text) if "=" in text and ("?" in text or "&" in text) else text

    def _pair(self, pair: re.Match[str]) -> str:
        key = pair[1]
        if not self._is_redacted(unquote_plus(key)):
            return pair[0]
        self._violation(key, "redact")
        return f"{key}={REDACTED}"


def _given(key: str, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> object:
    """Return a tag's value: the span's own, else its entry's; 0 and False are values, '' is none."""
    value = attributes.get(key)
    return value if value or value == 0 else tags.get(key)


def _copy(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy; the SDK's mapping has a method for it that is many times faster than to iterate over it."""
    if attributes is None:
        return {}
    copy = getattr(attributes, "copy", None)
    copied = copy() if copy is not None else attributes
    return copied if type(copied) is dict else dict(copied)


def _values(event: Mapping[str, Any], part: str) -> Sequence[dict[str, Any]]:
    found = event.get(part)
    if isinstance(found, Mapping):
        found = found.get("values")
    return [item for item in found or () if isinstance(item, dict)]
