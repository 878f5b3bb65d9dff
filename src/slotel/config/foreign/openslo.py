"""OpenSLO v1 documents over Prometheus, with their references. Source: the OpenSLO specification, version v1."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from slotel.config.duration import parse_duration, parse_slice_length
from slotel.config.foreign import promql
from slotel.config.foreign.counts import count, ratio
from slotel.config.foreign.findings import (
    Findings,
    Part,
    RefusedError,
    Steps,
    checked_groups,
    flag,
    known,
    mapping,
    queries_of,
    read_query,
    written,
)
from slotel.config.foreign.parsing import parse
from slotel.config.monitoring import LABEL_NAME, RESERVED_LABELS
from slotel.config.ratio import parse_ratio
from slotel.config.slo import DAY, WINDOW, ZERO, Alerting, Period, Queries, Slo, TimeSlices

VERSION: Final = "openslo/v1"
KINDS: Final = (
    "DataSource", "SLO", "SLI", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "Service",
)  # fmt: skip
_CALENDAR: Final = {"1M": Period(30 * DAY, "month"), "1Q": Period(90 * DAY, "quarter")}
_DAYS: Final = re.compile(r"[1-9]\d*[hdw]")
_SPEC: Final = (
    "description", "service", "indicator", "indicatorRef", "timeWindow", "budgetingMethod", "objectives",
    "alertPolicies",
)  # fmt: skip
_OBJECTIVE: Final = (
    "displayName", "op", "value", "target", "targetPercent", "timeSliceTarget", "timeSliceWindow", "indicator",
    "indicatorRef", "compositeWeight",
)  # fmt: skip
_COUNTERS: Final = ("_total", "_count", "_bucket")
"""Endings that the names of counters have, and of nothing else. Source: Prometheus, metric and label naming."""
_BAD_IF: Final = {"lte": ">", "lt": ">=", "gte": "<", "gt": "<="}
"""Comparison that a good value fulfils → the one that a bad value fulfils."""
_INSTANT: Final = TimeSlices(30.0, is_averaged=True)
"""A ratio that is known at instants: one in every evaluation of the rules."""


def read_openslo(parts: Sequence[Part], findings: Findings) -> None:
    """Read every SLO of the documents; what they refer to may stand in any of them."""
    for part in parts:
        kind = part.node.get("kind")
        if kind not in KINDS:
            findings.refuse(None, part, ("kind",), f"unknown kind {kind!r}, known are: {', '.join(KINDS)}")
        elif kind == "SLO":
            service = str(mapping_or_empty(part.node.get("spec")).get("service") or "")
            with findings.attempt(service or None, part, ()):
                _Reader(part, parts, findings, service).read()


def mapping_or_empty(part: Any) -> Mapping[str, Any]:
    """Return a mapping; an empty one for anything else."""
    return part if isinstance(part, Mapping) else {}


class _Reader:
    """Reads one SLO."""

    def __init__(self, part: Part, parts: Sequence[Part], findings: Findings, service: str) -> None:
        self._part, self._parts, self._findings = part, parts, findings
        self._service = service

    def read(self) -> None:
        """Read an objective for each of the document's `objectives`."""
        spec = self._part.node.get("spec")
        if not isinstance(spec, Mapping) or not isinstance(self._part.node.get("metadata"), Mapping):
            raise RefusedError((), "an SLO has a mapping metadata and a mapping spec")
        if not self._service:
            raise RefusedError(("spec",), "expected the name of its service")
        known(spec, _SPEC, ("spec",))
        self._check_policies(spec.get("alertPolicies") or [])
        objectives = spec.get("objectives")
        if not isinstance(objectives, list) or not objectives:
            raise RefusedError(("spec", "objectives"), "expected a list of objectives")
        for index, item in enumerate(objectives):
            steps: Steps = ("spec", "objectives", index)
            with self._findings.attempt(self._service, self._part, steps):
                slo = self._slo(spec, known(item, _OBJECTIVE, steps), steps)
                self._findings.add(self._service, self._part, slo, steps)

    def _slo(self, spec: Mapping[str, Any], item: Mapping[str, Any], steps: Steps) -> Slo:
        for key in ("indicator", "indicatorRef", "compositeWeight"):
            if key in item:
                raise RefusedError((*steps, key), "composite SLOs: write each as an SLO of its own")
        metadata = self._part.node["metadata"]
        name = written(metadata["name"])
        if len(spec["objectives"]) > 1:
            shown = written(item.get("displayName", steps[-1]))
            name = f"{name}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', shown).strip('-')}"
        queries, slices = self._queries(spec, item, steps)
        period, target = _period(spec), _target(item, steps)
        return Slo(
            name=name,
            limit=float(1 - target),
            objective=float(target),
            description=str(spec.get("description") or "").strip(),
            queries=queries,
            period=period,
            slices=slices,
            labels=_labels(metadata.get("labels")),
            alerting=Alerting(),
        )

    def _queries(
        self, spec: Mapping[str, Any], item: Mapping[str, Any], steps: Steps
    ) -> tuple[Queries, TimeSlices | None]:
        indicator, at = self._indicator(spec)
        slices = _slices(spec, item, steps)
        if "thresholdMetric" in indicator:
            place: Steps = (*at, "thresholdMetric")
            query = self._query(indicator["thresholdMetric"], place)
            return _threshold(query, item, steps, place), slices or _INSTANT
        if "op" in item or "value" in item:
            self._ignore(steps, "op and value are of a thresholdMetric: without effect")
        metric, at = mapping(indicator.get("ratioMetric"), (*at, "ratioMetric")), (*at, "ratioMetric")
        if not metric:
            raise RefusedError(at, "expected ratioMetric or thresholdMetric")
        if "raw" in metric:
            return self._raw(metric, at), slices or _INSTANT
        return self._ratio(metric, at), slices

    def _raw(self, metric: Mapping[str, Any], at: Steps) -> Queries:
        place = (*at, "raw")
        query = self._query(metric["raw"], place)
        kind = metric.get("rawType")
        if kind not in {"success", "failure"}:
            raise RefusedError((*at, "rawType"), "a raw ratio is of 'success' or of 'failure'")
        found = read_query(ratio, query if kind == "failure" else f"1 - ({query})", place)
        text = found.text.replace(f"[{WINDOW}]", "[5m]")
        return Queries(ratio=text, groups=checked_groups(found.groups, place))

    def _ratio(self, metric: Mapping[str, Any], at: Steps) -> Queries:
        is_counter = flag(metric.get("counter"), (*at, "counter"))
        total = self._counted(metric["total"], (*at, "total"), is_counter, is_total=True)
        if "bad" in metric:
            return queries_of(self._counted(metric["bad"], (*at, "bad"), is_counter), total, at)
        good = self._counted(metric["good"], (*at, "good"), is_counter, is_good=True)
        found = queries_of(good, total, at)
        added = dict.fromkeys(term.selector.text for term in good.terms if term.factor > 0)
        operands = (" or ".join(added),) if added else ()  # one of them is enough
        return found._replace(bad=f"{total.text} - ({good.text} or {ZERO})", operands=operands)

    def _counted(self, metric: Any, place: Steps, is_counter: bool, **how: bool) -> Any:
        query = self._query(metric, place)
        tree = read_query(parse, query, place)
        if not promql.has_window(tree):
            query, why = _over_window(tree, query, is_counter)
            self._ignore(place, f"counted over the windows of the rules{why}: {query}")
        return read_query(count, query, place, **how)

    def _ignore(self, steps: Steps, reason: str) -> None:
        self._findings.ignore(self._service, self._part, steps, reason)

    def _query(self, metric: Any, place: Steps) -> str:
        source = mapping(mapping(metric, place).get("metricSource"), (*place, "metricSource"))
        at: Steps = (*place, "metricSource")
        kind = source.get("type")
        if kind is None and source.get("metricSourceRef") is not None:
            other = self._named("DataSource", source["metricSourceRef"], (*at, "metricSourceRef"))
            kind = mapping_or_empty(other.node.get("spec")).get("type")
        if str(kind or "Prometheus").lower() not in {"prometheus", "promql"}:
            raise RefusedError((*at, "type"), f"{kind} is not Prometheus")
        spec = mapping(source.get("spec"), (*at, "spec"))
        query = spec.get("query", spec.get("promql"))
        if not isinstance(query, str):
            raise RefusedError((*at, "spec"), "expected query, a text")
        return query

    def _indicator(self, spec: Mapping[str, Any]) -> tuple[Mapping[str, Any], Steps]:
        at: Steps = ("spec", "indicator", "spec")
        if "indicator" in spec:
            return mapping(mapping(spec["indicator"], at[:2]).get("spec"), at), at
        if spec.get("indicatorRef") is None:
            raise RefusedError(at[:1], "expected indicator or indicatorRef")
        other = self._named("SLI", spec.get("indicatorRef"), ("spec", "indicatorRef"))
        return mapping(other.node.get("spec"), ("spec",)), ("spec", "indicatorRef")

    def _check_policies(self, policies: Any) -> None:
        """Check what the SLO refers to, and say of each condition that slotel's own alerts stand in its place."""
        if not policies:
            return
        if not isinstance(policies, list):
            raise RefusedError(("spec", "alertPolicies"), "expected a list")
        for index, policy in enumerate(policies):
            at: Steps = ("spec", "alertPolicies", index)
            reference = policy if isinstance(policy, str) else mapping(policy, at).get("alertPolicyRef")
            found = self._named("AlertPolicy", reference, at).node if reference is not None else policy
            for condition in mapping_or_empty(mapping_or_empty(found).get("spec")).get("conditions") or []:
                named = mapping_or_empty(condition).get("conditionRef")
                read = self._named("AlertCondition", named, at).node if named is not None else condition
                self._ignore(at, _not_compiled(read))

    def _named(self, kind: str, name: Any, at: Steps) -> Part:
        for part in self._parts:
            metadata = mapping_or_empty(part.node.get("metadata"))
            if part.node.get("kind") == kind and metadata.get("name") == name:
                return part
        raise RefusedError(at, f"there is no {kind} {name!r} in these files")


