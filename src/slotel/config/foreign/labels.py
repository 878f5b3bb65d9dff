"""Finds the labels of a query's samples: those that it aggregates by, or those of its series."""

from __future__ import annotations

from typing import Any

from slotel.config.foreign import promql
from slotel.config.foreign.promql import UnsupportedQueryError, bare, kind_of, number_of

Labels = tuple[str, ...]


def labels_of(node: Any) -> Labels | None:
    """Return the labels that the samples of a tree have; None if they have those of their series.

    Raises:
        UnsupportedQueryError: it cannot be told.
    """
    node = bare(node)
    kind = kind_of(node)
    if kind == "AggregateExpr":
        return _labels_of_aggregation(node)
    if kind == "Call":
        return _labels_of_call(node)
    if kind == "BinaryExpr":
        return _labels_of_pair(node)
    if kind in {"UnaryExpr", "SubqueryExpr"}:
        return labels_of(node.expr)
    return () if kind in {"NumberLiteral", "StringLiteral"} else None


def _labels_of_aggregation(node: Any) -> Labels | None:
    if str(node.op) in {"topk", "bottomk", "limitk", "limit_ratio"}:
        return labels_of(node.expr)
    if node.modifier is None:
        return ()
    if "Without" in str(node.modifier.type):
        raise UnsupportedQueryError(
            f"'without ({', '.join(node.modifier.labels)})' does not say which labels are left: write 'by (…)'"
        )
    return tuple(dict.fromkeys(node.modifier.labels))


def _labels_of_call(node: Any) -> Labels | None:
    name = node.func.name
    if name in {"vector", "scalar", "time", "pi"}:
        return ()
    if name.startswith("absent"):
        raise UnsupportedQueryError("absent(…) is not a number of events")
    vectors = [each for each in node.args if kind_of(bare(each)) not in {"NumberLiteral", "StringLiteral"}]
    found = labels_of(vectors[0]) if vectors else ()
    if found is not None and name in {"label_replace", "label_join"}:
        found = tuple(dict.fromkeys((*found, node.args[1].val)))
    if found is not None and name == "histogram_quantile":
        found = tuple(label for label in found if label != "le")
    return found


def _labels_of_pair(node: Any) -> Labels | None:
    left, modifier = labels_of(node.lhs), node.modifier
    if number_of(node.lhs) is not None:
        return labels_of(node.rhs)
    if number_of(node.rhs) is not None or str(node.op) in {"and", "unless", "or"}:
        return left
    if modifier is None or modifier.matching is None:
        return left
    side = promql.cardinality(modifier)
    if side:
        found = left if side == "group_left" else labels_of(node.rhs)
        return None if found is None else tuple(dict.fromkeys((*found, *(modifier.group_labels or ()))))
    if promql.is_ignoring(modifier):
        ignored = set(modifier.matching.labels)
        return None if left is None else tuple(label for label in left if label not in ignored)
    return tuple(modifier.matching.labels)
