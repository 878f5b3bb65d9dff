"""PromQL of other people's files as the tree that `parsing.py` makes: rendered again, its labels told.

A query's window is a template (`[{{.window}}]`); in the tree it is a range of WINDOW_SECONDS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from slotel.config.duration import format_duration
from slotel.config.slo import WINDOW, ZERO

WINDOW_SECONDS: Final = 86_400_000 * 7 + 8_642
"""Placeholder for the window while promql-parser reads a query: a range that no query has."""


Labels = tuple[str, ...]


class UnsupportedQueryError(ValueError):
    """A query is not valid, or beyond what is understood here; the text says why and where."""


def quote(text: str) -> str:
    """Return a PromQL string.

    >>> print(quote("pay"))
    "pay"
    """
    return json.dumps(text, ensure_ascii=False)


def kind_of(node: Any) -> str:
    """Return what a node is, as `Call`: the name of promql-parser's class, or what a made node says."""
    return str(getattr(node, "kind", type(node).__name__))


def bare(node: Any) -> Any:
    """Return what stands in brackets."""
    while kind_of(node) in {"ParenExpr", "OrZero"}:
        node = node.expr
    return node


def walk(node: Any) -> Iterator[Any]:
    """Yield the node and all below it."""
    yield node
    for child in _children(node):
        yield from walk(child)


def _children(node: Any) -> tuple[Any, ...]:
    kind = kind_of(node)
    if kind == "BinaryExpr":
        return node.lhs, node.rhs
    if kind == "Call":
        return tuple(node.args)
    if kind == "AggregateExpr":
        return (node.expr, *([node.param] if node.param is not None else []))
    if kind in {"ParenExpr", "UnaryExpr", "SubqueryExpr"}:
        return (node.expr,)
    return (node.vector_selector,) if kind == "MatrixSelector" else ()


def number_of(node: Any) -> float | None:
    """Return the value of a number, of `-number` and of `vector(number)`; None of anything else."""
    node = bare(node)
    if kind_of(node) == "NumberLiteral":
        return float(node.val)
    if kind_of(node) == "UnaryExpr":
        inner = number_of(node.expr)
        return None if inner is None else -inner
    if kind_of(node) == "Call" and node.func.name == "vector":
        return number_of(node.args[0])
    return None


def has_window(node: Any) -> bool:
    """Return whether the tree asks for the window."""
    return any(is_window(each) for each in walk(node))


def is_window(node: Any) -> bool:
    """Return whether a range, or a subquery, is over the window."""
    return kind_of(node) in {"MatrixSelector", "SubqueryExpr"} and node.range == timedelta(
        seconds=WINDOW_SECONDS
    )


def render(
    node: Any,
    functions: Mapping[str, str] = MappingProxyType({}),
    *,
    over_window: bool = False,
    of_counters: bool = False,
) -> str:
    """Return the query of a tree, with WINDOW where it asks for the window.

    Args:
        functions: names to write instead of others, as `{"rate": "increase"}`.
        over_window: every range of a selector is the window.
        of_counters: selectors without a range are counters: their increase over the window is meant.
    """
    return _Renderer(functions, over_window=over_window, of_counters=of_counters).text(node)


class _Renderer:
    """promql-parser's own rendering does not escape strings."""

    def __init__(self, functions: Mapping[str, str], *, over_window: bool, of_counters: bool) -> None:
        self._functions, self._over_window, self._of_counters = functions, over_window, of_counters

    def text(self, node: Any) -> str:
        """Return a node as PromQL."""
        writer = getattr(self, f"_{kind_of(node)}", None)
        if writer is None:
            raise UnsupportedQueryError(f"a {kind_of(node)} is not understood")
        return str(writer(node))

    def _NumberLiteral(self, node: Any) -> str:  # noqa: N802 named as the node is
        return f"{node.val:.15g}".replace("inf", "Inf").replace("nan", "NaN")

    def _StringLiteral(self, node: Any) -> str:  # noqa: N802
        return quote(node.val)

    def _ParenExpr(self, node: Any) -> str:  # noqa: N802
        return f"({self.text(node.expr)})"

    def _OrZero(self, node: Any) -> str:  # noqa: N802
        others = " or ".join(map(self.text, node.others))
        return f"({self.text(node.expr)} or {f'0 * ({others})' if others else ZERO})"

    def _UnaryExpr(self, node: Any) -> str:  # noqa: N802
        return f"-{self.text(node.expr)}"

    def _Call(self, node: Any) -> str:  # noqa: N802
        name = self._functions.get(node.func.name, node.func.name)
        return f"{name}({', '.join(map(self.text, node.args))})"

    def _AggregateExpr(self, node: Any) -> str:  # noqa: N802
        inner = [*([node.param] if node.param is not None else []), node.expr]
        return f"{node.op}{modifier(node)} ({', '.join(map(self.text, inner))})"

    def _BinaryExpr(self, node: Any) -> str:  # noqa: N802
        operator = str(node.op)
        matched = node.modifier
        if matched is not None:
            operator += " bool" if matched.return_bool else ""
            if matched.matching is not None:
                on = "ignoring" if is_ignoring(matched) else "on"
                operator += f" {on} ({_listed(matched.matching.labels)})"
            side = cardinality(matched)
            if side:
                operator += f" {side} ({_listed(matched.group_labels or [])})"
        return f"{self.text(node.lhs)} {operator} {self.text(node.rhs)}"

    def _VectorSelector(self, node: Any) -> str:  # noqa: N802
        if self._of_counters:
            return f"increase({selector(node)}[{WINDOW}]{_shifted(node)})"
        return selector(node) + _shifted(node)

    def _MatrixSelector(self, node: Any) -> str:  # noqa: N802
        window = WINDOW if self._over_window else _range(node)
        return f"{selector(node.vector_selector)}[{window}]{_shifted(node.vector_selector)}"

    def _SubqueryExpr(self, node: Any) -> str:  # noqa: N802
        step = _duration(node.step.total_seconds()) if node.step is not None else ""
        return f"{self.text(node.expr)}[{_range(node)}:{step}]{_shifted(node)}"


