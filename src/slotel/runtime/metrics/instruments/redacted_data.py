"""The SDK's metric data without secrets, as it is exported: points that become the same are added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import add
from typing import Any, cast

from opentelemetry.sdk.metrics.export import (
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from slotel.runtime.redaction.enforcer import redacted_scope

Redact = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns attributes without their secrets: the same object if they have none."""


def redacted_data(
    data: MetricsData,
    redact: Redact,
    resource: Callable[[Resource], Resource],
    failed: Callable[[BaseException], None],
) -> MetricsData:
    """Return metric data whose resources, points and exemplars hold no secret.

    If the redaction of a metric itself fails, `failed` is called, and the metric is left out.
    """
    return MetricsData(
        [
            ResourceMetrics(
                resource(each.resource),
                [_scope(scope, redact, failed) for scope in each.scope_metrics],
                each.schema_url,
            )
            for each in data.resource_metrics
        ]
    )


def _scope(scope: ScopeMetrics, redact: Redact, failed: Callable[[BaseException], None]) -> ScopeMetrics:
    metrics, own = [], scope.scope
    for metric in scope.metrics:
        try:
            metrics.append(_metric(metric, redact))
        except Exception as error:  # noqa: BLE001 one metric that cannot be redacted must not take the others along
            failed(error)
    try:
        clean = redacted_scope(own, redact) or own
    except Exception as error:  # noqa: BLE001 as above: its name is one of code
        failed(error)
        clean = InstrumentationScope(own.name, own.version, own.schema_url)
    return ScopeMetrics(clean, metrics, scope.schema_url)


def _metric(metric: Metric, redact: Redact) -> Metric:
    given: Sequence[Any] = metric.data.data_points
    points = [_point(point, redact) for point in given]
    if all(clean is point for clean, point in zip(points, given, strict=True)):
        return metric
    changed: Any = replace(
        cast("Any", metric.data), data_points=list(_joined(points, is_gauge=isinstance(metric.data, Gauge)))
    )
    return Metric(metric.name, metric.description, metric.unit, changed)


def _point(point: Any, redact: Redact) -> Any:
    attributes = dict(point.attributes or {})
    clean = redact(attributes)
    exemplars = [_exemplar(exemplar, redact) for exemplar in point.exemplars or ()]
    changed = any(now is not then for now, then in zip(exemplars, point.exemplars or (), strict=True))
    if clean is attributes and not changed:
        return point
    return replace(point, attributes=clean, exemplars=exemplars)


def _exemplar(exemplar: Any, redact: Redact) -> Any:
    attributes = dict(exemplar.filtered_attributes or {})
    clean = redact(attributes) if attributes else attributes
    return exemplar if clean is attributes else replace(exemplar, filtered_attributes=clean)


def _joined(points: Iterable[Any], *, is_gauge: bool) -> Iterable[Any]:
    """Return the points, those of the same attributes as one. An exponential histogram's cannot be added: they stay."""
    by_attributes: dict[object, Any] = {}
    for number, point in enumerate(points):
        key: object = tuple(sorted((name, str(value)) for name, value in point.attributes.items()))
        standing = by_attributes.get(key)
        if standing is None:
            by_attributes[key] = point
        elif isinstance(point, NumberDataPoint):
            by_attributes[key] = point if is_gauge else replace(standing, value=standing.value + point.value)
        elif isinstance(point, HistogramDataPoint) and standing.explicit_bounds == point.explicit_bounds:
            by_attributes[key] = _sum(standing, point)
        else:
            by_attributes[key, number] = point
    return by_attributes.values()


def _sum(first: HistogramDataPoint, second: HistogramDataPoint) -> HistogramDataPoint:
    return replace(
        first,
        count=first.count + second.count,
        sum=first.sum + second.sum,
        bucket_counts=list(map(add, first.bucket_counts, second.bucket_counts)),
        min=min(first.min, second.min),
        max=max(first.max, second.max),
        exemplars=[*first.exemplars, *second.exemplars],
    )
