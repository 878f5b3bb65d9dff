"""OpenSLO v1 files: objectives over Prometheus ratio metrics. Source: the OpenSLO specification, version v1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from slotel.config.duration import parse_duration
from slotel.config.foreign import Findings, Refused, each, known, over_window, queries, reading_of
from slotel.config.parsers import parse_slice_length
from slotel.config.ratio import parse_ratio
from slotel.config.service import Reading
from slotel.config.slo import DAY, Period, Queries, Slo, TimeSlices

VERSION: Final = "openslo/v1"
_CALENDAR: Final = {"1M": Period(30 * DAY, "month"), "1Q": Period(90 * DAY, "quarter")}

_DAYS: Final = re.compile(r"[1-9]\d*[dw]")
_SPEC: Final = (
    "description", "service", "indicator", "indicatorRef", "timeWindow", "budgetingMethod", "objectives",
    "alertPolicies",
)  # fmt: skip

Steps = tuple[Any, ...]


def read_openslo(environ: Mapping[str, str], documents: list[Any], source: str) -> Reading:
    """Return the service of an OpenSLO file."""
    findings = Findings(documents, source)
    found: list[Slo] = []
    services: dict[str, None] = {}
    for index, document in enumerate(documents):
        kind = document.get("kind") if isinstance(document, Mapping) else None
        if kind == "SLO":
            if not isinstance(document.get("spec"), Mapping) or not isinstance(
                document.get("metadata"), Mapping
            ):
                findings.refuse((index,), "an SLO has a mapping metadata and a mapping spec")
                continue
            services[str(document["spec"].get("service", ""))] = None
            found += _slos(document, (index,), documents, findings)
        elif kind in ("AlertPolicy", "AlertCondition", "AlertNotificationTarget"):
            findings.ignore((index, "kind"), "alerts are slotel's burn-rate tiers; Alertmanager routes them")
    if len(services) > 1:
        findings.refuse((), f"a file is one service's, this one has {', '.join(services)}")
    return reading_of(environ, next(iter(services), None), found, findings)


def _slos(document: Any, steps: Steps, documents: list[Any], findings: Findings) -> list[Slo]:
    """Return an objective for each of the document's `objectives`."""
    spec, at = document["spec"], (*steps, "spec")
    if spec.get("alertPolicies"):
        findings.ignore((*at, "alertPolicies"), "alerts are slotel's burn-rate tiers")
    objectives = spec.get("objectives")
    many = isinstance(objectives, list) and len(objectives) > 1

    def read(item: Mapping[str, Any], place: Steps) -> Slo:
        known(spec, _SPEC, at)
        name = str(document["metadata"]["name"])
        slo = Slo(
            name=f"{name}-{item.get('displayName', place[-1])}" if many else name,
            limit=0.5,
            objective=0.5,
            description=str(spec.get("description", "")).strip(),
            queries=_queries(spec, at, documents),
            period=_period(spec, at),
        )
        return _with_budget(slo, spec, item, at, place)

    return each(objectives, read, findings, (*at, "objectives"))


def _with_budget(slo: Slo, spec: Mapping[str, Any], item: Mapping[str, Any], at: Steps, place: Steps) -> Slo:
    for key in ("op", "value", "indicator", "indicatorRef", "compositeWeight"):
        if key in item:
            raise Refused((*place, key), "only ratio metrics are read, one indicator for an objective")
    if "target" not in item and "targetPercent" not in item:
        raise Refused(place, "expected target or targetPercent")
    target = parse_ratio(item["target"]) if "target" in item else parse_ratio(item["targetPercent"]) / 100
    if not 0 < target < 1:
        raise Refused((*place, "target"), "a target lies between 0 and 1, without both")
    method = spec.get("budgetingMethod", "Occurrences")
    slices = None
    if method == "Timeslices":
        limit = float(1 - parse_ratio(item["timeSliceTarget"]))
        try:
            slices = TimeSlices(parse_slice_length(item["timeSliceWindow"]), limit)
        except ValueError as error:
            raise Refused((*place, "timeSliceWindow"), str(error)) from error
    elif method != "Occurrences":
        raise Refused(
            (*at, "budgetingMethod"),
            f"{method} averages ratios; Occurrences and Timeslices are read",
        )
    return replace(slo, limit=float(1 - target), objective=float(target), slices=slices)


def _period(spec: Mapping[str, Any], at: Steps) -> Period:
    windows = spec.get("timeWindow") or [{"duration": "30d", "isRolling": True}]
    window, place = windows[0], (*at, "timeWindow", 0)
    duration = str(window["duration"])
    if duration in _CALENDAR and not window.get("isRolling", False):
        zone = (window.get("calendar") or {}).get("timeZone", "UTC")
        if zone not in {"UTC", "Etc/UTC", "GMT"}:
            raise Refused((*place, "calendar"), f"PromQL's months are UTC's, not those of {zone}")
        return _CALENDAR[duration]
    if not window.get("isRolling", False):
        raise Refused(place, "a calendar window is 1M or 1Q; others are rolling: isRolling: true")
    if not _DAYS.fullmatch(duration):  # OpenSLO's 1M is a month, its 1m a minute
        raise Refused(
            (*place, "duration"), f"{duration!r}: a rolling window is given in days or weeks, as 28d"
        )
    return Period(parse_duration(duration))


def _queries(spec: Mapping[str, Any], at: Steps, documents: list[Any]) -> Queries:
    indicator, place = _indicator(spec, at, documents)
    if "thresholdMetric" in indicator:
        raise Refused(
            (*place, "thresholdMetric"), "a threshold on a metric has no events: give a ratioMetric"
        )
    ratio, place = indicator["ratioMetric"], (*place, "ratioMetric")
    if "raw" in ratio:
        raise Refused((*place, "raw"), "a raw ratio has no counts, so it cannot be weighted by traffic")
    counter = bool(ratio.get("counter", False))
    total = _query(ratio["total"], (*place, "total"), counter)
    if "bad" in ratio:
        return queries(
            _query(ratio["bad"], (*place, "bad"), counter), total, (*place, "bad"), (*place, "total")
        )
    good = queries(
        _query(ratio["good"], (*place, "good"), counter), total, (*place, "good"), (*place, "total")
    )
    return good._replace(bad=f"clamp_min({good.total} - ({good.bad} or 0 * {good.total}), 0)")


def _indicator(spec: Mapping[str, Any], at: Steps, documents: list[Any]) -> tuple[Mapping[str, Any], Steps]:
    if "indicator" in spec:
        return spec["indicator"]["spec"], (*at, "indicator", "spec")
    name = spec.get("indicatorRef")
    for index, document in enumerate(documents):
        if document.get("kind") == "SLI" and document["metadata"]["name"] == name:
            return document["spec"], (index, "spec")
    raise Refused((*at, "indicatorRef"), f"there is no SLI {name!r} in this file")


def _query(metric: Mapping[str, Any], place: Steps, counter: bool) -> str:
    source = metric["metricSource"]
    if str(source.get("type", "Prometheus")).lower() != "prometheus":
        raise Refused((*place, "metricSource", "type"), f"{source['type']} is no Prometheus")
    return over_window(str(source["spec"]["query"]), is_counter=counter)
