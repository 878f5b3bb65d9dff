"""Measures every ended span: rate, errors, duration, SLO events. Counts into the store, exports nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode

from slotel.config import names
from slotel.config.slo import Event, Slo, classify
from slotel.config.tags import label_name
from slotel.runtime.metrics.call_graph import CALLING, CallGraph, peer_attribute, peer_of
from slotel.runtime.metrics.self_metrics import SelfMetrics
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.requests.decision import http_status, row_of
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.requests.outcomes import SUCCEEDED, OutcomeRow
from slotel.runtime.upstream.otel.context import flags_of, span_id_of
from slotel.runtime.upstream.otel.reading import UNSET, attributes_of, exact_value

KINDS: Final = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
"""By the value of OpenTelemetry's SpanKind."""
_KIND_LABELS: Final = tuple(f"SPAN_KIND_{kind}" for kind in KINDS)
_STATUS_LABELS: Final = ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")
_MAX_KNOWN: Final = 4_000
_MAX_KEY: Final = 2_000
"""Characters of the texts in a cache key; a longer key is not cached, for 4,000 of a megabyte fill the memory."""

_ALWAYS: Final = (
    "http.response.status_code", "http.status_code", "http.route", "error.type", names.ATTR_OUTCOME,
)  # fmt: skip
"""The attributes that every service's rows depend on."""

_VALUES: Final = (str, int, float, tuple)
_NO_TAGS: Final[Mapping[str, str]] = {}
_Counted: TypeAlias = tuple[tuple[int, ...], ...]
"""For each latency class, the cells of slo_events that a span adds to; () if to none."""
_Known: TypeAlias = tuple[int, _Counted, _Counted]
"""Of a combination of labels: its row, those cells, and the same for a local root (tag violations count)."""


class Windows(Protocol):
    """The budget's windows, as far as counting needs them."""

    bucket_ends_ns: int
    """Unix time at which the current bucket ends."""

    def roll(self) -> None:
        """Move what was counted into its bucket."""

    def counter_cells(self, slo: Slo) -> Mapping[str, int]:
        """Return the cell of each outcome of an objective."""


