"""Measures every ended span: rate, errors, duration, SLO events. Counts into the store, ships nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from slotel.model import names
from slotel.model.slo import Event, Slo, classify
from slotel.model.tags import label_name
from slotel.runtime.enforce import Enforcer
from slotel.runtime.entries import Entry
from slotel.runtime.meter import Meter
from slotel.runtime.store import Store

DEFAULT_BOUNDS: Final = (
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 2.5, 5.0, 10.0, 15.0
)  # fmt: skip
"""Seconds; upper bounds. Objectives' thresholds are added, so that each is an edge."""

KINDS: Final = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
"""By the value of OpenTelemetry's SpanKind."""
_KIND_LABELS: Final = tuple(f"SPAN_KIND_{kind}" for kind in KINDS)
_STATUS_LABELS: Final = ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")
_MAX_KNOWN: Final = 20_000


class _Series:
    """What a kind of span adds to: its histogram slot, and for each latency class the SLO counters and events."""

    __slots__ = ("counted", "events", "slot")

    def __init__(
        self,
        slot: int,
        counted: tuple[tuple[int, ...], ...],
        events: tuple[tuple[tuple[int, bool], ...], ...],
    ) -> None:
        self.slot = slot
        self.counted = counted
        self.events = events


class Measure:
    """The stage that counts. What a span adds to is worked out once for each combination of labels.

    Args:
        service_name: value of the label service_name.
        meter: takes the SLO events for the sliding windows.
    """

    def __init__(
        self, store: Store, service_name: str, slos: tuple[Slo, ...], enforcer: Enforcer, meter: Meter
    ) -> None:
        self._service = service_name
        self._slos = slos
        self._enforcer = enforcer
        self._meter = meter
        self._has_labels = bool(enforcer.label_names)
        self._has_required = bool(enforcer.policy.required)
        self._edges = tuple(sorted({slo.latency for slo in slos if slo.latency is not None}))
        self._slo_keys = _attribute_keys(slos)
        self._slo_kinds = frozenset(kind for slo in slos for kind in slo.select.kinds)
        self._known: dict[tuple[Any, ...], _Series] = {}
        self._duration = store.histogram(
            names.SPAN_DURATION,
            help="Duration of ended spans.",
            unit="seconds",
            label_names=(
                names.LABEL_SERVICE, names.LABEL_SPAN_NAME, names.LABEL_SPAN_KIND, names.LABEL_STATUS,
                names.LABEL_ROUTE, names.LABEL_HTTP_STATUS, *map(label_name, enforcer.label_names),
            ),
            bounds=tuple(sorted({*DEFAULT_BOUNDS, *self._edges})),
            count_name=names.SPAN_CALLS,
        )  # fmt: skip
        events = store.counter(
            names.SLO_EVENTS,
            help="Events of each objective, by outcome.",
            label_names=(names.LABEL_SLO, names.LABEL_OUTCOME),
        )
        self._outcomes = {
            (slo.name, outcome): events.slot((slo.name, outcome))
            for slo in slos
            for outcome in names.OUTCOMES
        }

    def on_end(self, span: ReadableSpan, entry: Entry | None) -> None:
        """Count a span that ended, sampled or not."""
        attributes: Mapping[str, Any] = span.attributes.copy()  # type: ignore[union-attr]  # a plain dict: fast
        get = attributes.get
        kind = span.kind._value_
        status = span.status.status_code
        http_status = get("http.response.status_code") or get("http.status_code")
        labels = self._labels(span, attributes, entry) if self._has_labels or self._has_required else ()
        key: tuple[Any, ...] = (
            span.name, kind, status is StatusCode.ERROR, status is StatusCode.OK, get("http.route"), http_status, labels
        )  # fmt: skip
        if KINDS[kind] in self._slo_kinds:
            key += tuple([get(name) for name in self._slo_keys])  # a generator would cost twice as much
        try:
            series = self._known.get(key)
        except TypeError:  # an attribute with a list as its value
            key = tuple(str(part) for part in key)
            series = self._known.get(key)
        if series is None:
            series = self._open(
                key,
                kind=kind,
                status=status,
                http_status=http_status,
                labels=labels,
                name=span.name,
                attributes=attributes,
            )
        end = span.end_time or 0
        seconds = max(end - (span.start_time or end), 0) / 1e9
        latency_class = bisect_left(self._edges, seconds) if self._edges else 0
        context = span.context
        sampled = context is not None and context.trace_flags & 1
        self._duration.observe(
            series.slot,
            seconds,
            series.counted[latency_class],
            (context.trace_id, context.span_id) if sampled and context is not None else None,
        )
        events = series.events[latency_class]
        if events:
            self._meter.add(end / 1e9, events)

    def _labels(
        self, span: ReadableSpan, attributes: Mapping[str, Any], entry: Entry | None
    ) -> tuple[str, ...]:
        tags: Mapping[str, str] = entry.tags if entry is not None else {}
        context = span.context
        is_entry = entry is None or (context is not None and entry.root_id == context.span_id)
        if self._has_required and is_entry:
            self._enforcer.count_violations(attributes, tags)
        return self._enforcer.labels(attributes, tags)

    def _open(
        self,
        key: tuple[Any, ...],
        *,
        kind: int,
        status: StatusCode,
        http_status: object,
        labels: tuple[str, ...],
        name: str,
        attributes: Mapping[str, Any],
    ) -> _Series:
        code = _http_status(http_status)
        slot = self._duration.slot(
            (
                self._service, name, _KIND_LABELS[kind], _STATUS_LABELS[status.value],
                str(attributes.get("http.route") or ""), "" if code is None else str(code), *labels,
            )
        )  # fmt: skip
        tagged = dict(attributes)
        tagged.update(
            {key: value for key, value in zip(self._enforcer.label_names, labels, strict=True) if value}
        )
        counted, events = [], []
        for seconds in (*self._edges, float("inf")):
            event = Event(KINDS[kind], seconds, status is StatusCode.ERROR, code, tagged)
            cells, metered = self._outcomes_of(event, str(attributes.get(names.ATTR_OUTCOME, "")))
            counted.append(cells)
            events.append(metered)
        series = _Series(slot, tuple(counted), tuple(events))
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key] = series
        return series

    def _outcomes_of(
        self, event: Event, explicit: str
    ) -> tuple[tuple[int, ...], tuple[tuple[int, bool], ...]]:
        cells, metered = [], []
        for index, slo in enumerate(self._slos):
            outcome = classify(slo, event, explicit)
            if outcome is None:
                continue
            cells.append(self._outcomes[slo.name, outcome])
            if outcome != names.EXCLUDED:
                metered.append((index, outcome == names.BAD))
        return tuple(cells), tuple(metered)


def _attribute_keys(slos: tuple[Slo, ...]) -> tuple[str, ...]:
    """The attributes that decide an outcome, beside those that are labels anyway."""
    keys = {"error.type": None, names.ATTR_OUTCOME: None}
    for slo in slos:
        for group in (slo.select.include, slo.select.exclude, slo.bad.attributes):
            keys.update(dict.fromkeys(group))
    return tuple(key for key in keys if key != "http.route")


def _http_status(value: object) -> int | None:
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isdigit() else None
