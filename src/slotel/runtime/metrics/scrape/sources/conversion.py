"""The SDK's metric data as families: reads and names, merges nothing over processes.

The stock exporter decides, once for a series, what a metric and its labels are called; the numbers, the start times
and the exemplars, which it drops, come from the data points themselves. Each metric is converted alone, so that one
that cannot be costs nothing but itself; an exponential histogram becomes a classic one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, Final, cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from slotel.runtime.metrics.scrape.merge import added
from slotel.runtime.metrics.scrape.sources.redacted import Redact, joined
from slotel.runtime.metrics.store.family import portions
from slotel.runtime.metrics.store.store import Exemplar, Family
from slotel.runtime.process.gil_yielder import yield_gil
from slotel.runtime.redaction.enforcer import redacted_scope
from slotel.runtime.upstream.prometheus import naming_exporter

MAX_SERIES: Final = 20_000
"""Names that are kept, over all metrics; beyond it they are asked again."""
_LOW: Final = -10
_POWERS: Final = tuple(2.0**power for power in range(_LOW, 15))
"""The bounds of an exponential histogram: about a thousandth to sixteen thousand, in its own unit."""


Named = tuple[Family, tuple[str, ...]]
"""A series as the exporter names it: its family, without series, and the values of its labels."""


class Conversion:
    """Turns metric data into families.

    Args:
        dropped: told the reason of what is left out, at every conversion that meets it.
        complain: told the name that two instruments of one meter share; the first answers.
        redact: returns attributes without their secrets; series that become the same are added up.
    """

    def __init__(
        self,
        dropped: Callable[[str], None],
        complain: Callable[[str], None],
        redact: Redact = lambda attributes: attributes,
    ) -> None:
        self._dropped, self._complain, self._redact = dropped, complain, redact
        self._names: dict[tuple[Any, ...], Named] = {}
        self._ask: Callable[[MetricsData], Iterable[Any]] | None = None

    def prepare(self) -> None:
        """Load the exporter now, some 70 ms, not at the first series."""
        if self._ask is None:
            self._ask = naming_exporter()

    def convert(self, scopes: Iterable[ScopeMetrics]) -> list[Family]:
        """Return the families, one for each name and kind."""
        made: list[Family] = []
        owners: dict[tuple[object, str], str] = {}
        for scope, metric in ((each.scope, metric) for each in scopes for metric in each.metrics):
            try:
                families = list(self._families(scope, metric))
            except Exception:  # noqa: BLE001 a metric that cannot be named must not take the others down
                self._dropped("not_representable")
                continue
            for family in families:
                if owners.setdefault((scope, family.name), metric.name) == metric.name:
                    made.append(family)
                else:
                    self._complain(family.name)
        return list(added(made))

    def _families(self, scope: InstrumentationScope, metric: Metric) -> Iterator[Family]:
        """Yield a family for each set of label names of a metric's points; they are joined later."""
        if isinstance(metric.data, ExponentialHistogram):
            metric = classic(metric)
        groups: dict[tuple[Any, ...], Family] = {}
        points: Iterable[Any] = metric.data.data_points
        for point in chain.from_iterable(portions(points)):
            self._point(scope, metric, point, groups)
        yield from groups.values()

    def _point(
        self, scope: InstrumentationScope, metric: Metric, point: Any, groups: dict[tuple[Any, ...], Family]
    ) -> None:
        family, labels = self._named(scope, metric, point)
        row, bounds = _row(point)
        key = (family.name, family.label_names, bounds)
        if key not in groups:
            created = (point.start_time_unix_nano or 0) / 1e9
            groups[key] = replace(family, bounds=bounds, series={}, exemplars={}, created=created)
        series = cast("dict[Any, Any]", groups[key].series)
        standing = series.get(labels)
        series[labels] = row if standing is None else joined(family.kind, standing, row)
        if point.exemplars and (marked := _exemplars(point, bounds)):
            cast("dict[Any, Any]", groups[key].exemplars)[labels] = marked

    # -- names -------------------------------------------------------------------------------------------------

    def _named(self, scope: InstrumentationScope, metric: Metric, point: Any) -> Named:
        attributes = point.attributes or {}
        kind = type(metric.data), getattr(metric.data, "is_monotonic", False)
        key = (scope, metric.name, metric.unit, kind, tuple(attributes.items()))
        found = self._names.get(key)
        if found is None:
            if len(self._names) >= MAX_SERIES:
                self._names.clear()
            found = self._names[key] = self._asked(scope, metric, point)
            yield_gil()
        return found

    def _asked(self, scope: InstrumentationScope, metric: Metric, point: Any) -> Named:
        """Let the exporter name a series, by giving it a metric with this one point."""
        self.prepare()
        plain = replace(point, attributes=self._redact(dict(point.attributes or {})), exemplars=[])
        one = replace(metric, data=replace(cast("Any", metric.data), data_points=[plain]))
        clean = redacted_scope(scope, self._redact) or scope
        alone = ResourceMetrics(Resource.get_empty(), [ScopeMetrics(clean, [one], "")], "")
        named = next(iter(cast("Any", self._ask)(MetricsData([alone]))))
        labels = {name: value for name, value in named.samples[0].labels.items() if name != "le"}
        kind, adds_up = _kind(metric), isinstance(metric.data, Sum) and not metric.data.is_monotonic
        family = Family(
            named.name, kind, named.documentation, named.unit, tuple(labels), (), {}, adds_up=adds_up
        )
        return family, tuple(labels.values())