def _not_compiled(condition: Any) -> str:
    """Return what an alert condition asks for, and what is written instead."""
    spec = mapping_or_empty(mapping_or_empty(condition).get("spec"))
    asked = mapping_or_empty(spec.get("condition"))
    parts = [str(asked.get("kind", "condition")), str(asked.get("op", "")), str(asked.get("threshold", ""))]
    over = f" over {asked['lookbackWindow']}" if "lookbackWindow" in asked else ""
    severity = f", severity {spec['severity']}" if "severity" in spec else ""
    return (
        f"the alert condition ({' '.join(filter(None, parts))}{over}{severity}) is not compiled: the objective has "
        "slotel's burn-rate alerts, with severity page and ticket; route them in Alertmanager"
    )


def _labels(part: Any) -> dict[str, str]:
    """Return the labels that can be Prometheus'; OpenSLO's are free, and may be lists."""
    return {
        str(key): written(value)
        for key, value in mapping_or_empty(part).items()
        if LABEL_NAME.fullmatch(str(key))
        and key not in RESERVED_LABELS
        and isinstance(value, (str, int, float))
    }


def _over_window(tree: Any, query: str, is_counter: bool) -> tuple[str, str]:
    """Return a query of numbers at an instant as one of numbers in a window, and why it is taken as one of counters."""
    nodes = list(promql.walk(tree))
    if any(promql.kind_of(each) == "MatrixSelector" for each in nodes):
        return promql.render(tree, over_window=True), ""
    metrics = [promql.metric(each) for each in nodes if promql.kind_of(each) == "VectorSelector"]
    by_name = not is_counter and metrics and all(each.endswith(_COUNTERS) for each in metrics)
    if is_counter or by_name:
        why = ", for its name is a counter's (without `counter: true`)" if by_name else ""
        return promql.render(tree, over_window=True, of_counters=True), why
    if promql.labels_of(tree) is None:
        query = f"sum ({query})"
    return f"sum_over_time(({query})[{WINDOW}:30s])", ""


