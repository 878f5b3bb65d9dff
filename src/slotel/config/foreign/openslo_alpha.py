"""OpenSLO v1alpha, which Sloth reads: its SLOs as documents of v1. Source: the specification before version v1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from slotel.config.foreign.findings import Part

VERSION: Final = "openslo/v1alpha"
_UNITS: Final = {"day": "d", "week": "w", "hour": "h", "month": "M", "quarter": "Q"}
_CALENDAR: Final = frozenset("MQ")


def as_v1(part: Part) -> Iterator[Part]:
    """Yield a document of v1 for each objective of an SLO, for each has its own metrics; others as they are."""
    spec = part.node.get("spec")
    objectives = spec.get("objectives") if isinstance(spec, Mapping) else None
    if part.node.get("kind") != "SLO" or not isinstance(spec, Mapping) or not isinstance(objectives, list):
        yield part
        return
    for index, item in enumerate(objectives):
        if not isinstance(item, Mapping):
            continue
        metadata = dict(part.node.get("metadata") or {})
        if len(objectives) > 1:
            metadata["name"] = f"{metadata.get('name')}-{index}"
        kept = {key: spec[key] for key in ("service", "description", "budgetingMethod") if key in spec}
        made = {
            **kept,
            "indicator": {"spec": _indicator(spec, item)},
            "objectives": [{key: value for key, value in item.items() if key != "ratioMetrics"}],
            **_window(spec.get("timeWindows")),
        }
        yield part._replace(node={"kind": "SLO", "metadata": metadata, "spec": made})


def _indicator(spec: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    ratio = item.get("ratioMetrics")
    if isinstance(ratio, Mapping):
        sides = {key: _metric(ratio[key]) for key in ("good", "bad", "total") if key in ratio}
        return {"ratioMetric": {"counter": bool(ratio.get("incremental", False)), **sides}}
    indicator = spec.get("indicator")
    threshold = indicator.get("thresholdMetric") if isinstance(indicator, Mapping) else None
    return {"thresholdMetric": _metric(threshold)} if threshold is not None else {}


def _metric(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {"metricSource": {"type": part.get("source", "prometheus"), "spec": {"query": part.get("query")}}}


def _window(windows: Any) -> dict[str, Any]:
    if not isinstance(windows, list) or not windows or not isinstance(windows[0], Mapping):
        return {}
    unit = _UNITS.get(str(windows[0].get("unit", "Day")).lower(), "")
    rolling = unit not in _CALENDAR
    return {"timeWindow": [{"duration": f"{windows[0].get('count', 30)}{unit}", "isRolling": rolling}]}