# -- numbers ---------------------------------------------------------------------------------------------------


def _kind(metric: Metric) -> Any:
    if isinstance(metric.data, Histogram):
        return "histogram"
    return "counter" if isinstance(metric.data, Sum) and metric.data.is_monotonic else "gauge"


def _row(point: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if isinstance(point, HistogramDataPoint):
        return (*map(float, point.bucket_counts), float(point.sum)), tuple(map(float, point.explicit_bounds))
    return (float(point.value),), ()


def _exemplars(point: Any, bounds: tuple[float, ...]) -> dict[int, Exemplar]:
    """Return the latest exemplar of each bucket that belongs to a span."""
    latest: dict[int, Exemplar] = {}
    for seen in point.exemplars or ():
        if seen.trace_id and seen.span_id:
            bucket = bisect_left(bounds, seen.value) if bounds else 0
            made = (seen.trace_id, seen.span_id, float(seen.value), seen.time_unix_nano / 1e9)
            if bucket not in latest or latest[bucket][3] < made[3]:
                latest[bucket] = made
    return latest


def classic(metric: Metric) -> Metric:
    """Return an exponential histogram as one with bounds at powers of two, where its buckets are cut exactly.

    Below scale 0 a bucket spans several powers and is counted at its upper bound.
    """
    points = [_classic_point(point) for point in metric.data.data_points]  # type: ignore[arg-type]  # the caller looked
    return Metric(
        metric.name, metric.description, metric.unit, Histogram(points, AggregationTemporality.CUMULATIVE)
    )


def _classic_point(point: ExponentialHistogramDataPoint) -> HistogramDataPoint:
    counts = [0] * (len(_POWERS) + 1)
    counts[0] = point.zero_count + sum(point.negative.bucket_counts)
    for index, count in enumerate(point.positive.bucket_counts, point.positive.offset + 1):
        # The bucket's upper bound is 2 ** (index / 2 ** scale); the power of two at or above it:
        power = -(-index >> point.scale) if point.scale >= 0 else index << -point.scale
        counts[min(max(power - _LOW, 0), len(_POWERS))] += count
    return HistogramDataPoint(
        attributes=point.attributes,
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        count=point.count,
        sum=point.sum,
        bucket_counts=counts,
        explicit_bounds=_POWERS,
        min=point.min,
        max=point.max,
        exemplars=point.exemplars,
    )