def _threshold(query: str, item: Mapping[str, Any], steps: Steps, place: Steps) -> Queries:
    if item.get("op") not in _BAD_IF:
        raise RefusedError((*steps, "op"), f"expected one of {', '.join(_BAD_IF)}")
    value = item.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RefusedError((*steps, "value"), "expected the number to compare with")
    tree = read_query(parse, query, place)
    groups = read_query(lambda _: promql.labels_of(tree), query, place)
    compared = f"({promql.render(tree)}) {_BAD_IF[item['op']]} bool {float(value):.15g}"
    compared = compared.replace(f"[{WINDOW}]", "[5m]")
    if groups is None:
        return Queries(ratio=f"avg ({compared})")
    return Queries(ratio=compared, groups=checked_groups(tuple(sorted(groups)), place))


def _target(item: Mapping[str, Any], steps: Steps) -> Fraction:
    key = "target" if "target" in item else "targetPercent"
    if key not in item:
        raise RefusedError(steps, "expected target or targetPercent")
    target = parse_ratio(item[key]) / (1 if key == "target" else 100)
    if not 0 < target < 1:
        raise RefusedError(
            (*steps, key), "a target is above 0 and below 1: some events may fail, but not all"
        )
    return target


def _slices(spec: Mapping[str, Any], item: Mapping[str, Any], steps: Steps) -> TimeSlices | None:
    method = spec.get("budgetingMethod", "Occurrences")
    if method == "Occurrences":
        return None
    if method not in {"Timeslices", "RatioTimeslices"}:
        raise RefusedError(("spec", "budgetingMethod"), "expected Occurrences, Timeslices or RatioTimeslices")
    window = item["timeSliceWindow"]
    written = f"{window}m" if re.fullmatch(r"\d+", str(window)) else window  # a number is minutes
    try:
        seconds = parse_slice_length(written)
    except ValueError as error:
        raise RefusedError((*steps, "timeSliceWindow"), str(error)) from error
    if method == "RatioTimeslices":
        return TimeSlices(seconds, is_averaged=True)
    target = parse_ratio(item["timeSliceTarget"])
    if not 0 < target <= 1:
        raise RefusedError((*steps, "timeSliceTarget"), "a slice's target lies above 0, and is at most 1")
    return TimeSlices(seconds, float(1 - target))


def _period(spec: Mapping[str, Any]) -> Period:
    windows = spec.get("timeWindow") or [{"duration": "30d", "isRolling": True}]
    if not isinstance(windows, list):
        raise RefusedError(("spec", "timeWindow"), "expected a list with one window")
    place = ("spec", "timeWindow", 0)
    window = mapping(windows[0], place)
    if "duration" not in window:
        raise RefusedError(place, "duration is missing: write for example 30d, with isRolling: true")
    duration = str(window["duration"])
    if not window.get("isRolling", False):
        if duration not in _CALENDAR:
            raise RefusedError(place, "a calendar window is 1M or 1Q; others are rolling: isRolling: true")
        zone = (window.get("calendar") or {}).get("timeZone", "UTC")
        if zone not in {"UTC", "Etc/UTC", "GMT"}:
            raise RefusedError((*place, "calendar"), f"PromQL's months are UTC's, not those of {zone}")
        return _CALENDAR[duration]
    # OpenSLO's 1M is a month, its 1m a minute
    if not _DAYS.fullmatch(duration) or parse_duration(duration) < DAY:
        raise RefusedError(
            (*place, "duration"), f"{duration!r}: a rolling window is given in days or weeks, as 28d"
        )
    return Period(parse_duration(duration))