class SpanMetrics:
    """The stage that counts spans. The cells of a span are cached for each combination of labels.

    Args:
        service_name: value of the label service_name.
        windows: holds the SLO counters, and their sliding windows.
        self_metrics: counts the tags of a local root that the policy had to repair.
    """

    def __init__(
        self,
        store: Store,
        service_name: str,
        slos: tuple[Slo, ...],
        enforcer: Enforcer,
        windows: Windows,
        self_metrics: SelfMetrics,
    ) -> None:
        self._service = service_name
        self._slos = slos
        self._enforcer = enforcer
        self._windows = windows
        self._is_tagged = bool(enforcer.label_names or enforcer.policy.required)
        self._counts_unlabelled = bool(enforcer.unlabelled)
        self._given = enforcer.given
        self._text = enforcer.redactor.text
        self._violation_cell = self_metrics.tag_violation_cell
        self._edges = tuple(sorted({slo.latency for slo in slos if slo.latency is not None}))
        self._keys = (*_ALWAYS, *_attribute_keys(slos))
        self._watched = frozenset((*self._keys, *enforcer.label_names))
        self._known: dict[tuple[Any, ...], _Known] = {}
        self._duration = store.histogram(
            names.SPAN_DURATION,
            help="Duration of ended spans.",
            unit="seconds",
            label_names=(
                names.LABEL_SERVICE, names.LABEL_SPAN_NAME, names.LABEL_SPAN_KIND, names.LABEL_STATUS,
                names.LABEL_ROUTE, names.LABEL_HTTP_STATUS, *map(label_name, enforcer.label_names),
            ),
            bounds=tuple(sorted({*names.SPAN_BOUNDS, *self._edges})),
            count_name=names.SPAN_CALLS,
        )  # fmt: skip
        self._observe = self._duration.observe
        self._graph = CallGraph(store, service_name, self._text)

    def on_end(
        self,
        span: ReadableSpan,
        context: SpanContext | None,
        local_root: LocalRoot | None,
        row: OutcomeRow | None = None,
    ) -> None:
        """Count a span that ended, sampled or not.

        Args:
            context: the span's own, read once for all stages.
            row: what came of it, if it is a request, a job or a local root.
        """
        attributes, status = attributes_of(span), span.status
        tags = local_root.tags if local_root is not None else _NO_TAGS
        key: tuple[Any, ...] = (
            span.name,
            span.kind._value_,
            0 if status is UNSET else status.status_code._value_,
        )
        if tags or not self._watched.isdisjoint(attributes):
            key += tuple(map(attributes.get, self._keys))
            if self._is_tagged:
                key += self._given(attributes, tags)
        if row is not None and row is not SUCCEEDED:
            key += (row,)
        peer = peer_attribute(attributes) if span.kind._value_ in CALLING else None
        if peer is not None:
            key += peer
        try:
            known = self._known.get(key)
        except TypeError:  # an attribute with a list as its value
            key = tuple(str(part) for part in key)
            known = self._known.get(key)
        slot, counted, counted_root = known or self._open(
            key, span, attributes, tags, row or row_of(span), calls=peer is not None
        )
        if self._is_tagged and (
            local_root is None or (context is not None and local_root.root_id == span_id_of(context))
        ):
            counted = counted_root
            if self._counts_unlabelled:
                self._enforcer.count_unlabelled(attributes, tags)
        end = span.end_time or 0
        if end >= self._windows.bucket_ends_ns:
            self._windows.roll()
        seconds = (end - (span.start_time or end)) / 1e9
        cells = counted[bisect_left(self._edges, seconds)] if counted else ()
        self._observe(
            slot, seconds, cells, context if context is not None and flags_of(context) & 1 else None
        )

    def _open(
        self,
        key: tuple[Any, ...],
        span: ReadableSpan,
        attributes: Mapping[str, Any],
        tags: Mapping[str, str],
        row: OutcomeRow,
        *,
        calls: bool,
    ) -> _Known:
        kind, status = span.kind.value, span.status.status_code.value
        answered = http_status(attributes)
        labels, violations = self._enforcer.judge_labels(self._given(attributes, tags))
        slot = self._duration.slot(
            (
                self._service, self._text(span.name), _KIND_LABELS[kind], _STATUS_LABELS[status],
                self._text(str(attributes.get("http.route") or "")),
                "" if answered is None else str(answered), *labels,
            )
        )  # fmt: skip
        tagged = dict(attributes)
        tagged.update(
            {tag: value for tag, value in zip(self._enforcer.label_names, labels, strict=True) if value}
        )
        explicit = str(attributes.get(names.ATTR_OUTCOME, ""))
        counted = tuple(
            self._cells(Event(KINDS[kind], seconds, row.outcome, answered, tagged, row.timed), explicit)
            for seconds in (*self._edges, float("inf"))
        )
        called = peer_of(attributes) if calls else None
        if called is not None:
            edge = self._graph.cells(called, is_failed=status == StatusCode.ERROR.value)
            counted = tuple((*cells, *edge) for cells in counted)
        repaired = tuple(self._violation_cell(tag, action) for tag, action in violations)
        counted_root = tuple((*cells, *repaired) for cells in counted)
        known = slot, counted if any(counted) else (), counted_root if any(counted_root) else ()
        if sum(len(part) for part in key if isinstance(part, str)) <= _MAX_KEY:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            # a value that is compared by the app's own code would spoil the look-ups of others
            key = tuple(exact_value(part) if isinstance(part, _VALUES) else part for part in key)
            self._known[key] = known
        return known

    def _cells(self, event: Event, explicit: str) -> tuple[int, ...]:
        """The cells of slo_events that an event adds to."""
        outcomes = ((slo, classify(slo, event, explicit)) for slo in self._slos)
        return tuple(
            self._windows.counter_cells(slo)[outcome] for slo, outcome in outcomes if outcome is not None
        )


def _attribute_keys(slos: tuple[Slo, ...]) -> tuple[str, ...]:
    """The attributes that decide an outcome, in addition to those that are read anyway."""
    keys: dict[str, None] = {}
    for slo in slos:
        for group in (slo.select.include, slo.select.exclude, slo.bad.attributes):
            keys.update(dict.fromkeys(group))
    return tuple(key for key in keys if key not in _ALWAYS)
