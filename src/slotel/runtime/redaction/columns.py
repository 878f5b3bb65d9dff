"""Redacts values that a statement of SQL gives to columns with a sensitive name. Pure.

`INSERT INTO u (name, password) VALUES ('bob', 'x')`, and the parameters that SQLAlchemy writes below a statement in the
message of an exception: `[SQL: INSERT INTO u (name, password) VALUES (?, ?)] [parameters: ('bob', 'x')]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from slotel.config.names import REDACTED
from slotel.config.patterns import lazy_pattern
from slotel.runtime.redaction.notation import is_hidden

_INSERT: Final = lazy_pattern(
    r"\b(?:INSERT|REPLACE)\s(?:[^()\n]{1,300})\(([^()]{1,4000})\)\s{0,8}VALUES\s{0,8}(?=\()", re.IGNORECASE
)
"""The columns of an INSERT, up to its values."""
_COMPARED: Final = lazy_pattern(
    r"([\w.\"`]{1,128})\s{0,4}(?:=|<>|!=|\bLIKE\b|\bIN\b)\s{0,4}\(?\Z", re.IGNORECASE
)
_PLACEHOLDER: Final = lazy_pattern(r"\?|%s|\$\d{1,4}|:\d{1,4}")
_PARAMETERS: Final = lazy_pattern(r"\[parameters: [\[(]{1,2}")
"""Source: SQLAlchemy, `StatementError`."""
_VALUE: Final = lazy_pattern(
    r"\s*(?:[A-Za-z]{0,2}(?:\\{1,16}['\"]([^'\"\\]*)\\{1,16}['\"]|'((?:[^'\\]|''|\\.)*)'?|\"((?:[^\"\\]|\"\"|\\.)*)\"?)"
    r"|[^\s,()'\"\\]*(?:\([^()'\"]{0,64}\))?)",
    re.DOTALL,
)
"""A literal, also within the `repr` of a text, or a word."""
_FAR: Final = 2_000
"""Characters before a statement's parameters in which its placeholders are looked for."""


def redacted(text: str, is_sensitive: Callable[[str], bool], found: Callable[[str], None]) -> str:
    """Return the text without the values of sensitive columns; `found` is told of each.

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
    """Yield where the values of sensitive columns stand."""
    for insert in _INSERT.finditer(text):
        yield from _rows(text, insert.end(), [is_sensitive(name) for name in _names(insert[1])])
    for parameters in _PARAMETERS.finditer(text):
        before = text[max(parameters.start() - _FAR, 0) : parameters.start()].rpartition("[SQL: ")[2]
        yield from _rows(
            text, parameters.end() - 1, [is_sensitive(name) for name in _of_placeholders(before)]
        )


def _names(columns: str) -> list[str]:
    return [name.strip().strip('"`[]') for name in columns.split(",")]


def _of_placeholders(statement: str) -> list[str]:
    """Return the columns that a statement's placeholders stand for, in their order; '' where it is not seen."""
    insert = _INSERT.search(statement)
    if insert is not None:
        return _names(insert[1])
    names = []
    for placeholder in _PLACEHOLDER.finditer(statement):
        compared = _COMPARED.search(statement[max(placeholder.start() - 160, 0) : placeholder.start()])
        names.append(compared[1].rpartition(".")[2].strip('"`') if compared is not None else "")
    return names


def _rows(text: str, at: int, are_sensitive: list[bool]) -> Iterator[tuple[int, int]]:
    """Yield where the sensitive values stand in the rows `(…), (…)` that begin at a place."""
    if not any(are_sensitive):
        return
    while text[at : at + 1] in ("(", "["):
        at += 1
        for column in are_sensitive:
            value = _VALUE.match(text, at)
            if value is None:
                return
            if column and value.lastindex is not None:
                yield value.span(value.lastindex)
            at = value.end()
            if text[at : at + 1] != ",":
                break
            at += 1
        if text[at : at + 1] not in (")", "]"):
            return
        at += 1
        while text[at : at + 1] in (",", " ", "\n"):
            at += 1
