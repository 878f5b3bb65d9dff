"""Applies the tag policy to spans, metric labels and Sentry events. The redactor decides what is a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import is_
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status

from slotel.config.names import REDACTED
from slotel.config.redaction.values import PLACEHOLDERS, RedactionChoices
from slotel.config.tags import TagPolicy, TagRule, clean_value, judge
from slotel.runtime.process.interrupts import comes_from_handler
from slotel.runtime.redaction.events import redacted_event, redacted_item, redacted_values
from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.upstream.otel.reading import copied, exact

MAX_CACHED: Final = 2_000
_MAX_RESOURCES: Final = 100
_MAX_SCOPES: Final = 1_000
_LONGEST: Final = 2000
"""Characters of a nested tag value that are redacted; a tag keeps 200 of them."""
_FREE: Final = TagRule(default="")


class RedactedSpan(NamedTuple):
    """A span as it may be exported: read attributes, events and links here, the rest from `span`.

    Args:
        attributes: redacted, with the enforced `tags` among them.
    """

    span: ReadableSpan
    attributes: dict[str, Any]
    events: Sequence[Event]
    links: Sequence[Link]
    tags: Mapping[str, str]


class Enforcer:
    """Applies the tag policy, and redacts.

    Args:
        violation: called with (tag, action) for each repaired or redacted value.
        service: name of the service, which becomes a tag in Sentry. Spans have it in their resource.
        choices: `redaction` of slotel.yaml.
    """

    def __init__(
        self,
        policy: TagPolicy,
        violation: Callable[[str, str], None],
        service: str | None = None,
        choices: RedactionChoices | None = None,
    ) -> None:
        self.policy = policy
        self.redactor = Redactor(policy.redact, choices, lambda key: violation(key, "redact"))
        self._service = {} if service is None else {"service": self.redactor.text(service)}
        self._violation = violation
        self._judged = lru_cache(MAX_CACHED)(self._judge)
        self._is_known_clean = self.redactor.clean.__contains__
        self._resources: dict[int, tuple[Resource, Resource]] = {}
        self._resource: Resource | None = None
        self._clean_scopes: dict[int, InstrumentationScope | None] = {}
        self._set = {key: clean_value(value)[0] for key, value in policy.set.items()}
        self._rules = {
            key: policy.required.get(key, _FREE) for key in policy.tag_keys if key not in self._set
        }
        self._tagged = bool(self._rules or self._set)
        self._tags_of_none: Mapping[str, str] = self._judged_tags({}, {})
        """The tags of a span without any tag attribute, as most are."""
        self.label_names = tuple(dict.fromkeys(policy.metric_labels))
        self._asked = tuple(key for key in self.label_names if key not in self._set)
        self.unlabelled = tuple(
            key for key in policy.required if key not in self._set and key not in self._asked
        )

    # -- metrics ---------------------------------------------------------------------------------------------

    def given(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> tuple[str | None, ...]:
        """Return a span's raw values of the metric labels that the policy does not set itself; None if absent.

        Args:
            attributes: the span's.
            tags: custom tags of the span's local root.
        """
        found: list[str | None] = []
        for key in self._asked:
            value = attributes.get(key)
            if not value and value != 0:
                value = tags.get(key)
            # True and 1 are one key of a dict, and a sequence is none
            if value is not None and value.__class__ is not str:
                value = clean_value(self._scalar(value))[0]
            found.append(value)
        return tuple(found)

    def judge_labels(
        self, given: Sequence[str | None]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """Return the values of all metric labels in the policy's order, and (tag, action) of each repaired one.

        An absent optional tag is ''. Only required tags are repaired.
        """
        judged = {key: self._value(key, value) for key, value in zip(self._asked, given, strict=True)}
        labels = tuple(judged[key][0] if key in judged else self._set[key] for key in self.label_names)
        repaired = tuple(
            (key, action) for key, (_, action) in judged.items() if action and key in self.policy.required
        )
        return labels, repaired

    def count_unlabelled(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Report each required tag that is no metric label and that a local root lacks, or has an invalid value of."""
        for key in self.unlabelled:
            unlabelled = self._value(key, _given(key, attributes, tags))[1]
            if unlabelled is not None:
                self._violation(key, unlabelled)

    # -- spans -----------------------------------------------------------------------------------------------

    def tags(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, str]:
        """Return the Sentry tags of a span: the policy's, the custom ones of its local root, and its service."""
        return {**self._service, **self._tags(attributes, tags)}

    def tags_of(self, plain: RedactedSpan) -> dict[str, str]:
        """Return the Sentry tags of a span that `plain` has returned."""
        return {**self._service, **plain.tags}

    def _tags(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> Mapping[str, str]:
        if not tags and self._rules.keys().isdisjoint(attributes):
            return self._tags_of_none
        return self._judged_tags(attributes, tags)

    def _judged_tags(self, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, str]:
        values = {key: self._value(key, _given(key, attributes, tags))[0] for key in self._rules}
        free = {key: self._clean(key, value) for key, value in tags.items() if key not in values}
        return {**free, **{key: value for key, value in values.items() if value}, **self._set}

    def with_tags(self, attributes: dict[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
        """Return redacted attributes with the policy's and the custom tags; the same object if nothing changes."""
        if not self._tagged and not tags:
            return attributes
        return {**attributes, **self._tags(attributes, tags)}

    def plain(self, span: ReadableSpan, tags: Mapping[str, str]) -> RedactedSpan:
        """Return the span with enforced tags and without secrets, for code that only reads it; usually not a copy."""
        try:
            return self._plain(span, tags)
        except Exception as error:
            plain = None if comes_from_handler(error) else exact(span)
            if plain is None:
                raise
            return self._plain(plain, tags)

    def _plain(self, span: ReadableSpan, tags: Mapping[str, str]) -> RedactedSpan:
        attributes = self.redactor.attributes(_copy(span.attributes))
        enforced = self._tags(attributes, tags)
        if enforced:
            attributes.update(enforced)
        events, links = span.events, span.links
        if events:
            events = self._events(events)
        if links:
            links = self._links(links)
        scope = span.instrumentation_scope
        if (
            span.resource is not self._resource
            or span.status.description is not None
            or not self._is_known_clean(span.name)
            or self._clean_scopes.get(id(scope)) is not scope
        ):
            span = self._renamed(span)
        return RedactedSpan(span, attributes, events, links, enforced)

    def span(self, span: ReadableSpan, tags: Mapping[str, str]) -> ReadableSpan:
        """Return the span with enforced tags and without secrets: a copy, or the span itself if nothing changes."""
        plain = self.plain(span, tags)
        renamed, after = plain.span, plain.attributes
        if (
            renamed is span
            and _is_equal(after, _copy(span.attributes))
            and list(plain.events) == list(span.events)
            and list(plain.links) == list(span.links)
        ):
            return span
        return copied(renamed, attributes=after, events=plain.events, links=plain.links)

    def _renamed(self, span: ReadableSpan) -> ReadableSpan:
        """Return the span with redacted name, status and resource; mostly the span itself."""
        redactor, status = self.redactor, span.status
        name = redactor.text(span.name)
        text = status.description
        if text:
            clean = redactor.text(text)
            if clean != text:
                status = Status(status.status_code, clean)
        resource, scope = self.resource(span.resource), self._scope(span.instrumentation_scope)
        if (
            name == span.name
            and status is span.status
            and resource is span.resource
            and scope is span.instrumentation_scope
        ):
            return span
        return copied(span, name=name, status=status, resource=resource, instrumentation_scope=scope)

    def resource(self, resource: Resource) -> Resource:
        """Return the resource without secrets: the same object if it has none, and the same copy on each call."""
        known = self._resources.get(id(resource))
        if known is None or known[0] is not resource:
            attributes = dict(resource.attributes)
            clean = self.redactor.attributes(attributes)
            redacted = resource if clean == attributes else Resource(clean, resource.schema_url)
            if len(self._resources) >= _MAX_RESOURCES:
                self._resources.clear()
            known = self._resources[id(resource)] = (resource, redacted)
            if redacted is resource:
                self._resource = resource
        return known[1]

    def _scope(self, scope: InstrumentationScope | None) -> InstrumentationScope | None:
        clean = redacted_scope(scope, self.redactor.attributes)
        if clean is scope:
            if len(self._clean_scopes) >= _MAX_SCOPES:
                self._clean_scopes.clear()
            self._clean_scopes[id(scope)] = scope
        return clean

    def _events(self, events: Sequence[Event]) -> Sequence[Event]:
        redacted = [self._event(event) for event in events]
        return events if all(map(is_, redacted, events)) else redacted

    def _event(self, event: Event) -> Event:
        attributes, name = _copy(event.attributes), self.redactor.text(event.name)
        clean = self.redactor.attributes(attributes)
        if clean is attributes and name == event.name:
            return event
        return Event(name, clean, event.timestamp)

    def _links(self, links: Sequence[Link]) -> Sequence[Link]:
        redacted = [self._link(link) for link in links]
        return links if all(map(is_, redacted, links)) else redacted

    def _link(self, link: Link) -> Link:
        attributes = _copy(link.attributes)
        clean = self.redactor.attributes(attributes)
        return link if clean is attributes else Link(link.context, clean)

    # -- Sentry events ---------------------------------------------------------------------------------------

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return a Sentry event without its secrets."""
        return redacted_event(self.redactor, event)

    def item(self, kind: str, payload: Any) -> Any:
        """Return the payload of an envelope's item, of any type, without its secrets."""
        return redacted_item(self.redactor, kind, payload)

    def headers(self, headers: Mapping[str, Any]) -> dict[str, Any]:
        """Return the headers of an envelope, or of an item, without secrets."""
        return redacted_values(self.redactor, headers)

    # -- values ----------------------------------------------------------------------------------------------

    def _value(self, key: str, raw: object) -> tuple[str, str | None]:
        """Return a tag's enforced value and the action taken. Results are cached by value."""
        if raw is not None and raw.__class__ is not str:
            raw, _ = clean_value(
                self._scalar(raw)
            )  # True and 1 are one key of a dict, and a sequence is none
        return self._judged(key, raw)

    def _judge(self, key: str, raw: str | None) -> tuple[str, str | None]:
        if raw and self.redactor.is_sensitive(key):
            return (raw, None) if raw in PLACEHOLDERS else (REDACTED, "redact")
        return judge(self._rules.get(key, _FREE), self.redactor.text(raw) if raw else raw)

    def _clean(self, key: str, value: object) -> str:
        if self.redactor.is_sensitive(key):
            return REDACTED
        return clean_value(self._scalar(value))[0]

    def _scalar(self, value: object) -> object:
        """Redact a tag's value. A nested value becomes text; it may contain itself."""
        if isinstance(value, (Mapping, list, tuple)):
            return self.redactor.text(clean_value(value, _LONGEST)[0])
        return self.redactor.data(value)


def redacted_scope(
    scope: InstrumentationScope | None, redact: Callable[[dict[str, Any]], dict[str, Any]]
) -> InstrumentationScope | None:
    """Return a scope with redacted attributes; mostly the scope itself. Its name comes from code and is kept."""
    if scope is None or not scope.attributes:
        return scope
    attributes = dict(scope.attributes)
    clean = redact(attributes)
    if clean is attributes:
        return scope
    return InstrumentationScope(scope.name, scope.version, scope.schema_url, clean)


def _given(key: str, attributes: Mapping[str, Any], tags: Mapping[str, str]) -> object:
    """Return a tag's value: the span's own, else its local root's. 0 and False are values, '' counts as absent."""
    value = attributes.get(key)
    return value if value or value == 0 else tags.get(key)


def _is_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    try:
        return one == other
    except Exception as error:  # the app's own code compares
        if comes_from_handler(error):
            raise
        return False


def _copy(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy: by the method of the SDK's mapping, which is many times faster than to iterate over it."""
    if attributes is None:
        return {}
    copy = getattr(attributes, "copy", None)
    copied = copy() if copy is not None else attributes
    return copied if type(copied) is dict else dict(copied)
