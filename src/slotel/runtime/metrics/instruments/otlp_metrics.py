"""The store's metrics by OTLP: joins them to what the SDK's periodic readers export. Sends nothing itself.

SDK 1.45 has no MetricProducer, by which the specification lets foreign metrics into a reader, and no asynchronous
histogram; so what a reader collects is changed (`upstream/otel/metrics.py`). Each process sends its
own numbers, under its own `service.instance.id`: nobody merges what is pushed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import sub
from typing import Any, Final

from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from slotel.config import names
from slotel.runtime.logs import LOG
from slotel.runtime.metrics.instruments.http_server import histogram_point
from slotel.runtime.metrics.store.store import Exemplar, Family
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.process.shutdown import run_at_once
from slotel.runtime.upstream.otel.exports import watch
from slotel.runtime.upstream.otel.metrics import (
    change_collected,
    exporter_of,
    prefers_delta,
    readers_of,
)
from slotel.version import __version__

SPAN_METRICS: Final = {
    names.SPAN_CALLS: ("traces.span.metrics.calls", ""),
    names.SPAN_DURATION: ("traces.span.metrics.duration", "s"),
}
"""slotel's name → that of the collector's span_metrics connector, with unit; other names do not change."""
ATTRIBUTES: Final = {
    names.LABEL_SERVICE: "service.name",
    names.LABEL_SPAN_NAME: "span.name",
    names.LABEL_SPAN_KIND: "span.kind",
    names.LABEL_STATUS: "status.code",
    names.LABEL_ROUTE: "http.route",
    names.LABEL_HTTP_STATUS: "http.response.status_code",
}
OVERFLOW: Final = "otel.metric.overflow"
LAST_SECONDS: Final = 2.0
"""For which a forked child waits at its end for the last export."""
_UNITS: Final = {"seconds": "s", "ratio": "1"}

Source = Callable[[], Iterable[Family]]
Redact = Callable[[MetricsData], MetricsData]
_Rows = Mapping[tuple[str, ...], tuple[float, ...]]


def export_store(
    provider: MeterProvider,
    source: Source,
    resource: Callable[[], Resource],
    redact: Redact = lambda data: data,
) -> bool:
    """Have every periodic reader of a provider export the store's counters and histograms, too.

    Args:
        source: this process's families.
        resource: this process's resource, for when the app has no metric of its own.
        redact: returns metric data without secrets.

    Returns whether there was a reader to join.
    """
    periodic = [
        reader for reader in readers_of(provider) if isinstance(reader, PeriodicExportingMetricReader)
    ]
    first = _FirstExport([reader for reader in periodic if not prefers_delta(reader)])
    for reader in periodic:
        _join(reader, source, resource, redact, first)
    if periodic:
        PROCESS.register(
            "otlp_metrics",
            after_fork_in_child=first.expect,
            tick=first.export,
            before_child_exit=lambda: _export(periodic, LAST_SECONDS),
        )
    return bool(periodic)


class _FirstExport:
    """Exports at the first tick of a process where a reader's first interval (60 s by default) is not over by then.

    The value with which a store first sees a counter is where its increase begins: what a process counted before is in
    no rate. A worker that is recycled within the interval would be in none at all. The readers hold this object.
    """

    def __init__(self, readers: Sequence[PeriodicExportingMetricReader]) -> None:
        self._readers = tuple(readers)
        self._due = list(readers)

    def expect(self) -> None:
        """Note that this process, a forked child, has exported nothing."""
        self._due = list(self._readers)

    def made(self, reader: PeriodicExportingMetricReader) -> None:
        """Note that a reader exports."""
        if reader in self._due:
            self._due.remove(reader)

    def export(self) -> None:
        """Start the first export of each reader without waiting for it: a fork waits for the tick."""
        if self._due:
            _export(tuple(self._due), 0.0)


def _export(readers: Sequence[PeriodicExportingMetricReader], seconds: float) -> None:
    """Export once more than the readers do by themselves, and wait for so long; one that hangs is left."""
    hooks = [
        lambda _, reader=reader: reader.collect(timeout_millis=LAST_SECONDS * 1000) for reader in readers
    ]
    run_at_once(hooks, seconds)


def _join(
    reader: PeriodicExportingMetricReader,
    source: Source,
    resource: Callable[[], Resource],
    redact: Redact,
    first: _FirstExport,
) -> None:
    watch(exporter_of(reader), "metrics")
    delta = _Delta() if prefers_delta(reader) else None

    def with_store(data: MetricsData | None) -> MetricsData | None:
        first.made(reader)
        if data is not None:
            data = redact(data)
        try:
            families = [family for family in source() if family.kind != "gauge" and family.series]
            return _with(data, to_metrics(families, time.time_ns(), delta), resource)
        except Exception as error:  # noqa: BLE001 the app's own metrics leave whatever happens to slotel's
            LOG.error("slotel's metrics are missing from this export: %s: %s", type(error).__name__, error)
            return data

    change_collected(reader, with_store)


def to_metrics(families: Iterable[Family], now: int, delta: _Delta | None = None) -> list[Metric]:
    """Return families as the SDK's metric data.

    Args:
        now: unix nanoseconds.
        delta: makes each number the difference to the last call's; None: cumulative since `Family.created`.
    """
    made = []
    temporality = AggregationTemporality.CUMULATIVE if delta is None else AggregationTemporality.DELTA
    for family in families:
        name, unit = SPAN_METRICS.get(family.name, (family.name, _UNITS.get(family.unit, family.unit)))
        start = int(family.created * 1e9)
        rows: _Rows = {values: tuple(row) for values, row in family.series.items()}
        if delta is not None:
            start, rows = delta.since_last(family.name, start, rows, now)
        data: Sum | Histogram
        if family.kind == "histogram":
            points = [_histogram(family, values, row, start, now) for values, row in rows.items()]
            data = Histogram(points, temporality)
        else:
            data = Sum(
                [_number(family, values, row, start, now) for values, row in rows.items()], temporality, True
            )
        made.append(Metric(name, family.help, unit, data))
    return made


class _Delta:
    """The differences between exports, for a backend that asked for them."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int, _Rows]] = {}

    def since_last(self, name: str, start: int, rows: _Rows, now: int) -> tuple[int, _Rows]:
        """Return (start, differences); after a fork the numbers start again, and so do the differences."""
        since, created, before = self._last.get(name, (start, start, {}))
        self._last[name] = (now, start, rows)
        if created != start:
            return start, rows
        return since, {
            values: tuple(map(sub, row, before[values])) if values in before else row
            for values, row in rows.items()
        }


