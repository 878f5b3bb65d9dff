"""Pyrra's ServiceLevelObjective: ratios, latencies and 0/1 gauges of Prometheus. Source: the resource's definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from slotel.config.duration import parse_duration
from slotel.config.foreign import promql
from slotel.config.foreign.counts import Count, count
from slotel.config.foreign.findings import (
    Findings,
    Part,
    RefusedError,
    Steps,
    flag,
    known,
    mapping,
    percentage,
    queries_of,
    read_query,
    texts,
)
from slotel.config.foreign.parsing import parse
from slotel.config.monitoring import RESERVED_LABELS
from slotel.config.slo import DAY, WINDOW, Alerting, Period, Queries, SeverityAlerts, Slo

VERSION: Final = "pyrra.dev/v1alpha1"
KIND: Final = "ServiceLevelObjective"
_PREFIX: Final = "pyrra.dev/"
_SERVICE_LABELS: Final = (f"{_PREFIX}service", "app.kubernetes.io/name")
_SPEC: Final = ("description", "target", "window", "indicator", "alerting", "partial_response_strategy",
                "performanceOverAccuracy", "ruleOutput", "shortRulesLabels", "longRulesLabels",
                "enableDescriptionAsLabel")  # fmt: skip
_ALERTING: Final = ("disabled", "name", "burnrates")


def read_pyrra(part: Part, findings: Findings) -> None:
    """Read the objective of a Pyrra document. Its service is what a label says, else the objective itself."""
    metadata = part.node.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        findings.refuse(None, part, ("metadata",), "expected metadata with a name")
        return
    given = metadata.get("labels")
    labels: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    service = str(next((labels[key] for key in _SERVICE_LABELS if labels.get(key)), metadata["name"]))
    with findings.attempt(service, part, ("spec",)):
        findings.add(service, part, _slo(part, service, findings), ())


def _slo(part: Part, service: str, findings: Findings) -> Slo:
    spec = known(part.node["spec"], _SPEC, ("spec",))
    target = percentage(spec["target"], ("spec", "target"))
    seconds = parse_duration(spec["window"])
    if seconds < DAY:
        raise RefusedError(("spec", "window"), f"{spec['window']!r}: a window is at least 1d")
    metadata = part.node["metadata"]
    labels = {
        key.removeprefix(_PREFIX): value
        for key, value in mapping(metadata.get("labels"), ("metadata", "labels")).items()
        if str(key).startswith(_PREFIX)
    }
    if spec.get("performanceOverAccuracy") is not None:
        findings.ignore(service, part, ("spec", "performanceOverAccuracy"), "slotel's windows are its own")
    alerting = mapping(spec.get("alerting"), ("spec", "alerting"))
    for key, value in alerting.items():
        if key not in _ALERTING and not (key == "absent" and value is True):
            instead = ": SLIMetricAbsent tells that nothing is measured" if "absent" in key else ""
            findings.ignore(service, part, ("spec", "alerting", key), f"no effect{instead}")
    severity = SeverityAlerts(
        flag(alerting.get("disabled"), ("spec", "alerting", "disabled"))
        or not flag(alerting.get("burnrates", True), ("spec", "alerting", "burnrates"))
    )
    indicator = mapping(spec.get("indicator"), ("spec", "indicator"))
    return Slo(
        name=metadata["name"],
        limit=float(1 - target),
        objective=float(target),
        period=Period(seconds),
        description=str(spec.get("description") or "").strip(),
        queries=_queries(indicator, ("spec", "indicator")),
        labels={
            key: value
            for key, value in texts(labels, ("metadata", "labels")).items()
            if key not in RESERVED_LABELS
        },
        alerting=Alerting(str(alerting.get("name") or ""), page=severity, ticket=severity),
    )


def _queries(indicator: Mapping[str, Any], steps: Steps) -> Queries:
    given = [key for key, value in indicator.items() if value is not None]
    if len(given) != 1:
        raise RefusedError(steps, "expected one indicator: ratio, latency, latencyNative or bool_gauge")
    kind, at = given[0], (*steps, given[0])
    reader = _READERS.get(kind)
    if reader is None:
        raise RefusedError(at, f"unknown indicator, known are: {', '.join(_READERS)}")
    bad, total = reader(mapping(indicator[kind], at), at)
    return queries_of(bad, total, at)


def _ratio(part: Mapping[str, Any], at: Steps) -> tuple[Count, Count]:
    known(part, ("errors", "total", "grouping"), at)
    bad = _summed("increase", part, "errors", at)
    return _counted(bad, _summed("increase", part, "total", at), at)


def _latency(part: Mapping[str, Any], at: Steps) -> tuple[Count, Count]:
    known(part, ("success", "total", "grouping"), at)
    good = _summed("increase", part, "success", at)
    total = _summed("increase", part, "total", at)
    return _counted(f"{total} - {good}", total, at)


def _bool_gauge(part: Mapping[str, Any], at: Steps) -> tuple[Count, Count]:
    known(part, ("metric", "grouping", "type"), at)
    whole = {"metric": part, "grouping": part.get("grouping")}
    total = _summed("count_over_time", whole, "metric", at)
    good = _summed("sum_over_time", whole, "metric", at)
    return _counted(f"{total} - {good}", total, at)


def _native(part: Mapping[str, Any], at: Steps) -> tuple[Count, Count]:
    """Count by a native histogram, which Prometheus has since 2.40 (`--enable-feature=native-histograms`)."""
    known(part, ("total", "latency", "grouping"), at)
    seconds = parse_duration(part["latency"])
    grown = _summed("increase", part, "total", at)
    groups = tuple(sorted(map(str, part.get("grouping") or [])))
    bad = f"histogram_count({grown}) * (1 - histogram_fraction(0, {seconds:.15g}, {grown}))"
    return Count(bad, groups), Count(f"histogram_count({grown})", groups)


_READERS: Final = {"ratio": _ratio, "latency": _latency, "bool_gauge": _bool_gauge, "boolGauge": _bool_gauge,
                   "latencyNative": _native}  # fmt: skip


def _summed(function: str, part: Mapping[str, Any], name: str, at: Steps) -> str:
    """Return a query of the named metric over the window, by the part's labels."""
    grouping = part.get("grouping") or []
    if not isinstance(grouping, list):
        raise RefusedError((*at, "grouping"), "expected a list of labels")
    by = f" by ({', '.join(map(str, grouping))})" if grouping else ""
    place = (*at, name, "metric")
    metric = mapping(part[name], (*at, name))["metric"]
    tree = read_query(parse, metric, place)
    if promql.kind_of(tree) != "VectorSelector":
        raise RefusedError(place, "expected the selector of a metric")
    return f"sum{by} ({function}({promql.selector(tree)}[{WINDOW}]))"


def _counted(bad: str, total: str, at: Steps) -> tuple[Count, Count]:
    return read_query(count, bad, at), read_query(count, total, at, is_total=True)
