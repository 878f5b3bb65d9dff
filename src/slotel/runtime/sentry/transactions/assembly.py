"""From ended spans to envelopes: enforce, split, apply the user's hooks, encode. Sends nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from slotel.runtime.logs import LOG
from slotel.runtime.redaction.enforcer import Enforcer, RedactedSpan
from slotel.runtime.requests.decision import row_of_root
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.own_requests import own_span_test
from slotel.runtime.sentry.protocols import Dropped, SentryClientLike
from slotel.runtime.sentry.transactions.ids import IDS
from slotel.runtime.sentry.transactions.keep_policy import KeepPolicy
from slotel.runtime.sentry.transactions.mapping import query_text
from slotel.runtime.sentry.transactions.names import TransactionStyles, name_of_route
from slotel.runtime.sentry.transactions.payload import MAX_SPANS, Segment, tags_of_root, transaction
from slotel.runtime.sentry.transactions.sampling_context import incoming, sampling_context
from slotel.runtime.sentry.transactions.traces import EndedTrace, LateSpan, PartialTrace, Said, Trace
from slotel.runtime.sentry.transactions.user_hooks import DroppedError, UserHooks
from slotel.runtime.sentry.transport import encode
from slotel.runtime.sentry.transport.endpoint import Endpoint

MAX_LATE: Final = 20
"""Late spans with no parent among them become transactions of their own, up to so many; more go together."""
_ERROR: Final = StatusCode.ERROR
_SQLALCHEMY: Final = "opentelemetry.instrumentation.sqlalchemy"
_PROFILE: Final = {"type": "profile", "content_type": "application/json"}
_ITEM: Final = {"type": "transaction", "content_type": "application/json"}


class Assembly:
    """Builds envelopes.

    Args:
        sample_rate: the head sampler's, in [0, 1]; None if it is unknown.
        native_names: name transactions as sentry-sdk's integrations do.
    """

    def __init__(
        self,
        *,
        client: SentryClientLike,
        enforcer: Enforcer,
        endpoint: Endpoint,
        keeper: KeepPolicy,
        sample_rate: float | None,
        dropped: Dropped,
        native_names: bool = False,
    ) -> None:
        self._client = client
        self._styles = TransactionStyles(client, native_names)
        self._hooks = UserHooks(client, enforcer)
        self._enforcer = enforcer
        self._endpoint = endpoint
        self._keeper = keeper
        self._sample_rate = sample_rate
        self._dropped = dropped
        self._is_own = own_span_test(client.dsn or "")

    def whole(self, ended: EndedTrace, spans: Sequence[ReadableSpan]) -> Iterator[bytes]:
        """Yield the envelopes of a trace whose root has ended: one, or more if it has more than 1,000 spans."""
        root = self._enforcer.plain(ended.root, ended.local_root.tags)
        if self._is_own(ended.root, root.attributes):
            return
        trace: Trace = ended.local_root.state
        trace.count_lost(self._dropped)
        children = self._children(ended.local_root.tags, spans)
        weighs_once = trace.kept is not None or self._is_kept_anyway(ended, spans)
        segment = self._segment(ended.local_root, root, children[:MAX_SPANS], trace, weighs_once)
        yield from self._envelopes(segment, trace, ended.said)
        if len(children) > MAX_SPANS:
            yield from self._continuations(segment, children[MAX_SPANS:], trace, ended.said)

    def part(self, part: PartialTrace, spans: Sequence[ReadableSpan]) -> Iterator[bytes]:
        """Yield the envelopes of ended spans whose root is still open: continuations that point to it."""
        local_root, trace = part.local_root, part.local_root.state
        root = self._enforcer.plain(local_root.span, local_root.tags)
        segment = self._segment(local_root, root, (), trace)
        yield from self._continuations(segment, self._children(local_root.tags, spans), trace, part.said)

    def late(self, group: Sequence[LateSpan]) -> Iterator[bytes]:
        """Yield the envelopes of late spans of one local root: one transaction for each span without a late parent.

        They have the trace id and parent span id of the trace, so Sentry shows them in their place.
        """
        local_root, said = group[0].local_root, group[0].said
        tags = local_root.tags if local_root is not None else {}
        trace: Trace = local_root.state if local_root is not None else Trace(True, None)
        spans = self._children(tags, [each.span for each in group])
        tops, below = _forest(spans)
        if local_root is not None and len(tops) > MAX_LATE:
            root = self._enforcer.plain(local_root.span, tags)
            yield from self._continuations(self._segment(local_root, root, (), trace), spans, trace, said)
            return
        for top in tops:
            segment = Segment(top, below[_id(top)][:MAX_SPANS], self._enforcer.tags_of(top), trace.kept)
            yield from self._envelopes(segment, trace, said)

    def _continuations(
        self, segment: Segment, children: Sequence[RedactedSpan], trace: Trace, said: Said
    ) -> Iterator[bytes]:
        """Yield the envelopes of further children of a segment, 1,000 in each."""
        for at in range(0, len(children), MAX_SPANS):
            some = children[at : at + MAX_SPANS]
            yield from self._envelopes(segment._replace(children=some, continuation=IDS.take(8)), trace, said)

    def _children(self, tags: Mapping[str, str], spans: Sequence[ReadableSpan]) -> list[RedactedSpan]:
        """Return the enforced spans by start time, without slotel's own requests, and one span for each query."""
        if not spans:
            return []
        plain, is_own = self._enforcer.plain, self._is_own
        enforced = [plain(span, tags) for span in spans]
        children = [each for each in enforced if not is_own(each.span, each.attributes)]
        children.sort(key=lambda each: each.span.start_time or 0)
        return _without_drivers(children) if any(map(_is_of_sqlalchemy, children)) else children

    def _segment(
        self,
        local_root: LocalRoot,
        root: RedactedSpan,
        children: Sequence[RedactedSpan],
        trace: Trace,
        weighs_once: bool = False,
    ) -> Segment:
        row = row_of_root(root.span, local_root)
        return Segment(root, children, self._enforcer.tags_of(root), trace.kept, None, row, weighs_once)

    def _is_kept_anyway(self, ended: EndedTrace, spans: Iterable[ReadableSpan]) -> bool:
        """Whether a sampled trace would be sent at any sampling rate: Sentry must then not extrapolate it."""
        if not self._keeper.keeps:
            return False
        failed = row_of_root(ended.root, ended.local_root).kept
        error = failed or any(span.status.status_code is _ERROR for span in spans)
        return self._keeper.reason(ended.root, error=error) is not None and self._keeper.left()

    def _envelopes(self, segment: Segment, trace: Trace, said: Said) -> Iterator[bytes]:
        event = transaction(segment)
        event["contexts"]["trace"]["data"] = data = {
            **trace.thread_data(),
            **event["contexts"]["trace"]["data"],
        }
        attributes = segment.root.attributes
        if segment.continuation is None and "sentry.transaction" not in attributes:
            named = trace.name_of_code or name_of_route(segment.root.span, attributes, self._styles)
            if named is not None:
                event["transaction"], event["transaction_info"] = named.name, {"source": named.source}
        profile = trace.profile if segment.continuation is None else None
        if profile is not None and profile.profiler_id is not None:
            data["profiler_id"] = profile.profiler_id
            event["contexts"]["profile"] = {"profiler_id": profile.profiler_id}
        event_id = event["event_id"] = IDS.take(16)
        header = self._header(segment, event, trace)
        try:
            event, attachments = self._hooks.apply(event, said, tags_of_root(attributes))
        except DroppedError as why:
            self._dropped("traces", str(why), 1)
            return
        payload = encode.serialize(event)
        if len(payload) > encode.MAX_BYTES:
            if len(segment.children) > 1:
                middle = len(segment.children) // 2
                first, second = segment.children[:middle], segment.children[middle:]
                yield from self._envelopes(segment._replace(children=first), trace, said)
                rest = segment._replace(children=second, continuation=IDS.take(8))
                yield from self._envelopes(rest, trace, said)
                return
            payload = encode.serialize(encode.shortened(event))
        if len(payload) > encode.MAX_BYTES:
            self._dropped("traces", "too_large", 1)
            return
        headers = {"event_id": event_id, "trace": header}
        items: list[tuple[Mapping[str, Any], bytes]] = [(_ITEM, payload)]
        made = None if profile is None else profile.as_json(event, self._client.options)
        if made is not None:
            items.append((_PROFILE, encode.serialize(self._enforcer.item("profile", made))))
        if attachments and segment.continuation is None:
            items += self._attached(attachments)
        yield encode.envelope(headers, items, time.time())

    def _attached(self, attachments: Iterable[Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield headers and payload of sentry-sdk's attachments; one that cannot be read is counted as dropped."""
        for each in attachments:
            try:
                item = each.to_envelope_item()
                content = self._enforcer.item(item.type, item.get_bytes())
            except Exception as error:  # noqa: BLE001 the app's own function, or a file that is gone
                LOG.debug("an attachment is missing in a transaction: %s", error)
                self._dropped("attachments", "unreadable", 1)
            else:
                yield self._enforcer.headers(item.headers), content

    def _header(self, segment: Segment, event: dict[str, Any], trace: Trace) -> dict[str, str]:
        root = segment.root.span.context
        received = incoming(trace.incoming)
        foreign = trace.incoming is not None and not received  # another service's rate, which is not known
        return sampling_context(
            trace_id=root.trace_id if root is not None else 0,
            public_key=self._endpoint.public_key,
            org_id=self._endpoint.org_id,
            name=event["transaction"],
            source=event["transaction_info"]["source"],
            sample_rate=None if foreign else self._sample_rate,
            kept=segment.weighs_once or segment.kept is not None,
            options=self._client.options,
            received=received,
        )


def _id(plain: RedactedSpan) -> int:
    return plain.span.context.span_id if plain.span.context is not None else 0


def _is_of_sqlalchemy(span: RedactedSpan) -> bool:
    scope = span.span.instrumentation_scope
    return scope is not None and scope.name == _SQLALCHEMY


def _without_drivers(spans: Iterable[RedactedSpan]) -> list[RedactedSpan]:
    """Return spans, by start time, without the driver's of a query of SQLAlchemy, which has one already."""
    left: list[RedactedSpan] = []
    outer, text = None, ""
    for each in spans:
        if _is_of_sqlalchemy(each):
            outer, text = each.span, query_text(each.attributes)
        elif (
            outer is not None
            and (each.span.end_time or 0) <= (outer.end_time or 0)
            and text
            and query_text(each.attributes) == text
        ):
            continue
        left.append(each)
    return left


def _forest(spans: Sequence[RedactedSpan]) -> tuple[list[RedactedSpan], dict[int, list[RedactedSpan]]]:
    """Return the spans whose parent is not among them, and the descendants of each (by span id)."""
    by_id = {_id(span): span for span in spans}
    top_of: dict[int, int] = {}

    def top(span: RedactedSpan) -> int:
        path = []
        while (own := _id(span)) not in top_of:
            path.append(own)
            parent = by_id.get(span.span.parent.span_id) if span.span.parent is not None else None
            if parent is None or _id(parent) in path:
                top_of[own] = own
                break
            span = parent
        for each in path:
            top_of[each] = top_of[own]
        return top_of[own]

    tops: list[RedactedSpan] = []
    below: dict[int, list[RedactedSpan]] = {}
    for span in spans:
        if top(span) == _id(span):
            tops.append(span)
            below[_id(span)] = []
    for span in spans:
        if top(span) != _id(span):
            below[top(span)].append(span)
    return tops, below
