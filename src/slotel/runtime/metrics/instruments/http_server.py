"""The HTTP metrics of web frameworks' instrumentations, added up in place: one microsecond a measurement, not ten.

The instrumentations are given this meter provider instead of the SDK's (their public argument `meter_provider`). Its
`http.server.*` instruments add up themselves what the SDK would, and the scrape reads both as one. Names no series and
serves nothing; what is no HTTP instrument stays with the SDK.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.requests.served import MIDDLEWARES, SERVED
from slotel.runtime.upstream.otel.context import flags_of
from slotel.runtime.upstream.otel.metrics import aggregates_by_default
from slotel.runtime.upstream.otel.pickling import Pickled, meter_by
from slotel.runtime.upstream.otel.spans import span_in

PREFIX: Final = "http.server."
DEFAULT_BOUNDS: Final = (
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0
)  # fmt: skip
"""Bounds of a histogram without advice. Source: OpenTelemetry specification, Explicit Bucket Histogram Aggregation."""
_OVERFLOW: Final = {"otel.metric.overflow": True}
"""Attributes of what is beyond the bound. Source: OpenTelemetry specification, "Cardinality limits"."""
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_MOST_KEYS: Final = 5
"""Ways to spell one attribute set (orders of its keys) that are kept, on average."""

Attributes = Mapping[str, Any]


def http_server_metrics(provider: MeterProvider, max_series: int) -> HttpServerMetrics | None:
    """Return the meter provider for web frameworks; None where the SDK must aggregate.

    So it must where another reader than the scrape wants the numbers (an OTLP exporter), where views may change them,
    and where exemplars are asked for that are not of sampled spans. Ask before the scrape adds its reader.
    """
    return HttpServerMetrics(provider, max_series) if aggregates_by_default(provider) else None


class _Row:
    """The measurements with one attribute set: cells to add to, and the latest exemplar of each bucket."""

    __slots__ = ("attributes", "cells", "exemplars")

    def __init__(self, attributes: Attributes, width: int) -> None:
        self.attributes = attributes
        self.cells = [0.0] * width
        self.exemplars: dict[int, tuple[SpanContext, float, int]] = {}


class _Instrument:
    """Attribute sets to rows, at most `max_series`; what is beyond is added up in one. A forked child has none."""

    def __init__(self, name: str, unit: str, description: str, width: int, max_series: int) -> None:
        self.name, self.unit, self.description = name, unit, description
        self._width = width
        self._max_series = max_series
        self.begin()

    def begin(self) -> None:
        """Count from zero."""
        self._leaf_lock = threading.RLock()  # decision 0110
        self._start = time.time_ns()
        self._known: dict[Any, _Row] = {}
        self._rows: dict[Any, _Row] = {}

    def _row(self, attributes: Attributes | None) -> _Row:
        key = tuple(attributes.items()) if attributes else ()
        try:
            return self._known.get(key) or self._open(key, dict(key))
        except TypeError:  # a list as a value
            key = tuple((name, _hashable(value)) for name, value in key)
            return self._known.get(key) or self._open(key, dict(key))

    def _open(self, key: Any, attributes: Attributes) -> _Row:
        """Return the row of an attribute set, in whatever order its keys came."""
        sorted_key: Any = frozenset(key)
        if sorted_key not in self._rows and len(self._rows) >= self._max_series:
            sorted_key, attributes = None, _OVERFLOW
        row = self._rows.setdefault(sorted_key, _Row(attributes, self._width))
        if sorted_key is not None and len(self._known) < self._max_series * _MOST_KEYS:
            self._known[key] = row
        return row

    def _copied(self) -> list[tuple[_Row, list[float]]]:
        """Return each row and its cells as they were at one moment."""
        copied = []
        for row in self._rows.copy().values():
            cells = [0.0] * self._width
            with self._leaf_lock:
                cells[:] = row.cells
            copied.append((row, cells))
        return copied


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(str, value))
    return value if isinstance(value, (str, int, float)) else str(value)


class UpDownCounter(_Instrument):
    """Adds up."""

    def add(
        self, amount: float, attributes: Attributes | None = None, context: Context | None = None
    ) -> None:
        """Add an amount, which may be negative."""
        del context
        row = self._row(attributes)
        with self._leaf_lock:
            row.cells[0] += amount

    def metric(self, now: int) -> Metric:
        """Return what was added up until `now`, in unix nanoseconds."""
        points = [
            NumberDataPoint(row.attributes, self._start, now, cells[0]) for row, cells in self._copied()
        ]
        return Metric(self.name, self.description, self.unit, Sum(points, _CUMULATIVE, is_monotonic=False))


class HistogramOf(_Instrument):
    """Counts values in buckets.

    Args:
        bounds: upper bounds of the finite buckets, rising.
        yields: it does not count a request that a framework's instrumentation counts, with its route.
    """

    def __init__(
        self,
        name: str,
        unit: str,
        description: str,
        bounds: Sequence[float],
        max_series: int,
        *,
        yields: bool = False,
    ) -> None:
        self._bounds = tuple(map(float, bounds))
        self._yields = yields
        super().__init__(name, unit, description, len(self._bounds) + 2, max_series)

    def record(
        self, amount: float, attributes: Attributes | None = None, context: Context | None = None
    ) -> None:
        """Count a value, not negative; that of a sampled span is kept as the exemplar of its bucket.

        A mounted application is instrumented, too, and would count the request that the outer one counts.
        """
        served = SERVED.get()
        if not amount >= 0 or (served is not None and self.name in served.measured):
            return
        if self._yields and served is not None and served.is_measured_by_framework:
            return
        if served is not None:
            served.measured += (self.name,)
        row = self._row(attributes)
        bucket = bisect_left(self._bounds, amount)
        with self._leaf_lock:
            cells = row.cells
            cells[bucket] += 1.0
            cells[-1] += amount
        span = span_in(context)
        own = None if span is None else getattr(span, "context", None) or span.get_span_context()
        if own is not None and flags_of(own) & 1:
            row.exemplars[bucket] = own, amount, time.time_ns()

    def metric(self, now: int) -> Metric:
        """Return what was counted until `now`, in unix nanoseconds."""
        points = [self._point(row, cells, now) for row, cells in self._copied()]
        return Metric(self.name, self.description, self.unit, Histogram(points, _CUMULATIVE))

    def _point(self, row: _Row, cells: list[float], now: int) -> HistogramDataPoint:
        exemplars = [
            Exemplar({}, value, at, span.span_id, span.trace_id)
            for span, value, at in row.exemplars.copy().values()
        ]
        return histogram_point(row.attributes, self._start, now, cells, self._bounds, exemplars)


def histogram_point(
    attributes: Attributes,
    start: int,
    now: int,
    row: Sequence[float],
    bounds: Sequence[float],
    exemplars: Sequence[Exemplar],
) -> HistogramDataPoint:
    """Return the counts of buckets, and behind them the sum, as the SDK's; the least and the largest are not kept."""
    counts = [int(count) for count in row[:-1]]
    unknown: Any = None  # the protocol needs neither
    return HistogramDataPoint(
        attributes, start, now, sum(counts), row[-1], counts, bounds, unknown, unknown, exemplars
    )


