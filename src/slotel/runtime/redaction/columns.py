"""Redacts the values that an SQL statement assigns to columns with a sensitive name. Pure.

`INSERT INTO u (name, password) VALUES ('bob', 'x')`, and the parameters that SQLAlchemy writes below a statement in the
message of an exception: `[SQL: INSERT INTO u (name, password) VALUES (?, ?)] [parameters: ('bob', 'x')]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import Final

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern
from slotel.runtime.redaction.notation import is_hidden

_INSERT: Final = lazy_pattern(
    r"\b(?:INSERT|REPLACE)\s(?:[^()\n]{1,300})\(([^()]{1,4000})\)\s{0,8}VALUES\s{0,8}(?=\()", re.IGNORECASE
)
"""An INSERT from its list of columns to the first bracket of its values."""
_COMPARED: Final = lazy_pattern(
    r"([\w.\"`]{1,128})\s{0,4}(?:=|<>|!=|\bLIKE\b|\bIN\b)\s{0,4}\(?\Z", re.IGNORECASE
)
_PLACEHOLDER: Final = lazy_pattern(r"\?|%s|\$\d{1,4}|:\d{1,4}")
_PARAMETERS: Final = lazy_pattern(r"\[parameters: [\[(]{1,2}")
"""Source: SQLAlchemy, `StatementError`."""
_LITERAL: Final = (
    r"(?:\\{1,64}['\"]([^'\"\\]*)\\{1,64}['\"]|'((?:[^'\\]|''|\\.)*)'?|\"((?:[^\"\\]|\"\"|\\.)*)\"?)"
)
"""A string literal of SQL, also within a Python `repr`."""
_VALUE: Final = lazy_pattern(rf"\s*(?:[A-Za-z]{{0,2}}{_LITERAL})\s*", re.DOTALL)
_PIECE: Final = lazy_pattern(rf"{_LITERAL}|[(\[]|[)\]]|,", re.DOTALL)
"""The tokens that matter for finding the end of a value: string literals, brackets, commas."""
_LONGEST: Final = 1_000
"""Characters of an expression that are searched for its end; a string literal at its end may be longer."""
_FAR: Final = 2_000
"""Characters before a statement's parameters that are searched for its placeholders."""


def redacted(text: str, is_sensitive: Callable[[str], bool], found: Callable[[str], None]) -> str:
    """Return the text without the values of sensitive columns; `found` is called with "column" for each.

    >>> redacted("INSERT INTO u (name, pin) VALUES ('bob', '1')", "pin".__eq__, print)
    column
    "INSERT INTO u (name, pin) VALUES ('bob', '[Filtered]')"
    """
    pieces: list[str] = []
    done = 0
    for start, end in sorted(_values(text, is_sensitive)):
        if start < end and not is_hidden(text[start:end]):
            found("column")
            pieces += text[done:start], REDACTED
            done = end
    return "".join((*pieces, text[done:])) if pieces else text


def _values(text: str, is_sensitive: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each value of a sensitive column."""
    at = 0
    while (insert := _INSERT.search(text, at)) is not None:
        at = yield from _rows(text, insert.end(), [is_sensitive(name) for name in _names(insert[1])])
    for parameters in _PARAMETERS.finditer(text):
        before = text[max(parameters.start() - _FAR, 0) : parameters.start()].rpartition("[SQL: ")[2]
        yield from _rows(
            text, parameters.end() - 1, [is_sensitive(name) for name in _of_placeholders(before)]
        )


def _names(columns: str) -> list[str]:
    return [name.strip().strip('"`[]') for name in columns.split(",")]


def _of_placeholders(statement: str) -> list[str]:
    """Return the column of each placeholder of a statement, in order; '' if it is unknown."""
    insert = _INSERT.search(statement)
    if insert is not None:
        return _names(insert[1])
    names = []
    for placeholder in _PLACEHOLDER.finditer(statement):
        compared = _COMPARED.search(statement[max(placeholder.start() - 160, 0) : placeholder.start()])
        names.append(compared[1].rpartition(".")[2].strip('"`') if compared is not None else "")
    return names


def _rows(text: str, at: int, are_sensitive: list[bool]) -> Generator[tuple[int, int], None, int]:
    """Yield (start, end) of each sensitive value in the rows `(…), (…)` at an offset; return the offset after them."""
    if not any(are_sensitive):
        return at
    while text[at : at + 1] in ("(", "["):
        at += 1
        for column in are_sensitive:
            end = _end_of_value(text, at)
            if column and (found := _shown(text, at, end)) is not None:
                yield found
            at = end
            if text[at : at + 1] != ",":
                break
            at += 1
        if text[at : at + 1] not in (")", "]"):
            return at
        at += 1
        while text[at : at + 1] in (",", " ", "\n"):
            at += 1
    return at


def _end_of_value(text: str, at: int) -> int:
    """Return the offset of a value's end: a comma or bracket of its row, or the end of what is searched."""
    depth, place = 0, at
    while (piece := _PIECE.search(text, place)) is not None and piece.start() <= at + _LONGEST:
        place, sign = piece.end(), piece[0]
        if sign in ("(", "["):
            depth += 1
        elif depth == 0 and sign in (",", ")", "]"):
            return piece.start()
        elif sign in (")", "]"):
            depth -= 1
    return min(max(place, at + _LONGEST), len(text))


def _shown(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return (start, end) of what to redact: the inside of a string literal, or an expression that contains one."""
    literal = _VALUE.match(text, start)
    if literal is not None and literal.end() >= end:
        return literal.span(literal.lastindex) if literal.lastindex is not None else None
    return (start, end) if any(quote in text[start:end] for quote in "'\"") else None
