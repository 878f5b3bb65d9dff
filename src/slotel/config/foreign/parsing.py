"""PromQL of other people's files, read by promql-parser into a tree, which is split into terms.

It says where a query is wrong, and bounds it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from slotel.config.foreign import promql
from slotel.config.foreign.promql import (
    WINDOW_SECONDS,
    Matcher,
    UnsupportedQueryError,
    kind_of,
    number_of,
    quote,
)
from slotel.config.slo import WINDOW

_SENTINEL: Final = f"{WINDOW_SECONDS}s"

MAX_LENGTH: Final = 20_000
MAX_DEPTH: Final = 50
MAX_OPERATORS: Final = 150
"""Most nested brackets, and most operators: the parser recurses, and a tree that is too deep ends the process."""

_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+)|(?P<comment>\#[^\n]*)
    |(?P<window>\{\{-?\s*\$?\.window\s*-?\}\})|(?P<zero>\{\{\.zero\}\})|(?P<template>\{\{)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<raw>`[^`]*`)
    |(?P<word>[A-Za-z_0-9.:]+)|(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS: Final = frozenset(
    ("+", "-", "*", "/", "%", "^", "<", ">", "=", "!", "and", "or", "unless", "atan2")
)
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
_COMPLETIONS: Final = ("", " a", "[1m]", " a[1m]", " (a)", '"x"', '="x"', "=0", " 1", "1m")
"""Possible ends of a query: if none of them makes it valid, its last token is what is wrong."""


class _Token(NamedTuple):
    kind: str
    text: str
    begin: int


def parse(query: str) -> Any:
    """Return promql-parser's tree of a query whose windows are templates.

    Raises:
        UnsupportedQueryError: the query is not valid PromQL; the text has line and column.
    """
    import promql_parser

    tokens = list(_tokens(query))
    _check(query, tokens)
    text = "".join(each.text for each in tokens)
    try:
        return promql_parser.parse(text)
    except (ValueError, RecursionError) as error:
        reason = str(error).replace(_SENTINEL, WINDOW)
        place = _fault(query, tokens, promql_parser.parse)
        raise UnsupportedQueryError(f"{place}not valid PromQL: {reason}") from None


def _tokens(query: str) -> Iterator[_Token]:
    if len(query) > MAX_LENGTH:
        raise UnsupportedQueryError(f"the query has more than {MAX_LENGTH:,} characters")
    for found in _TOKEN.finditer(query):
        kind, text = found.lastgroup or "", found[0]
        if kind == "template":
            raise UnsupportedQueryError(
                f"{_place(query, found.start())}the only template is {WINDOW}; write the rest out"
            )
        if kind in {"text", "raw"} and "{{" in text:
            raise UnsupportedQueryError(f"{_place(query, found.start())}a template inside of a label value")
        if kind == "raw":  # promql-parser reads escapes in it, Prometheus does not
            text = quote(text[1:-1])
        elif kind == "comment":
            text = ""
        elif kind == "window":
            text = _SENTINEL
        elif kind == "zero":
            text = "vector(0)"
        yield _Token(kind, text, found.start())


def _check(query: str, tokens: list[_Token]) -> None:
    expected = _unclosed(query, tokens)
    if sum(token.text in _OPERATORS for token in tokens) > MAX_OPERATORS:
        raise UnsupportedQueryError(f"the query has more than {MAX_OPERATORS} operators")
    if expected:
        raise UnsupportedQueryError(f"{_place(query, len(query))}expected '{expected[-1]}', the query ends")


def _unclosed(query: str, tokens: list[_Token]) -> list[str]:
    """Return what closes the brackets that are open at the end, the innermost last."""
    expected: list[str] = []
    for token in tokens:
        if token.kind != "other":
            continue
        if token.text in _CLOSING:
            expected.append(_CLOSING[token.text])
        elif token.text in _CLOSING.values() and (not expected or expected.pop() != token.text):
            raise UnsupportedQueryError(f"{_place(query, token.begin)}'{token.text}' closes no bracket")
        if len(expected) > MAX_DEPTH:
            raise UnsupportedQueryError(f"{_place(query, token.begin)}nested more than {MAX_DEPTH} deep")
    return expected


def _fault(query: str, tokens: list[_Token], parse_: Any) -> str:
    """Return the place of what is wrong: behind the longest beginning that something would make valid."""
    said = [token for token in tokens if token.kind not in {"blank", "comment"}]
    for count in range(len(said), 0, -1):
        beginning = " ".join(token.text for token in said[:count])
        closing = "".join(reversed(_unclosed(query, said[:count])))
        for completion in _COMPLETIONS:
            try:
                parse_(beginning + completion + closing)
            except (ValueError, RecursionError):
                continue
            begin = said[count].begin if count < len(said) else len(query)
            return _place(query, begin)
    return _place(query, said[0].begin) if said else ""


def _place(query: str, begin: int) -> str:
    before = query[:begin]
    return f"line {before.count(chr(10)) + 1}, column {begin - before.rfind(chr(10))}: "


# -- terms: selectors of counters, each with a factor ------------------------------------------------------------

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
    kind = kind_of(node)
    if kind == "ParenExpr" or (kind == "AggregateExpr" and str(node.op) == "sum"):
        yield from terms_of(node.expr)
    elif kind == "OrZero":
        yield from (replace(each, has_fallback=True) for each in terms_of(node.expr))
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
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # of `[[:digit:]]`, which means something else in Python
                    re.compile(each.value)
            except (re.error, OverflowError, RecursionError, FutureWarning) as error:
                raise UnsupportedQueryError(f"the pattern {each.value!r} is not read: {error}") from error
    return Selector(name, matchers, promql.selector(series))
