"""PromQL of other people's files, read by promql-parser into a tree; says where a query is wrong, and bounds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from slotel.config.foreign.promql import WINDOW_SECONDS, UnsupportedQueryError, quote
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