class _HttpServerMeter:
    """A meter whose HTTP instruments are slotel's; every other is the SDK's."""

    def __init__(self, sdk: metrics.Meter, max_series: int, scope: InstrumentationScope) -> None:
        self._sdk = sdk
        self._scope = scope
        self._max_series = max_series
        self.instruments: dict[str, UpDownCounter | HistogramOf] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sdk, name)

    def __reduce__(self) -> Pickled:
        """Be the SDK's meter of this scope where an app that holds it is pickled or copied."""
        return meter_by(self._scope)

    def create_histogram(
        self, name: str, unit: str = "", description: str = "", **advice: Any
    ) -> metrics.Histogram | HistogramOf:
        """Return the histogram of this name."""
        if not name.startswith(PREFIX):
            return self._sdk.create_histogram(name, unit, description, **advice)
        bounds = advice.get("explicit_bucket_boundaries_advisory") or DEFAULT_BOUNDS
        yields = self._scope.name in MIDDLEWARES
        made = HistogramOf(name, unit, description, bounds, self._max_series, yields=yields)
        return self.instruments.setdefault(name, made)  # type: ignore[return-value]  # one name, one kind

    def create_up_down_counter(
        self, name: str, unit: str = "", description: str = ""
    ) -> metrics.UpDownCounter | UpDownCounter:
        """Return the counter of this name."""
        if not name.startswith(PREFIX):
            return self._sdk.create_up_down_counter(name, unit, description)
        made = UpDownCounter(name, unit, description, 1, self._max_series)
        return self.instruments.setdefault(name, made)  # type: ignore[return-value]  # one name, one kind


class HttpServerMetrics:
    """Gives web frameworks' instrumentations their meters; `sdk` makes what is no HTTP instrument."""

    def __init__(self, sdk: metrics.MeterProvider, max_series: int) -> None:
        self._sdk = sdk
        self._max_series = max_series
        self._meters: dict[InstrumentationScope, _HttpServerMeter] = {}
        PROCESS.register("http_server_metrics", after_fork_in_child=self._begin)

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes | None = None,
    ) -> _HttpServerMeter:
        """Return the meter of an instrumentation scope."""
        scope = InstrumentationScope(name, version, schema_url, attributes)
        found = self._meters.get(scope)
        if found is None:
            meter = self._sdk.get_meter(name, version, schema_url, attributes)
            found = self._meters.setdefault(scope, _HttpServerMeter(meter, self._max_series, scope))
        return found

    def scopes(self) -> list[ScopeMetrics]:
        """Return what was measured, as the SDK's readers would."""
        now = time.time_ns()
        return [
            ScopeMetrics(scope, [made.metric(now) for made in tuple(meter.instruments.values())], "")
            for scope, meter in tuple(self._meters.items())
        ]

    def _begin(self) -> None:
        """Start at zero in a forked child: the measurements that it inherits are its parent's."""
        for made in chain.from_iterable(meter.instruments.values() for meter in self._meters.values()):
            made.begin()
