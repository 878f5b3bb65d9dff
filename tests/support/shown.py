"""A dashboard as Grafana would ask for it: variables resolved, macros filled in, each panel's queries run.

Grafana itself is not here: this follows its documented rules for `$variable`, "All" and `$__rate_interval`.
"""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from support.backfilled import Past

STEP = 120
MACROS = {"__rate_interval": "8m", "__interval": "2m", "__range": "1d", "__range_s": "86400"}
"""For a scrape interval of 2 m and the step above: four scrapes, one step, the whole day."""
BOUNDS = re.compile(r"\$\{__(from|to):date:seconds\}")


@dataclass(frozen=True)
class Answer:
    """What a query returned: series as labels and (time, value) pairs."""

    ref: str
    expr: str
    legend: str
    series: list[tuple[dict[str, str], list[tuple[float, float]]]] = field(default_factory=list)

    @property
    def samples(self) -> int:
        return sum(len(values) for _, values in self.series)

    @property
    def unusable(self) -> int:
        return sum(not math.isfinite(value) for _, values in self.series for _, value in values)

    def name(self, labels: dict[str, str]) -> str:
        if self.legend in {"", "__auto"}:
            return json.dumps(labels) if labels else self.expr
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), self.legend)


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def resolve(
    dashboard: dict[str, Any], past: Past, chosen: dict[str, str], quiet: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Each variable's text in a query: the chosen value, else "All", else the first that Prometheus knows.

    Args:
        quiet: variables that may have no value: "All" of nothing matches the empty label.
    """
    values: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        name = variable["name"]
        if variable["type"] == "adhoc":
            continue  # Grafana adds its matchers to every selector; none are chosen
        if variable["type"] == "datasource":
            values[name] = "prometheus"
        elif variable["type"] == "custom":
            values[name] = chosen.get(name, variable["current"]["value"])
        else:
            values[name] = _of_prometheus(variable, past, values, chosen, may_be_empty=name in quiet)
    return values


def _of_prometheus(
    variable: dict[str, Any],
    past: Past,
    values: dict[str, str],
    chosen: dict[str, str],
    *,
    may_be_empty: bool,
) -> str:
    query = interpolate(variable["query"]["query"], values)
    if match := re.fullmatch(r"label_values\((.+), (\w+)\)", query):
        found = past.label_values(match[1], match[2])
    else:
        match = re.fullmatch(r"query_result\((.+)\)", query)
        assert match, query
        lines = [
            json.dumps(one["metric"]).replace('": "', '="').replace(', "', ", ") + f" {one['value'][1]}"
            for one in past.instant(match[1])
        ]
        found = sorted(
            {picked[1] for line in lines if (picked := re.search(variable["regex"].strip("/"), line))}
        )
    if variable["name"] in chosen:
        assert chosen[variable["name"]] in found, (variable["name"], chosen, found)
        return chosen[variable["name"]]
    if not variable.get("includeAll"):
        assert found, f"${variable['name']} has no value: {query}"
        return found[0]
    if variable.get("allValue"):
        return str(variable["allValue"])
    assert found or may_be_empty, f"${variable['name']} has no value: {query}"
    return "(" + "|".join(re.escape(value).replace("\\", "\\\\") for value in found) + ")"


def interpolate(text: str, values: dict[str, str]) -> str:
    known = {**MACROS, **values}

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        assert name in known, f"${name} is no variable of this dashboard: {text}"
        return re.sub(r"[\\^$*+?.()|[\]{}/]", r"\\\g<0>", known[name]) if match[2] else known[name]

    return re.sub(r"\$(?:\{(\w+)(:regex)?\}|(\w+))", value, text)


def ask(panel: dict[str, Any], past: Past, values: dict[str, str]) -> list[Answer]:
    """Run every query of a panel."""
    answers = []
    bounds = {"from": str(past.start), "to": str(past.end)}
    for target in panel.get("targets", ()):
        expr = interpolate(BOUNDS.sub(lambda match: bounds[match[1]], target["expr"]), values)
        if target.get("instant"):
            found = [(one["metric"], [one["value"]]) for one in past.instant(expr)]
        else:
            step = min(STEP, max(1, (past.end - past.start) // 30))
            found = [(one["metric"], one["values"]) for one in past.range(expr, step)]
        series = [(labels, [(float(at), float(value)) for at, value in samples]) for labels, samples in found]
        answers.append(Answer(target["refId"], expr, interpolate(target["legendFormat"], values), series))
    return answers


def faults(panel: dict[str, Any], answers: list[Answer]) -> list[str]:
    """Why a panel is dead: a query without a sample, or with one that is NaN or infinite."""
    found = []
    for answer in answers:
        if not answer.samples:
            found.append(f"{panel['title']} {answer.ref}: no sample: {answer.expr}")
        if answer.unusable:
            found.append(
                f"{panel['title']} {answer.ref}: {answer.unusable} of {answer.samples} are NaN: {answer.expr}"
            )
    return found
