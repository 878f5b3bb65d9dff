"""Verifies what the generated rules need of a Prometheus: rules loaded and healthy, series, edges, retention."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from slotel.cli.prometheus.api import PrometheusApi, PrometheusError
from slotel.compile import conventions as at
from slotel.compile.prometheus.rules import groups
from slotel.compile.promql import Group, equal
from slotel.compile.sources import Counts, counts
from slotel.config.duration import format_duration, parse_duration
from slotel.config.service import Service
from slotel.config.slo import DAY, Slo
from slotel.runtime.finding import Finding

_finding: Final = partial(Finding, "prometheus")
_DEFAULT_RETENTION: Final = 15 * DAY
"""Source: Prometheus' documentation, `storage.tsdb.retention.time`."""
_PLACES: Final = ("cluster", "environment", "namespace")
"""Labels by which scrapes tell services of one name apart."""
_REPLICAS: Final = ("replica", "prometheus_replica", "prometheus")
"""External labels by which a pair of Prometheus, which scrape the same, tell their series apart."""
_SAMPLED: Final = "20m"
_STEP: Final = "30s"
_NAME: Final = re.compile(r"\w+")
_PARTS: Final = re.compile(r"(\w+?)(_seconds)?(_count|_total)?")
"""A metric's name as OTLP writes it, with dots or without; unit and suffix, which not every translation adds."""


def check_prometheus(service: Service, url: str, headers: Sequence[str] = ()) -> Iterator[Finding]:
    """Yield what would keep the rules of a service from working in this Prometheus."""
    try:
        prometheus = PrometheusApi(url, headers)
        prometheus.query("vector(1)")
    except PrometheusError as error:
        yield _finding("fail", f"no answer to a query: {error}", "check the address", "SLO162")
        return
    yield from _rules(service, prometheus)
    for slo in service.slos:
        yield from _series(service, slo, prometheus)
    yield from _flags(service, prometheus)


def _rules(service: Service, prometheus: PrometheusApi) -> Iterator[Finding]:
    try:
        loaded = prometheus.get("rules", {}).get("groups", [])
    except PrometheusError:
        yield _finding("info", "it does not list rules: whether they are loaded cannot be told")
        return
    for group in groups(service):
        found = [each for each in loaded if each.get("name") == group.name]
        yield from _group(group, found, prometheus)
    yield from _beside_sloth(service, loaded)