def _number(family: Family, values: tuple[str, ...], row: Any, start: int, now: int) -> NumberDataPoint:
    exemplars = [_exemplar(marked) for marked in family.exemplars.get(values, {}).values()]
    value = int(row[0]) if row[0].is_integer() else row[0]
    return NumberDataPoint(_attributes(family, values), start, now, value, exemplars)


def _histogram(family: Family, values: tuple[str, ...], row: Any, start: int, now: int) -> HistogramDataPoint:
    exemplars = [_exemplar(marked) for marked in family.exemplars.get(values, {}).values()]
    return histogram_point(_attributes(family, values), start, now, row, family.bounds, exemplars)


def _attributes(family: Family, values: tuple[str, ...]) -> dict[str, Any]:
    named = zip(family.label_names, values, strict=True)
    found: dict[str, Any] = {ATTRIBUTES.get(name, name): value for name, value in named if value}
    if found.pop(names.LABEL_OVERFLOW, ""):
        found[OVERFLOW] = True  # the specification's spelling
    return found


def _exemplar(marked: Exemplar) -> SdkExemplar:
    trace_id, span_id, value, seconds = marked
    return SdkExemplar({}, value, int(seconds * 1e9), span_id, trace_id)


def _with(
    data: MetricsData | None, metrics: list[Metric], resource: Callable[[], Resource]
) -> MetricsData | None:
    if not metrics:
        return data
    scope = InstrumentationScope("slotel", __version__)
    scoped = ScopeMetrics(scope, metrics, "")
    if data is None or not data.resource_metrics:
        return MetricsData([ResourceMetrics(resource(), [scoped], "")])
    first, *rest = data.resource_metrics
    joined = ResourceMetrics(first.resource, [*first.scope_metrics, scoped], first.schema_url)
    return MetricsData([joined, *rest])