def _range(node: Any) -> str:
    return _duration(node.range.total_seconds())


def _duration(seconds: float) -> str:
    return WINDOW if seconds == WINDOW_SECONDS else format_duration(seconds)


def modifier(node: Any) -> str:
    """Return ` by (…)` or ` without (…)` of an aggregation, or nothing."""
    if node.modifier is None:
        return ""
    by = "without" if "Without" in str(node.modifier.type) else "by"
    return f" {by} ({_listed(node.modifier.labels)})"


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(map(_label, labels))


def is_ignoring(matched: Any) -> bool:
    """Return whether a binary operator's labels are those to ignore."""
    return "Exclude" in str(matched.matching.type)


def cardinality(matched: Any) -> str:
    """Return `group_left`, `group_right` or nothing."""
    name = str(matched.card)
    if name.endswith("ManyToOne"):
        return "group_left"
    return "group_right" if name.endswith("OneToMany") else ""


class Matcher(NamedTuple):
    """One condition on a label: `=`, `!=`, `=~` or `!~`."""

    label: str
    sign: str
    value: str

    def holds(self, value: str) -> bool:
        """Return whether a label value fulfils it; a missing label is ''."""
        if self.sign in {"=", "!="}:
            return (value == self.value) == (self.sign == "=")
        return (re.fullmatch(self.value, value) is not None) == (self.sign == "=~")


def matchers(node: Any) -> tuple[Matcher, ...]:
    """Return a selector's conditions, its metric's name not among them.

    Raises:
        UnsupportedQueryError: alternatives, or a pattern, which Prometheus does not have.
    """
    if node.matchers.or_matchers:
        raise UnsupportedQueryError("Prometheus has no 'or' between the conditions of a selector")
    return tuple(
        _matcher(each.name, _COMPARISON[str(each.op).rpartition(".")[2]], each.value)
        for each in node.matchers.matchers
        if not (node.name is None and each.name == "__name__" and each.value == metric(node))
    )


def _matcher(label: str, sign: str, value: str) -> Matcher:
    """Return a condition; of a whole edge in both spellings: Prometheus 3 writes `le="1"` as `1.0`."""
    if "~" in sign:
        _check_pattern(value)
    whole = _WHOLE.fullmatch(value) if label == "le" and sign == "=" else None
    return Matcher(label, "=~", f"{whole[1]}|{whole[1]}\\.0") if whole else Matcher(label, sign, value)


_ATOM: Final = re.compile(r"\\(?P<escape>.)|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
"""An escape, or a class of characters: nothing in it is an operator."""
_REPEAT: Final = r"(?:[*+?]|\{\d+(?:,\d*)?\})"
_NOT_RE2: Final = re.compile(rf"{_REPEAT}(?:[*+]|\{{\d|\?{_REPEAT})|\(\?(?:[=!>(#<]|P=|[imsU-]*[^imsU:)P-])")
_COUNT: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MOST_REPEATS: Final = 1000


def _check_pattern(pattern: str) -> None:
    """Raise UnsupportedQueryError for a pattern that promql-parser takes and Prometheus (RE2) does not."""
    escapes = {found["escape"] for found in _ATOM.finditer(pattern)}
    bare_ = _ATOM.sub("x", pattern)
    counts = (int(count) for each in _COUNT.finditer(bare_) for count in each.groups() if count)
    if {"u", "U"} & escapes or _NOT_RE2.search(bare_) or any(count > _MOST_REPEATS for count in counts):
        raise UnsupportedQueryError(f"Prometheus (RE2) does not read the pattern {pattern!r}")


def metric(node: Any) -> str:
    """Return the name of a selector's metric; empty if it is not one name."""
    if node.name is not None:
        return str(node.name)
    named = [each for each in node.matchers.matchers if each.name == "__name__"]
    return str(named[0].value) if len(named) == 1 and str(named[0].op).endswith(".Equal") else ""


_COMPARISON: Final = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
_WHOLE: Final = re.compile(r"(\d+)(?:\.0)?")
_CLASSIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def selector(node: Any) -> str:
    """Return a selector as text, without range and offset."""
    name = metric(node)
    conditions = [f"{_label(label)}{sign}{quote(value)}" for label, sign, value in matchers(node)]
    if name and not _CLASSIC.fullmatch(name):
        conditions.insert(0, f"__name__={quote(name)}")
        name = ""
    return f"{name}{{{','.join(conditions)}}}" if conditions else name


def _label(name: str) -> str:
    return name if _CLASSIC.fullmatch(name) else quote(name)


def _shifted(node: Any) -> str:
    if node.at is not None:
        raise UnsupportedQueryError(
            "a query that is fixed at a time ('@') cannot be evaluated again and again"
        )
    if node.offset is None:
        return ""
    seconds = node.offset.total_seconds()
    return f" offset {'-' if seconds < 0 else ''}{_duration(abs(seconds))}"


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
    side = cardinality(modifier)
    if side:
        found = left if side == "group_left" else labels_of(node.rhs)
        return None if found is None else tuple(dict.fromkeys((*found, *(modifier.group_labels or ()))))
    if is_ignoring(modifier):
        ignored = set(modifier.matching.labels)
        return None if left is None else tuple(label for label in left if label not in ignored)
    return tuple(modifier.matching.labels)