def _beside_sloth(service: Service, loaded: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield each objective that Sloth's rules are loaded for, too: they select by labels that slotel's series have."""
    labels = [rule.get("labels") or {} for group in loaded for rule in group.get("rules", ())]
    sloths = {(each.get("sloth_service"), each.get("sloth_slo")) for each in labels if "slo" not in each}
    for slo in service.slos:
        if (service.name, slo.name) in sloths:
            text = f"'{slo.name}': Sloth's rules for it are loaded, too: they fail, and write into the period's records"
            fix = "unload Sloth's, or give one of the two another name of the service while you compare"
            yield _finding("fail", text, fix, "SLO164")


def _group(group: Group, found: Sequence[Mapping[str, Any]], prometheus: PrometheusApi) -> Iterator[Finding]:
    fix = "run slotel generate, add prometheus/rules.yaml to rule_files, reload Prometheus"
    if not found:
        yield _finding("fail", f"the rule group '{group.name}' is not loaded", fix, "SLO163")
        return
    if len(found) > 1:
        text = f"the rule group '{group.name}' is loaded {len(found)} times"
        yield _finding("fail", text, "load it from one file", "SLO164")
    loaded: Sequence[Mapping[str, Any]] = found[0].get("rules", [])
    differs = _difference(group, loaded, prometheus)
    if differs:
        text = f"the rule group '{group.name}' is of another configuration: {differs}"
        yield _finding("warn", text, fix, "SLO163")
    failing = [rule for rule in loaded if rule.get("health") == "err"]
    for rule in failing[:3]:
        text = f"rule '{rule.get('name')}' fails: {rule.get('lastError', '')}"
        yield _finding("fail", text, "load each service's rules once", "SLO164")
    interval, taken = float(found[0].get("interval") or 0), float(found[0].get("evaluationTime") or 0)
    if interval > at.PERIOD_INTERVAL:
        text = f"the rule group '{group.name}' is evaluated every {interval:g} s, not {group.interval}"
        yield _finding("warn", text, "evaluate it at least every 2m: load the file as it is", "SLO164")
    if interval and taken > interval:
        text = f"the rule group '{group.name}' takes {taken:.3g} s, longer than its interval"
        yield _finding("warn", text, "give Prometheus more CPU", "SLO164")
    if not differs and not failing:
        yield _finding("ok", f"rule group '{group.name}': {len(group.rules)} rules, none fails")


def _difference(group: Group, loaded: Sequence[Mapping[str, Any]], prometheus: PrometheusApi) -> str:
    """Return in what the loaded rules are not the group's; empty if they are."""
    own = Counter(rule.record or rule.alert for rule in group.rules)
    there = Counter(str(rule.get("name")) for rule in loaded)
    if own != there:
        return f"{sum((own - there).values())} rules missing, {sum((there - own).values())} others"
    for rule, other in zip(group.rules, loaded, strict=True):
        try:
            expr = str(prometheus.get("format_query", {"query": rule.expr}))
        except PrometheusError:
            return ""  # it writes no query as it writes those of rules: they cannot be compared
        if _spaceless(expr) != _spaceless(str(other.get("query"))) or rule.labels != other.get("labels", {}):
            return f"rule '{rule.record or rule.alert}' has another expression or other labels"
    return ""


def _spaceless(expr: str) -> str:
    return "".join(expr.split())


def _series(service: Service, slo: Slo, prometheus: PrometheusApi) -> Iterator[Finding]:
    found = counts(service, slo)
    try:
        present = prometheus.query(f"count({found.present})")
    except PrometheusError as error:
        yield _finding("fail", f"'{slo.name}': {error}", "see the query", "SLO165")
        return
    if not present:
        text = f"'{slo.name}': no series {found.present}"
        fix = "check the scrape target and what the objective selects"
        other = _translated(found.present, prometheus)
        unlabelled = _unlabelled(service, slo, prometheus)
        if unlabelled:
            text += f", but there are such series without {unlabelled}"
            fix = (
                "set what monitoring.match names in the scrape job (static_configs.labels, relabel_configs): "
                "external_labels are added to alerts, remote write and federation, and no rule sees them"
            )
        elif other:
            text += f", but there is {other}: names of OTLP are translated otherwise"
            fix = "set otlp: {translation_strategy: UnderscoreEscapingWithSuffixes} in Prometheus' configuration"
        yield _finding("warn", text, fix, "SLO165")
        return
    missing = [operand for operand in found.operands if not prometheus.query(f"count({operand})")]
    for operand in missing:
        edges = _edges(operand, prometheus)
        fix = f"take one of the edges {edges}" if edges else "check the query"
        yield _finding("fail", f"'{slo.name}': no series {operand}", fix, "SLO166")
    if not missing:
        yield _finding("ok", f"'{slo.name}': its series are there")
    yield from _several(service, slo, found, prometheus)
    yield from _twice(service, slo, found, prometheus)
    yield from _scrapes(service, slo, found, prometheus)


def _unlabelled(service: Service, slo: Slo, prometheus: PrometheusApi) -> str:
    """Return the matchers of `monitoring.match` that no series of an objective has; empty if none has another's."""
    match = service.monitoring.match
    if slo.queries is not None or not match:
        return ""
    without = replace(service, monitoring=service.monitoring._replace(match={}))
    series = counts(without, slo).present
    if not prometheus.query(f"count({series})"):
        return ""
    found = (each for each in equal(match) if not prometheus.query(f"count({series[:-1]},{each}}})"))
    return ", ".join(found)


def _several(service: Service, slo: Slo, found: Counts, prometheus: PrometheusApi) -> Iterator[Finding]:
    """Yield if services of one name in several places count as one: each place is a label that `match` can name."""
    if slo.queries is not None:
        return
    places = prometheus.query(f"group by ({', '.join(_PLACES)}) ({found.present})")
    for label in _PLACES:
        values = sorted({str(each["metric"].get(label, "")) for each in places} - {""})
        if len(values) > 1 and label not in service.monitoring.match:
            text = f"'{slo.name}': events of {len(values)} values of {label} ({', '.join(values[:5])}) share one budget"
            fix = f"if these are several services: monitoring: {{match: {{{label}: {values[0]}}}}}, one file for each"
            yield _finding("info", text, fix)


def _twice(service: Service, slo: Slo, found: Counts, prometheus: PrometheusApi) -> Iterator[Finding]:
    """Yield if events count more than once, and if the records of other rules came into this store."""
    for label in _REPLICAS if slo.queries is None else ():
        times = _value(prometheus, f'max(count without ({label}) ({found.present[:-1]},{label}!=""}}))')
        if times > 1:
            text = (
                f"'{slo.name}': each event counts {times:g} times: its series are there once for each {label}"
            )
            fix = "federate or write them from one replica, or deduplicate them (Thanos, the HA tracker of Mimir)"
            yield _finding("warn", text, fix, "SLO161")
    records = _value(prometheus, f"count({at.recorded(at.BUDGET, service, slo)})")
    if records > 1:
        text = f"'{slo.name}': {records:g} series of {at.BUDGET}: records of the same rules elsewhere are in this store"
        fix = "where the rules are evaluated, take no series slo:… of another Prometheus, by federation or remote write"
        yield _finding("fail", text, fix, "SLO161")


def _translated(selector: str, prometheus: PrometheusApi) -> str:
    """Return the metric as another `translation_strategy` of OTLP's receiver spells it; empty if it is not there.

    If a label has a dot, such as `service.name`, the text names the label, too.
    """
    name, brace, _ = selector.partition("{")
    if not brace or not _NAME.fullmatch(name):
        return ""
    base, unit, end = _PARTS.fullmatch(name).groups("")  # type: ignore[union-attr]  # it matches every name
    pattern = base.replace("_", "[._]") + f"({unit})?" + (end if end == "_count" else f"({end})?")
    for each in prometheus.query(f'topk by (__name__) (1, {{__name__=~"{pattern}"}})'):
        found = str(each["metric"].get("__name__", ""))
        dotted = [label for label in each["metric"] if "." in label]
        if found != name or dotted:
            return f"{found} with the label {dotted[0]}" if dotted else found
    return ""


def _edges(operand: str, prometheus: PrometheusApi) -> str:
    metric = operand.partition("{")[0]
    if not metric.endswith("_bucket"):
        return ""
    edges = (str(each["metric"].get("le", "")) for each in prometheus.query(f"group by (le) ({metric})"))
    return ", ".join(sorted({*edges} - {"", "+Inf"}, key=float)[:20])


def _scrapes(service: Service, slo: Slo, found: Counts, prometheus: PrometheusApi) -> Iterator[Finding]:
    """Yield if the shortest window holds fewer than four scrapes; of a query it cannot be told."""
    if slo.queries is not None:
        return
    times = f"over_time(timestamp({found.present})[{_SAMPLED}:{_STEP}])"
    lasted = _value(prometheus, f"max(max_{times} - min_{times})")
    samples = _value(prometheus, f"max(count_over_time({found.present}[{_SAMPLED}]))")
    if samples < 2 or lasted < at.BASE:  # noqa: PLR2004 a single one has no interval
        return
    every = lasted / (samples - 1)
    if slo.slices is not None and every * 2 > slo.slices.seconds * 1.1:
        text = f"'{slo.name}': scraped every {format_duration(round(every))} or so: a time slice of "
        text += f"{format_duration(slo.slices.seconds)} does not hold two scrapes, so nothing is measured"
        yield _finding("fail", text, "make time_slices.length longer, or scrape more often", "SLO169")
    if every * at.SCRAPES > at.base(service) * 1.1:
        written = format_duration(round(every))
        shortest = format_duration(at.base(service))
        text = f"'{slo.name}': scraped every {written} or so, the shortest window is {shortest}"
        yield _finding("warn", text, f"set monitoring.scrape_interval: {written}", "SLO169")


def _value(prometheus: PrometheusApi, query: str) -> float:
    """Return the one value of a query; 0 where it has none."""
    found = prometheus.query(query)
    return float(found[0]["value"][1]) if found else 0.0


def _flags(service: Service, prometheus: PrometheusApi) -> Iterator[Finding]:
    try:
        flags = prometheus.get("status/flags", {})
    except PrometheusError:
        yield _finding("info", "it does not show its flags: check that it keeps a whole period")
        return
    kept = _retention(str(flags.get("storage.tsdb.retention.time", "")))
    needed = max((_period(slo) for slo in service.slos), default=0.0)
    if kept < needed:
        text = f"it keeps {format_duration(kept)}, the longest period is {format_duration(needed)}"
        days = int(needed // DAY) + 5
        yield _finding("warn", text, f"--storage.tsdb.retention.time={days}d", "SLO167")
    else:
        yield _finding("ok", f"it keeps {format_duration(kept)}")
    if "exemplar-storage" not in str(flags.get("enable-feature", "")):
        yield _finding("info", "exemplars are not stored", "--enable-feature=exemplar-storage", "SLO168")


def _retention(flag: str) -> float:
    try:
        return parse_duration(flag.replace("y", "d")) * (365 if flag.endswith("y") else 1)
    except ValueError:
        return _DEFAULT_RETENTION  # `0s`: not set


def _period(slo: Slo) -> float:
    return {"month": 31 * DAY, "quarter": 92 * DAY}.get(slo.period.calendar or "", slo.period.seconds)
