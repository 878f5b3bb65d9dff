"""Parts of promtool's tests: made-up events as input series of the chosen source, and what is expected at a minute.

A minute is counted from the history's begin. Source: Prometheus' documentation, "Unit testing for rules".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from slotel.compile.conventions import selected
from slotel.compile.prometheus.example_series import ExampleSeries, example_series
from slotel.compile.promql import equal, number, series
from slotel.compile.sources import HTTP_DURATION
from slotel.config import names
from slotel.config.duration import format_duration
from slotel.config.service import Service
from slotel.config.slo import Slo
from slotel.config.tags import label_name

STEP: Final = 30
"""Seconds between two values of an input series, and between two evaluations."""

Test = dict[str, Any]
"""A part of a test file: a whole test, or one of its expectations (`promql_expr_test`)."""
_TELLING: Final = ("sloth_service", "sloth_slo", "sloth_severity", "long", "short", "reason", "operand")
"""Labels that tell alerts from one another."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a history in which every step is alike.

    Args:
        steps: its length, each of STEP seconds.
        good, bad: events in a step; a fraction is one event in several steps.
        restart: every counter begins again at 0 with it.
    """

    steps: int
    good: float = 0.0
    bad: float = 0.0
    restart: bool = False


def input_series(
    service: Service, slos: Sequence[Slo], phases: Sequence[Phase], *, errors_exist: bool = True
) -> list[Test]:
    """Return the input series of objectives that saw these phases, as `{"series": selector, "values": notation}`.

    Args:
        errors_exist: False leaves the series of bad events out, as before the first error.

    Raises:
        UnsupportedQueryError: one is counted by queries, and no series are known that they count.
    """
    good, bad = _values(phases, "good"), _values(phases, "bad")
    none_at_all = ["0", f"0x{sum(phase.steps for phase in phases)}"]
    made: list[Test] = []
    for slo in slos:
        if slo.queries is not None:
            made += _foreign(example_series(slo.queries), phases, errors_exist=errors_exist)
            continue
        made += [
            {"series": name, "values": " ".join(values)}
            for name, values in dict(_series(service, slo, good, bad, none_at_all)).items()
            if errors_exist or values is not bad
        ]
    return made


def traffic(service: Service, slos: Sequence[Slo], steps: int) -> list[Test]:
    """Return span metrics of a service that does in each step 100 things which no objective selects."""
    made = []
    for kind in dict.fromkeys(kind for slo in slos for kind in slo.select.kinds):
        labels = {names.LABEL_SPAN_NAME: "elsewhere", names.LABEL_SPAN_KIND: f"SPAN_KIND_{kind}"}
        name = series(f"{names.SPAN_CALLS}_total", equal({**_origin(service), **labels}))
        made.append({"series": name, "values": f"0+100x{steps}"})
    return made


def _foreign(found: ExampleSeries, phases: Sequence[Phase], *, errors_exist: bool) -> list[Test]:
    """Let every series go up with the events that it counts; some count both."""
    made = []
    for name in dict.fromkeys((*found.good, *found.bad)):
        is_good, is_bad = name in found.good, name in found.bad
        if errors_exist or is_good:
            counted = [replace(each, good=each.good * is_good + each.bad * is_bad) for each in phases]
            made.append({"series": name, "values": " ".join(_values(counted, "good"))})
    return made


def _values(phases: Sequence[Phase], what: str) -> list[str]:
    """Return a counter's values in promtool's notation `start+increment×repetitions`, one item a phase."""
    values, current = ["0"], 0.0
    for phase in phases:
        added = float(getattr(phase, what))
        if phase.restart:
            current = -added
        values.append(f"{number(current + added)}+{number(added)}x{phase.steps - 1}")
        current += added * phase.steps
    return values


def _series(
    service: Service, slo: Slo, good: list[str], bad: list[str], none_at_all: list[str]
) -> Iterator[tuple[str, list[str]]]:
    if service.monitoring.source == "slo_events":
        base = {**_origin(service), names.LABEL_SLO: slo.name}
        outcomes = {names.GOOD: good, names.BAD: bad, names.EXCLUDED: none_at_all}
        for outcome, values in outcomes.items():
            yield series(f"{names.SLO_EVENTS}_total", equal({**base, names.LABEL_OUTCOME: outcome})), values
    elif slo.latency is None:
        calls = f"{HTTP_DURATION}_count" if _is_http(service) else f"{names.SPAN_CALLS}_total"
        yield series(calls, equal(_event(service, slo, bad=False))), good
        yield series(calls, equal(_event(service, slo, bad=True))), bad
    else:
        yield from _histograms(service, slo, good, bad, none_at_all)


def _histograms(
    service: Service, slo: Slo, good: list[str], bad: list[str], none_at_all: list[str]
) -> Iterator[tuple[str, list[str]]]:
    """Fast events of one method, slow ones of another; both without an error."""
    duration = HTTP_DURATION if _is_http(service) else names.SPAN_DURATION
    count = f"{duration}_count" if _is_http(service) else f"{names.SPAN_CALLS}_total"
    edge = number(slo.latency or 0)
    edge = edge if "." in edge else f"{edge}.0"
    for which, values, within in (("GET", good, good), ("POST", bad, none_at_all)):
        labels = {**_event(service, slo, bad=False), "http_request_method": which}
        yield series(count, equal(labels)), values
        yield series(f"{duration}_bucket", equal({**labels, "le": edge})), within


def _event(service: Service, slo: Slo, *, bad: bool) -> dict[str, str]:
    """Return labels that the objective selects, of a good or a bad event."""
    labels = {label_name(key): values[0].replace("*", "x") for key, values in slo.select.include.items()}
    rules = slo.bad
    labels[names.LABEL_HTTP_STATUS] = "500" if bad and rules.http_5xx else "200"
    if _is_http(service):
        labels = {"job": service.name or "", **service.monitoring.match, **labels}
        if bad and rules.status_error:
            labels["error_type"] = "ValueError"
    else:
        status = "STATUS_CODE_ERROR" if bad and rules.status_error else "STATUS_CODE_UNSET"
        kind = {names.LABEL_SPAN_KIND: f"SPAN_KIND_{slo.select.kinds[0]}", names.LABEL_STATUS: status}
        labels = {**_origin(service), **kind, **labels}
    if bad:
        labels |= {label_name(key): values[0].replace("*", "x") for key, values in rules.attributes.items()}
    return labels


def _origin(service: Service) -> Mapping[str, str]:
    return {names.LABEL_SERVICE: service.name or "", **service.monitoring.match}


def _is_http(service: Service) -> bool:
    return service.monitoring.source == "http_server"


def history(name: str, inputs: list[Test], expected: list[Test]) -> Test:
    """Return a test of promtool's.

    Args:
        name: shown where it fails.
        inputs: what `input_series` returns.
        expected: what the functions below return.
    """
    return {"name": name, "interval": f"{STEP}s", "input_series": inputs, "promql_expr_test": expected}


def alerts(service: Service, slo: Slo, name: str = "", **labels: str) -> str:
    """Return the selector of an objective's alerts; by name and labels, if they are given."""
    named = {"alertname": name} if name else {}
    return series("ALERTS", equal({**named, **selected(service, slo), **labels}))


def firing(name: str, labels: Mapping[str, str], minute: float) -> Test:
    """Expect the alert with exactly these labels.

    Args:
        name: the alert's.
        labels: those that its rule gives it, with `sloth_service` and `sloth_slo`.
    """
    own = {"alertname": name, "alertstate": "firing"}
    chosen = {**own, **{key: labels[key] for key in _TELLING if key in labels}}
    sample = {"labels": series("ALERTS", equal({**own, **labels})), "value": 1}
    return expect(series("ALERTS", equal(chosen)), minute, [sample])


def total(expr: str, value: float, minute: float) -> Test:
    """Expect the sum of all samples of an expression to be a value."""
    return expect(f"sum({expr})", minute, [{"labels": "{}", "value": value}])


def none(expr: str, minute: float) -> Test:
    """Expect no sample of an expression."""
    return expect(expr, minute, [])


def expect(expr: str, minute: float, samples: list[Test]) -> Test:
    """Expect exactly these samples of an expression, each `{"labels": a series, "value": a number}`."""
    return {
        "expr": expr,
        "eval_time": format_duration(minute * 60) if minute else "0s",
        "exp_samples": samples,
    }
