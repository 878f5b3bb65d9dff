"""Spans to a Sentry transaction as plain data within Sentry's limits. Pure: no clock, no scope, no bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Link, SpanKind, format_span_id, format_trace_id

from slotel.config.tags import as_given, clean_value, sentry_tag_key
from slotel.runtime.redaction.enforcer import RedactedSpan
from slotel.runtime.requests.outcomes import SUCCEEDED, OutcomeRow
from slotel.runtime.sentry.transactions.mapping import (
    MAX_NAME,
    request_url,
    root_status,
    span_fields,
    transaction_name,
)
from slotel.runtime.sentry.transport.encode import utc_second
from slotel.version import __version__

ORIGIN: Final = "auto.otel"
"""The same as SentrySpanProcessor's."""
SDK: Final = {"name": "slotel", "version": __version__}
MAX_SPANS: Final = 1000
"""Child spans in one transaction. Source: Sentry's server, span limit of a transaction."""
MAX_CONTEXT: Final = 6000
"""Characters of attributes in `contexts.otel`: Sentry's server cuts all contexts together at 8,192 bytes."""
MAX_CONTEXT_VALUE: Final = 500
CONTINUED: Final = "slotel.continued"
"""op of a transaction that carries spans of another one, because they were too many or its root is still open."""

MEASUREMENTS: Final = "sentry.measurements"
CONTEXTS: Final = "sentry.contexts"
"""Attribute with Sentry contexts as JSON: an OpenTelemetry attribute cannot hold a mapping."""
TAGS: Final = "sentry.tags"
"""Attribute with the tags of a span as JSON. A root's are tags of its transaction, unless a scope has the key."""
JSON: Final = "sentry.json"
"""Attributes whose value is JSON for the same reason."""
PART: Final = "sentry.part"
"""Attribute of a root that `start_span` made: a part of a transaction, without one. It is measured, but not sent."""
_OF_SPAN_API: Final = frozenset({MEASUREMENTS, CONTEXTS, TAGS, JSON, PART})
_NONE: Final[Mapping[str, Any]] = {}
_KINDS: Final = {id(kind): kind.name for kind in SpanKind}
"""Span kind, by id of the enum member → name: an enum member's hash and name cost as much as the rest of a span."""
_SERVER: Final = SpanKind.SERVER


class Segment(NamedTuple):
    """The spans of one transaction.

    Args:
        root: its root span; for a continuation the root of the whole trace.
        children: ended descendants, in any order.
        tags: enforced tags.
        kept: why it is sent although it is unsampled: `error` or `slow`.
        continuation: its span id, if `root` has (or will have) a transaction of its own.
        row: outcome of the request, call or job that `root` is.
        weighs_once: Sentry must not extrapolate it, as of a trace that is sent at any sampling rate.
    """

    root: RedactedSpan
    children: Sequence[RedactedSpan]
    tags: Mapping[str, str]
    kept: str | None = None
    continuation: str | None = None
    row: OutcomeRow | None = None
    weighs_once: bool = False


def transaction(segment: Segment) -> dict[str, Any]:
    """Return the transaction event of a segment, without the client's fields (event id, release, …)."""
    root, attributes = segment.root.span, segment.root.attributes
    name, source = transaction_name(root, attributes)
    trace, http_status = _trace_context(segment)
    contexts: dict[str, Any] = {"trace": trace, "otel": _otel_context(root.resource.attributes, attributes)}
    tags = _sentry_tags_of(tuple(segment.tags.items())).copy()
    if http_status is not None:
        contexts["response"] = {"status_code": http_status}
        tags["http.status_code"] = str(http_status)
    if "celery.task_name" in attributes and "messaging.message.id" in trace["data"]:
        tags.setdefault("celery_task_id", str(trace["data"]["messaging.message.id"]))
        if segment.row is SUCCEEDED:
            trace.setdefault("status", "ok")  # as sentry-sdk's integration says of a job that has ended
    if "status" in trace:
        tags.setdefault("status", trace["status"])
    if segment.kept is not None:
        tags["slotel.kept"] = segment.kept
    start, end = _times(segment)
    event: dict[str, Any] = {
        "type": "transaction",
        "transaction": name if segment.continuation is None else f"{name[: MAX_NAME - 12]} (continued)",
        "transaction_info": {"source": source},
        "contexts": contexts,
        "tags": tags,
        "start_timestamp": timestamp(start),
        "timestamp": timestamp(end),
        "spans": [_span(child, trace["trace_id"]) for child in segment.children],
        "platform": "python",
        "sdk": SDK,
    }
    if root.kind is _SERVER and "http.request.method" in trace["data"] and trace["op"] != "websocket.server":
        request = {"method": trace["data"]["http.request.method"]}
        url = request_url(attributes)
        if url is not None:
            request["url"] = url
        event["request"] = request
    if MEASUREMENTS in attributes:
        event["measurements"] = mapping_of(attributes[MEASUREMENTS])
    if CONTEXTS in attributes and segment.continuation is None:
        contexts.update(
            (key, value) for key, value in mapping_of(attributes[CONTEXTS]).items() if key not in contexts
        )
    return event


