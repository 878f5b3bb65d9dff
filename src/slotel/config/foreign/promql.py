"""PromQL of other people's files as a tree: parsed, rendered again, its labels told. Knows no objective.

promql-parser reads it. A query's window is a template (`[{{.window}}]`); in the tree it is a range of WINDOW_SECONDS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

from slotel.config.duration import format_duration

WINDOW: Final = "{{.window}}"
"""The placeholder for a window, in the spelling of the rendered queries."""
ZERO: Final = "{{.zero}}"
"""The placeholder for no event: 0 with the labels of the objective's total."""
WINDOW_SECONDS: Final = 86_400_000 * 7 + 8_642
"""Stands for the window while promql-parser reads a query: a range that nobody writes."""
_SENTINEL: Final = f"{WINDOW_SECONDS}s"

MAX_LENGTH: Final = 20_000
MAX_DEPTH: Final = 50
MAX_OPERATORS: Final = 150
"""Of brackets, of operators: the parser recurses, and a tree that is too deep ends the process."""

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
"""What may follow a beginning of a query: if none of them makes it valid, its last token is what is wrong."""


class UnsupportedQueryError(ValueError):
    """A query is not valid, or beyond what is understood here; the text says why and where."""


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
    _check_brackets(query, tokens)
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


def _check_brackets(query: str, tokens: list[_Token]) -> None:
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
    if sum(token.text in _OPERATORS for token in tokens) > MAX_OPERATORS:
        raise UnsupportedQueryError(f"the query has more than {MAX_OPERATORS} operators")
    if expected:
        raise UnsupportedQueryError(f"{_place(query, len(query))}expected '{expected[-1]}', the query ends")


def _fault(query: str, tokens: list[_Token], parse_: Any) -> str:
    """Return the place of what is wrong: behind the longest beginning that something would make valid."""
    said = [token for token in tokens if token.kind not in {"blank", "comment"}]
    for count in range(len(said), 0, -1):
        beginning = " ".join(token.text for token in said[:count])
        closing = "".join(reversed([*_open(said[:count])]))
        for completion in _COMPLETIONS:
            try:
                parse_(beginning + completion + closing)
            except (ValueError, RecursionError):
                continue
            begin = said[count].begin if count < len(said) else len(query)
            return _place(query, begin)
    return _place(query, said[0].begin) if said else ""


def _open(tokens: list[_Token]) -> list[str]:
    found: list[str] = []
    for token in tokens:
        if token.kind == "other" and token.text in _CLOSING:
            found.append(_CLOSING[token.text])
        elif token.kind == "other" and found and token.text == found[-1]:
            found.pop()
    return found


def _place(query: str, begin: int) -> str:
    before = query[:begin]
    return f"line {before.count(chr(10)) + 1}, column {begin - before.rfind(chr(10))}: "


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


def render(node: Any, functions: Mapping[str, str] | None = None) -> str:
    """Return the query of a tree, with WINDOW where it asks for the window.

    Args:
        functions: names to write instead of others, as `{"rate": "increase"}`.
    """
    return _Renderer(functions or {}).text(node)


def render_over_window(node: Any, *, is_counter: bool) -> str:
    """Return the query of a tree with the window in place of its own ones.

    Args:
        is_counter: selectors without a window are counters: their increase is meant.
    """
    return _WindowRenderer({}, is_counter=is_counter).text(node)


class _Renderer:
    """promql-parser's own rendering does not escape strings."""

    def __init__(self, functions: Mapping[str, str]) -> None:
        self._functions = functions

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
        return f"({self.text(node.expr)} or {ZERO})"

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
                operator += f" {on} ({', '.join(matched.matching.labels)})"
            side = cardinality(matched)
            if side:
                operator += f" {side} ({', '.join(matched.group_labels or [])})"
        return f"{self.text(node.lhs)} {operator} {self.text(node.rhs)}"

    def _VectorSelector(self, node: Any) -> str:  # noqa: N802
        return selector(node) + _shifted(node)

    def _MatrixSelector(self, node: Any) -> str:  # noqa: N802
        window = WINDOW if is_window(node) else format_duration(node.range.total_seconds())
        return f"{selector(node.vector_selector)}[{window}]{_shifted(node.vector_selector)}"

    def _SubqueryExpr(self, node: Any) -> str:  # noqa: N802
        window = WINDOW if is_window(node) else format_duration(node.range.total_seconds())
        step = format_duration(node.step.total_seconds()) if node.step is not None else ""
        return f"{self.text(node.expr)}[{window}:{step}]{_shifted(node)}"


class _WindowRenderer(_Renderer):
    """Writes every range as the window."""

    def __init__(self, functions: Mapping[str, str], *, is_counter: bool) -> None:
        super().__init__(functions)
        self._is_counter = is_counter

    def _VectorSelector(self, node: Any) -> str:  # noqa: N802
        if not self._is_counter:
            return super()._VectorSelector(node)
        return f"increase({selector(node)}[{WINDOW}]{_shifted(node)})"

    def _MatrixSelector(self, node: Any) -> str:  # noqa: N802
        return f"{selector(node.vector_selector)}[{WINDOW}]{_shifted(node.vector_selector)}"


def modifier(node: Any) -> str:
    """Return ` by (…)` or ` without (…)` of an aggregation, or nothing."""
    if node.modifier is None:
        return ""
    by = "without" if "Without" in str(node.modifier.type) else "by"
    return f" {by} ({', '.join(node.modifier.labels)})"


def is_ignoring(matched: Any) -> bool:
    """Return whether a binary operator's labels are those to ignore."""
    return "Exclude" in str(matched.matching.type)


def cardinality(matched: Any) -> str:
    """Return `group_left`, `group_right` or nothing."""
    name = str(matched.card)
    if name.endswith("ManyToOne"):
        return "group_left"
    return "group_right" if name.endswith("OneToMany") else ""


def matchers(node: Any) -> list[tuple[str, str, str]]:
    """Return a selector's conditions, its metric's name not among them: label, comparison, value.

    Raises:
        UnsupportedQueryError: alternatives, which Prometheus does not have.
    """
    if node.matchers.or_matchers:
        raise UnsupportedQueryError("Prometheus has no 'or' between the conditions of a selector")
    return [
        _edge(each.name, _COMPARISON[str(each.op).rpartition(".")[2]], each.value)
        for each in node.matchers.matchers
        if not (node.name is None and each.name == "__name__" and each.value == metric(node))
    ]


def _edge(label: str, sign: str, value: str) -> tuple[str, str, str]:
    """Return a condition; of a whole edge in both spellings: Prometheus 3 writes `le="1"` as `1.0`."""
    whole = _WHOLE.fullmatch(value) if label == "le" and sign == "=" else None
    return (label, "=~", f"{whole[1]}|{whole[1]}\\.0") if whole else (label, sign, value)


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
    return f" offset {'-' if seconds < 0 else ''}{format_duration(abs(seconds))}"
