"""Splits a query of events into its terms: selectors of counters, each with a factor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from slotel.config.foreign import promql
from slotel.config.foreign.parsing import parse
from slotel.config.foreign.promql import Matcher, UnsupportedQueryError, bare, kind_of, number_of
from slotel.config.slo import WINDOW

RATES: Final = frozenset({"rate", "increase"})
SAMPLES: Final = frozenset({"sum_over_time", "count_over_time"})


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one metric.

    Args:
        text: the selector as PromQL.
    """

    metric: str
    matchers: tuple[Matcher, ...]
    text: str = ""

    def selects(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Return whether a series is selected."""
        return metric == self.metric and all(each.holds(labels.get(each.label, "")) for each in self.matchers)


@dataclass(frozen=True, slots=True)
class Term:
    """A selector's number of events in the window, and how often the query adds it: 1, −1.

    Args:
        function: `increase` of a counter, `sum_over_time` or `count_over_time` of a gauge.
        has_fallback: the query says what stands in while the series is missing.
    """

    factor: float
    selector: Selector
    function: str = "increase"
    has_fallback: bool = False


def terms(query: str) -> tuple[Term, ...]:
    """Return what a query of events in a window adds up.

    Of `a or b` it is `a`, for `b` stands in where there is no series.

    Raises:
        UnsupportedQueryError: it is more than sums and differences over selectors.

    >>> [found] = terms('sum(rate(requests_total{code=~"5.."}[{{.window}}]))')
    >>> found.factor, found.selector.metric, found.selector.matchers[0].sign
    (1.0, 'requests_total', '=~')
    """
    found = tuple(terms_of(parse(query)))
    if not found:
        raise UnsupportedQueryError("it selects no counter")
    return found


def terms_of(node: Any) -> Iterator[Term]:
    """Yield what a parsed query adds up.

    Raises:
        UnsupportedQueryError: it is more than sums and differences over selectors.
    """
    node = bare(node)
    kind = kind_of(node)
    if kind == "AggregateExpr" and str(node.op) == "sum":
        yield from terms_of(node.expr)
    elif kind == "Call" and node.func.name == "clamp_min":
        yield from terms_of(node.args[0])
    elif kind == "Call" and (node.func.name in RATES or node.func.name in SAMPLES):
        function = "increase" if node.func.name in RATES else node.func.name
        yield Term(1.0, _selected(node.args[0]), function)
    elif kind == "BinaryExpr":
        yield from _terms_of_pair(node)
    elif number_of(node) is None:
        raise UnsupportedQueryError(f"'{promql.render(node)[:60]}' is not a sum of rates or increases")


def _terms_of_pair(node: Any) -> Iterator[Term]:
    operator = str(node.op)
    if operator == "or":
        yield from (replace(each, has_fallback=True) for each in terms_of(node.lhs))
    elif operator in {"+", "-"}:
        yield from terms_of(node.lhs)
        sign = -1.0 if operator == "-" else 1.0
        yield from (replace(each, factor=each.factor * sign) for each in terms_of(node.rhs))
    elif operator in {"*", "/"}:
        left, right = number_of(node.lhs), number_of(node.rhs)
        factor = right if left is None else left
        if factor is None or (operator == "/" and (right is None or not right)):
            raise UnsupportedQueryError("it multiplies or divides counters")
        factor = 1 / factor if operator == "/" else factor
        found = terms_of(node.lhs if left is None else node.rhs)
        yield from (replace(each, factor=each.factor * factor) for each in found if factor)
    else:
        raise UnsupportedQueryError(f"'{operator}' is not a sum of rates or increases")


def _selected(node: Any) -> Selector:
    if kind_of(node) != "MatrixSelector" or not promql.is_window(node):
        raise UnsupportedQueryError(f"a rate is over [{WINDOW}] of a selector")
    series = node.vector_selector
    if series.offset is not None or series.at is not None:
        raise UnsupportedQueryError("a rate with an offset")
    name = promql.metric(series)
    if not name:
        raise UnsupportedQueryError("a selector has no metric name")
    matchers = promql.matchers(series)
    for each in matchers:
        if "~" in each.sign:
            try:
                re.compile(each.value)
            except (re.error, OverflowError, RecursionError) as error:
                raise UnsupportedQueryError(f"the pattern {each.value!r} is not read: {error}") from error
    return Selector(name, matchers, promql.selector(series))
