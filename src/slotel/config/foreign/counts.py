"""Finds what the queries of other tools' files count: a number of events in a window, by which labels.

A query is understood if it adds up over time: sums and differences of `rate`, `increase`, `sum_over_time` and
`count_over_time` over the window. Whatever else has no number of events, and is refused with the reason. A raw error
ratio is taken as two numbers of events where it is that, else as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from slotel.config.foreign import promql
from slotel.config.foreign.parsing import RATES, SAMPLES, Term, parse, terms_of
from slotel.config.foreign.promql import Labels, UnsupportedQueryError, bare, kind_of, labels_of, number_of
from slotel.config.slo import WINDOW

_NOT_ADDITIVE: Final = {
    "irate": "irate sees two samples only: write rate",
    "idelta": "idelta sees two samples only: write increase",
    "delta": "delta is for gauges: write increase of a counter",
    "deriv": "deriv is not a number of events",
    "histogram_quantile": "a quantile is not a number of events: count the requests above a bucket's edge",
    "avg_over_time": "an average is not a number of events: write sum_over_time, or give a raw ratio",
    "max_over_time": "a maximum is not a number of events",
    "min_over_time": "a minimum is not a number of events",
    "clamp": "clamp loses the events above its limit: leave it out",
    "clamp_max": "clamp_max loses the events above its limit: leave it out",
}
_WRAPPING: Final = {"label_replace", "label_join", "histogram_count"}
"""Functions of which each sample is that of the first argument, or its number of events."""


@dataclass(frozen=True, slots=True)
class Count:
    """A query as a number of events in a window.

    Args:
        text: PromQL with the placeholder WINDOW, aggregated.
        groups: labels that its samples have.
        terms: what it adds up; empty where that could not be told.
        notes: what was changed, a sentence each.
    """

    text: str
    groups: Labels = ()
    terms: tuple[Term, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def operands(self) -> tuple[str, ...]:
        """Selectors of what is subtracted: without their series the difference has no result."""
        subtracted = [term.selector for term in self.terms if term.factor < 0 and not term.has_fallback]
        return tuple(dict.fromkeys(each.text for each in subtracted))


def count(query: str, *, is_total: bool = False, is_good: bool = False) -> Count:
    """Return what a query of events in a window counts.

    Args:
        is_total: of all events; else of bad or good ones, of which each addend may be missing: none happened yet.
        is_good: of good events; what they are less, as failed ones, may be missing, too.

    Raises:
        UnsupportedQueryError: it is not valid, has no window, or is not a number of events.

    >>> count('sum(rate(a[{{ .window }}])) or vector(1)').text
    'sum (increase(a[{{.window}}]))'
    """
    tree = parse(query)
    if not promql.has_window(tree):
        raise UnsupportedQueryError(f"a query has its window as [{WINDOW}]: slotel asks for many windows")
    reader = _Reader(is_total=is_total, is_good=is_good)
    node = reader.count(tree)
    text = promql.render(node, {"rate": "increase"})  # a rate times the seconds of its window
    if kind_of(bare(node)) in {"BinaryExpr", "UnaryExpr"}:
        text = f"({text})"
    labels = labels_of(node)
    notes = list(dict.fromkeys(reader.notes))
    if labels is None:
        text, labels = f"sum ({text})", ()
        notes.append("the query has no aggregation: its series are summed")
    if reader.functions == {"rate", "increase"}:
        raise UnsupportedQueryError("rate(…) and increase(…) in one query: use one of them")
    try:
        terms = tuple(terms_of(node))
    except UnsupportedQueryError:
        terms = ()
    return Count(text, tuple(sorted(labels)), terms, tuple(notes))


class _Reader:
    """Goes down a tree and takes away what only stands in where there is nothing."""

    def __init__(self, *, is_total: bool, is_good: bool) -> None:
        self.notes: list[str] = []
        self._is_total, self._is_good = is_total, is_good
        self.functions: set[str] = set()

    def count(self, node: Any) -> Any:
        """Return the tree without its fallbacks.

        Raises:
            UnsupportedQueryError: it is not a number of events.
        """
        node = bare(node)
        kind = kind_of(node)
        if kind == "AggregateExpr":
            return self._aggregated(node)
        if kind == "Call":
            return self._called(node)
        if kind == "BinaryExpr":
            return self._combined(node)
        if kind == "VectorSelector":
            raise UnsupportedQueryError(
                f"{promql.selector(node)} has no window: write increase({promql.selector(node)}[{WINDOW}])"
            )
        raise UnsupportedQueryError(f"'{promql.render(node)}' is not a number of events")

    def _aggregated(self, node: Any) -> Any:
        if str(node.op) != "sum":
            raise UnsupportedQueryError(
                f"'{node.op}' of events: it does not add up over series and time: write sum"
            )
        inner = self.count(node.expr)
        if inner is bare(node.expr):
            return node
        return _made("AggregateExpr", op=node.op, modifier=node.modifier, param=node.param, expr=inner)

    def _called(self, node: Any) -> Any:
        name = node.func.name
        if name in RATES or name in SAMPLES:
            if not promql.is_window(node.args[0]):
                raise UnsupportedQueryError(
                    f"{name}(…) has a window of its own: write it as [{WINDOW}], slotel asks for many windows"
                )
            self.functions |= {name} & RATES
            return node
        if name in _WRAPPING:
            inner = self.count(node.args[0])
            if inner is bare(node.args[0]):
                return node
            return _made("Call", func=node.func, args=[inner, *node.args[1:]])
        if name == "clamp_min":
            return self._not_below(node)
        raise UnsupportedQueryError(_NOT_ADDITIVE.get(name, f"{name}(…) is not a number of events"))

    def _not_below(self, node: Any) -> Any:
        """Read `clamp_min(a, b)`: where a is less, b invents events; but a difference may be below 0."""
        inner, least = self.count(node.args[0]), number_of(node.args[1])
        if least is None or least > 0:
            self._leave_out(f"clamp_min(…, {promql.render(node.args[1])})")
            return inner
        return _made("Call", func=node.func, args=[inner, node.args[1]])

    def _leave_out(self, text: str) -> None:
        self.notes.append(f"'{text}' would count events that never happened: it is left out")

    def _combined(self, node: Any) -> Any:
        operator = str(node.op)
        if operator == "or":
            return self._with_fallback(node)
        if operator in {"and", "unless"}:
            return _paired(node, self.count(node.lhs), bare(node.rhs))
        if operator in {">", ">=", "!=", "<", "<=", "=="}:
            return self._compared(node, operator)
        if operator in {"*", "/"}:
            return self._scaled(node, operator)
        if operator in {"+", "-"}:
            return self._added(node, operator)
        raise UnsupportedQueryError(f"'{operator}' between numbers of events")

    def _with_fallback(self, node: Any) -> Any:
        """Read `a or b`: b invents events if it is not a number of events itself."""
        fallback = _fallback(node)
        if fallback is None:
            return _paired(node, self.count(node.lhs), self.count(node.rhs))
        if fallback:
            self._leave_out(f"or {promql.render(node.rhs)}")
        return self.count(node.lhs)

    def _compared(self, node: Any, operator: str) -> Any:
        limit = number_of(node.rhs)
        is_bool = node.modifier is not None and node.modifier.return_bool
        if operator in {">", ">=", "!="} and limit == 0 and not is_bool:
            return self.count(node.lhs)  # without events there is nothing to count
        raise UnsupportedQueryError(
            f"'{promql.render(node)}' compares: it gives no number of events; count those above the limit"
        )

    def _scaled(self, node: Any, operator: str) -> Any:
        left, right = number_of(node.lhs), number_of(node.rhs)
        if right is not None:
            if operator == "/" and not right:
                raise UnsupportedQueryError("the query divides by 0")
            return _paired(node, self.count(node.lhs), bare(node.rhs))
        if left is not None and operator == "*":
            return _paired(node, bare(node.lhs), self.count(node.rhs))
        side = promql.cardinality(node.modifier) if node.modifier is not None else ""
        if operator == "*" and side == "group_left":  # joins labels of an info metric
            return _paired(node, self.count(node.lhs), bare(node.rhs))
        if operator == "*" and side:
            return _paired(node, bare(node.lhs), self.count(node.rhs))
        if operator == "/":
            raise UnsupportedQueryError(
                "a ratio is not a number of events: give numerator and denominator as two queries, or a raw ratio"
            )
        raise UnsupportedQueryError("numbers of events are multiplied")

    def _added(self, node: Any, operator: str) -> Any:
        for side in (node.lhs, node.rhs):
            if number_of(side) is not None:
                raise UnsupportedQueryError(
                    f"'{promql.render(node)}' is not a number of events: give a ratio as a raw ratio"
                )
        left, right = self.count(node.lhs), self.count(node.rhs)
        mine, others = labels_of(left), labels_of(right)
        matched = node.modifier is not None and node.modifier.matching is not None
        if not matched and (mine is None or others is None):
            raise UnsupportedQueryError(
                f"'{operator}' of series that may have different labels: write sum(…) {operator} sum(…)"
            )
        if not matched and set(mine or ()) != set(others or ()):
            raise UnsupportedQueryError(
                f"'{operator}' between series by ({', '.join(mine or ())}) and by ({', '.join(others or ())})"
            )
        if self._is_total and operator == "+" and not matched:
            return _pair(node, _operand(left, right), _operand(right, left))
        if not self._is_total or _fallback(node.lhs) is not None:
            left = _operand(left)
        is_missed = operator == "+" and not self._is_total
        if is_missed or self._is_good or _fallback(node.rhs) is not None:
            right = _operand(right)
        return _pair(node, left, right)


def _made(kind: str, **parts: Any) -> Any:
    """Return a node that promql-parser did not make: its own are read-only."""
    return SimpleNamespace(kind=kind, **parts)


def _pair(node: Any, left: Any, right: Any) -> Any:
    """Return a pair with other operands, in brackets where they need them."""
    lhs, rhs = (
        _made("ParenExpr", expr=each) if kind_of(each) == "BinaryExpr" else each for each in (left, right)
    )
    return _made("BinaryExpr", op=node.op, modifier=node.modifier, lhs=lhs, rhs=rhs)


def _paired(node: Any, left: Any, right: Any) -> Any:
    """Return a pair with other operands; itself if they are its own."""
    same = left is bare(node.lhs) and right is bare(node.rhs)
    return node if same else _pair(node, left, right)


def _operand(node: Any, *others: Any) -> Any:
    """Return an operand that may be missing, with a 0 in its place: no event is no reason for having no sum.

    Args:
        others: one of them tells that there is a sum; none: the objective's total does.
    """
    return _made("OrZero", expr=node, others=[each for other in others for each in _addends(other)])


def _addends(node: Any) -> Iterator[Any]:
    node = bare(node)
    if _operator(node) == "+":
        yield from _addends(node.lhs)
        yield from _addends(node.rhs)
    else:
        yield node


def _operator(node: Any) -> str:
    return str(node.op) if kind_of(node) == "BinaryExpr" else ""


def _fallback(node: Any) -> float | None:
    """Return the number that stands in for nothing in `a or b`; None if there is none, or it is no number."""
    node = bare(node)
    if _operator(node) != "or":
        return None
    other = bare(node.rhs)
    is_zero = _operator(other) == "*" and 0 in {number_of(other.lhs), number_of(other.rhs)}
    return 0.0 if is_zero else number_of(other)


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
                if _fallback(tree):
                    notes = (f"'or {promql.render(bare(tree).rhs)}' without any event: it is left out",)
                return Ratio(bad, total, text, bad.groups, notes=(*notes, *bad.notes, *total.notes))
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
    parts = "sum_over_time", "count_over_time"
    good, total = (promql.render(node, {"avg_over_time": part}) for part in parts)
    return good, total


def _divided_pair(node: Any) -> tuple[str, str] | None:
    operator = str(node.op)
    if operator == "or" and _fallback(node) is not None:
        return _divided(node.lhs)
    if operator == "/" and number_of(node.rhs) is None:
        return _summed(node.lhs), _summed(node.rhs)
    if operator == "-" and number_of(node.lhs) == 1:
        inner = _divided(node.rhs)
        return None if inner is None else (f"({inner[1]}) - ({inner[0]})", inner[1])
    return None
