"""Raw error ratios of other people's files: as two numbers of events where they are that, else as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slotel.config.foreign import promql
from slotel.config.foreign.counts import Count, count
from slotel.config.foreign.parsing import parse
from slotel.config.foreign.promql import Labels, UnsupportedQueryError, bare, kind_of, labels_of, number_of


@dataclass(frozen=True, slots=True)
class Ratio:
    """A raw ratio of bad events: as two numbers of events where it is one, else as it is.

    Args:
        bad, total: numbers of events; None where the ratio has none.
        text: the ratio as PromQL.
        groups: labels that its samples have.
        is_windowed: the text has the placeholder WINDOW; else it is a ratio at an instant.
    """

    bad: Count | None
    total: Count | None
    text: str
    groups: Labels = ()
    is_windowed: bool = True
    notes: tuple[str, ...] = ()


def ratio(query: str) -> Ratio:
    """Return a raw error ratio. `1 - good / total` and an average of samples are numbers of events, too.

    Raises:
        UnsupportedQueryError: it is not valid, or its labels cannot be told.
    """
    tree = parse(query)
    pair = _divided(tree)
    text, groups = promql.render(tree), labels_of(tree)
    notes: tuple[str, ...] = ()
    if pair is not None:
        try:
            bad, total = count(pair[0]), count(pair[1], is_total=True)
        except UnsupportedQueryError:
            pass
        else:
            if bad.groups == total.groups:
                return Ratio(bad, total, text, bad.groups, notes=(*bad.notes, *total.notes))
    if groups is None:
        text, groups = f"avg ({text})", ()
        notes = ("the query has no aggregation: its series are averaged",)
    return Ratio(None, None, text, tuple(sorted(groups)), promql.has_window(tree), notes)


def _divided(node: Any) -> tuple[str, str] | None:
    """Return bad and all events of a ratio as queries; None if it is no ratio of two."""
    node = bare(node)
    kind = kind_of(node)
    if kind == "BinaryExpr":
        return _divided_pair(node)
    if kind == "Call" and node.func.name in {"clamp_min", "clamp_max", "clamp"}:
        return _divided(node.args[0])
    if kind == "AggregateExpr" and str(node.op) == "avg":
        inner = bare(node.expr)
        if kind_of(inner) == "Call" and inner.func.name == "avg_over_time":
            good, total = _samples(inner)
            by = promql.modifier(node)
            return f"sum{by} ({good})", f"sum{by} ({total})"
        return None
    if kind == "Call" and node.func.name == "avg_over_time":
        good, total = _samples(node)
        return (f"sum ({good})", f"sum ({total})") if labels_of(node) is None else (good, total)
    return None


def _summed(node: Any) -> str:
    text = promql.render(node)
    return f"sum ({text})" if labels_of(node) is None else text


def _samples(node: Any) -> tuple[str, str]:
    """Return the sum and the number of the samples that an average is of."""
    return promql.render(node, {"avg_over_time": "sum_over_time"}), promql.render(
        node, {"avg_over_time": "count_over_time"}
    )


def _divided_pair(node: Any) -> tuple[str, str] | None:
    operator = str(node.op)
    if operator == "or" and number_of(node.rhs) is not None:
        return _divided(node.lhs)
    if operator == "/" and number_of(node.rhs) is None:
        return _summed(node.lhs), _summed(node.rhs)
    if operator == "-" and number_of(node.lhs) == 1:
        inner = _divided(node.rhs)
        return None if inner is None else (f"({inner[1]}) - ({inner[0]})", inner[1])
    return None