def tags_of_root(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tags that the app set on a root by sentry-sdk's span API."""
    return mapping_of(attributes[TAGS]) if TAGS in attributes else _NONE


def timestamp(nanoseconds: int) -> str:
    """Return a time as Sentry's own SDK writes it, to the microsecond.

    >>> timestamp(1_700_000_000_123_456_789)
    '2023-11-14T22:13:20.123456Z'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{utc_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(200)
def _sentry_tags_of(tags: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return `sentry_tags` of enforced tags, cached: many requests have the same ones."""
    return sentry_tags(dict(tags))


def sentry_tags(tags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags that Sentry's server accepts: keys and values within its limits, none empty."""
    accepted: dict[str, Any] = {}
    for key, value in tags.items():
        name = sentry_tag_key(str(key))
        text = clean_value(value)[0].strip()
        if name is not None and text:
            accepted[name] = as_given(value, text)
    return accepted


def _times(segment: Segment) -> tuple[int, int]:
    if segment.continuation is not None:
        start = min(child.span.start_time or 0 for child in segment.children)
        return start, max(start, *(child.span.end_time or 0 for child in segment.children))
    start = segment.root.span.start_time or 0
    return start, max(start, segment.root.span.end_time or start)


def _trace_context(segment: Segment) -> tuple[dict[str, Any], int | None]:
    root = segment.root.span
    context = root.context
    assert context is not None  # noqa: S101 a recorded span has one
    if segment.continuation is not None:
        whole = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        return {
            "trace_id": whole["trace_id"],
            "span_id": segment.continuation,
            "parent_span_id": whole["span_id"],
            "op": CONTINUED,
            "origin": ORIGIN,
            "data": {"otel.kind": _KINDS[id(root.kind)]},
            "links": [{**whole, "sampled": True, "attributes": {"sentry.link.type": "previous_trace"}}],
        }, None
    fields = span_fields(root, segment.root.attributes, is_root=True)
    trace: dict[str, Any] = {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_span_id": f"{root.parent.span_id:016x}" if root.parent else None,
        "op": fields.op,
        "origin": ORIGIN,
        "data": _data(segment.root, fields.data),
    }
    status = root_status(fields, segment.row, segment.root.attributes)
    if status is not None:
        trace["status"] = status
    attributes = segment.root.attributes
    if "sentry.description" in attributes:
        trace["description"] = str(attributes["sentry.description"])
    if segment.root.links:
        trace["links"] = _links(segment.root.links)
    said = attributes.get("http.response.status_code") if fields.http_status is None else None
    return trace, said if isinstance(said, int) else fields.http_status


def _otel_context(resource: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes and resource as SentrySpanProcessor writes them, within the server's limit."""
    known = _RESOURCES.get(id(resource))
    if known is None or known[0] is not resource:
        if len(_RESOURCES) >= _MOST_RESOURCES:
            _RESOURCES.clear()
        known = _RESOURCES[id(resource)] = (resource, *_fitting(resource, MAX_CONTEXT))
    _, fitting, left = known
    otel: dict[str, Any] = {"resource": fitting.copy()} if fitting else {}
    fitting, _ = _fitting(attributes, left)
    if fitting:
        otel["attributes"] = fitting
    return otel


_RESOURCES: Final[dict[int, tuple[Mapping[str, Any], dict[str, Any], int]]] = {}
"""The part of a resource that fits, by its id: a service has one resource."""
_MOST_RESOURCES: Final = 100


def _fitting(values: Mapping[str, Any], left: int) -> tuple[dict[str, Any], int]:
    """Return the values that fit into `left` characters, and how many characters remain; below 0 nothing more fits."""
    fitting: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, str):
            if len(value) > MAX_CONTEXT_VALUE:
                value = value[:MAX_CONTEXT_VALUE]  # noqa: PLW2901 the whole stands in the trace's data
            left -= len(key) + len(value)
        elif isinstance(value, (int, float)):
            left -= len(key) + 8
        else:
            left -= len(key) + len(clean_value(value, MAX_CONTEXT)[0])
        if left < 0:
            break
        fitting[key] = value
    return fitting, left


def _span(plain: RedactedSpan, trace_id: str) -> dict[str, Any]:
    span = plain.span
    context = span.context
    assert context is not None  # noqa: S101 a recorded span has one
    fields = span_fields(span, plain.attributes)
    parent = span.parent
    start = span.start_time or 0
    result: dict[str, Any] = {
        "trace_id": trace_id,
        "span_id": f"{context.span_id:016x}",
        "parent_span_id": f"{parent.span_id:016x}" if parent is not None else None,
        "op": fields.op,
        "description": fields.description,
        "start_timestamp": timestamp(start),
        "timestamp": timestamp(max(start, span.end_time or start)),
        "origin": ORIGIN,
        "data": _data(plain, fields.data),
    }
    if fields.status is not None:
        result["status"] = fields.status
    if plain.links:
        result["links"] = _links(plain.links)
    if MEASUREMENTS in plain.attributes:
        result["measurements"] = mapping_of(plain.attributes[MEASUREMENTS])
    if TAGS in plain.attributes:
        tags = mapping_of(plain.attributes[TAGS])
        result["tags"] = {**tags, **{key: plain.tags[key] for key in tags.keys() & plain.tags.keys()}}
    return result


def mapping_of(text: Any) -> dict[str, Any]:
    """Return what methods of sentry-sdk's spans have put into an attribute; of other text, nothing."""
    told = _parsed(text)
    return told if isinstance(told, dict) else {}


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):  # an attribute of the app's own, or one that was cut
        return text


def _data(plain: RedactedSpan, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` of a span: its attributes and further fields."""
    data = data_of(plain.attributes)
    if float in map(type, data.values()):  # JSON has neither NaN nor infinity
        for key, value in data.items():
            if value.__class__ is float and not isfinite(value):
                data[key] = str(value)
    data["otel.kind"] = _KINDS[id(plain.span.kind)]
    if more:
        data.update(more)
    text = plain.span.status.description
    if text:
        data["sentry.status.message"] = text
    if plain.events:
        data["otel.events"] = _events(plain.events)
    return data


def data_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span as they were given to sentry-sdk's span API."""
    data = dict(attributes)
    if not _OF_SPAN_API.isdisjoint(data):
        names = data.pop(JSON, ())
        if isinstance(names, (tuple, list)):  # else it is an attribute of the app's own
            data.update({name: _parsed(data.get(name)) for name in names})
        for name in _OF_SPAN_API:
            data.pop(name, None)
    return data


def _events(events: Iterable[Event]) -> list[dict[str, Any]]:
    return [
        {
            "name": event.name,
            "timestamp": timestamp(event.timestamp or 0),
            "attributes": dict(event.attributes or _NONE),
        }
        for event in events
    ]


def _links(links: Iterable[Link]) -> list[dict[str, Any]]:
    return [
        {
            "trace_id": format_trace_id(link.context.trace_id),
            "span_id": format_span_id(link.context.span_id),
            "sampled": bool(link.context.trace_flags.sampled),
            "attributes": dict(link.attributes or _NONE),
        }
        for link in links
    ]
