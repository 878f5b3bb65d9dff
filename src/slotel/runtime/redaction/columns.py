"""Redacts the values that an SQL statement assigns to, or compares with, columns with a sensitive name. Pure.

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
    r"\b(?:INSERT|REPLACE)\s(?:[^()]{1,300})\(([^()]{1,4000})\)\s{0,8}(?:OVERRIDING\s{1,4}\w{1,8}\s{1,4}VALUE\s{1,4})?"
    r"(?:VALUES\s{0,8}(?=\()|SELECT\s)",
    re.IGNORECASE,
)
"""An INSERT from its list of columns to the first bracket of its values."""
_NAME: Final = r"[\w.\"`\[\]\\]{1,128}"
_COMPARISON: Final = lazy_pattern(
    rf"(?<![\w.\"`\\])({_NAME})\)?(?:\s{{0,2}}::\s{{0,2}}\w{{1,32}}|\s{{1,4}}AS\s{{1,4}}\w{{1,32}}\s?\))?\s{{0,8}}"
    r"(?:(?:NOT\s{1,4})?(?:I?LIKE|RLIKE|REGEXP|GLOB|SIMILAR\s{1,4}TO|BETWEEN|IN(?=\s{0,4}\())\b"
    r"|IS\s{1,4}(?:NOT\s{1,4})?DISTINCT\s{1,4}FROM\b|<=>|<>|[!<>]=|[=<>]|!?~~?\*?)"
    r"\s{0,8}(?:BINARY\s{1,4}|(?:ANY|ALL|SOME|LOWER|UPPER)\s{0,2})?(?=[('\"ENXenx$\\])",
    re.IGNORECASE,
)
"""A column, and the operator between it and what it is compared with."""
_REVERSED: Final = lazy_pattern(rf"'\s{{0,4}}(?:=|<>|!=|\bAS\b)\s{{0,4}}({_NAME})", re.IGNORECASE)
_AND: Final = lazy_pattern(r"\s{1,8}AND\s{1,8}(?=[ENXenx]?')", re.IGNORECASE)
"""Between the two ends of a BETWEEN."""
_DUPLICATE: Final = lazy_pattern(
    r"Duplicate entry \\{0,8}'([^'\\\n]{1,500})\\{0,8}' for key \\{0,8}'([^'\\\n]{1,128})"
)
"""Source: MySQL, error 1062."""
_OF_KEY: Final = lazy_pattern(r"[.\s]")
_COMPARED: Final = lazy_pattern(
    r"([\w.\"`]{1,128})\s{0,4}(?:=|<>|!=|\bI?LIKE\b|\bIN\b)\s{0,4}\(?(?:__\[POSTCOMPILE_)?\Z", re.IGNORECASE
)
_PLACEHOLDER: Final = lazy_pattern(r"\?|%s|\$\d{1,4}|:\d{1,4}")
_PARAMETERS: Final = lazy_pattern(r"\[parameters: [\[(]{1,2}")
"""Source: SQLAlchemy, `StatementError`."""
_LITERAL: Final = (
    r"(?:\\{1,64}['\"]([^'\"\\]*)\\{1,64}['\"]|'((?:[^'\\]|''|\\.)*)'?|\"((?:[^\"\\]|\"\"|\\.)*)\"?"
    r"|\$\w{0,32}\$(.{0,1000}?)\$\w{0,32}\$)"
)
"""A string literal of SQL, also within a Python `repr`."""
_VALUE: Final = lazy_pattern(rf"\s*(?:[A-Za-z]{{0,2}}{_LITERAL})\s*", re.DOTALL)
_PIECE: Final = lazy_pattern(rf"{_LITERAL}|[(\[]|[)\]]|,|;|\bFROM\b", re.DOTALL)
"""Tokens that decide where a value ends: string literals, brackets, commas, the end of a SELECT's list."""
_NEXT_ROW: Final = lazy_pattern(r"(?:\s{0,8},\s{0,8}(?=[(\[]))?")
_ENDS: Final = (",", ")", "]", ";", "FROM")
_SHORTEST: Final = 4
_MOST: Final = 20
"""Characters of a value, and values, that are looked for a second time."""
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
    hidden: set[str] = set()
    done = 0
    for begin, end in sorted(_values(text, is_sensitive)):
        start = max(begin, done)
        if start < end and not is_hidden(value := text[start:end]):
            found("column")
            pieces += text[done:start], REDACTED
            done = end
            if end - start >= _SHORTEST and len(hidden) < _MOST:
                hidden.add(value)
    if not pieces:
        return text
    clean = "".join((*pieces, text[done:]))
    for value in hidden:  # the same value among the arguments that stand below a statement
        clean = re.sub(rf"(\\{{0,64}}['\"]){re.escape(value)}(?=\1)", rf"\1{REDACTED}", clean)
    return clean


def _values(text: str, is_sensitive: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each value of a sensitive column."""
    at = 0
    while (insert := _INSERT.search(text, at)) is not None:
        are_sensitive = [is_sensitive(name) for name in _names(insert[1])]
        at = yield from _rows(text, insert.end(), are_sensitive, is_bare=text[insert.end()] != "(")
    at = 0
    while (comparison := _COMPARISON.search(text, at)) is not None:
        at = comparison.end()
        if is_sensitive(_column(comparison[1])):
            at = yield from _compared(text, at)
    for comparison in _REVERSED.finditer(text):
        start = text.rfind("'", max(comparison.start() - _LONGEST, 0), comparison.start())
        if start >= 0 and is_sensitive(_column(comparison[1])):
            yield start + 1, comparison.start()
    for duplicate in _DUPLICATE.finditer(text):
        if any(map(is_sensitive, _OF_KEY.split(duplicate[2]))):
            yield duplicate.span(1)
    for parameters in _PARAMETERS.finditer(text):
        before = text[max(parameters.start() - _FAR, 0) : parameters.start()].rpartition("[SQL: ")[2]
        yield from _rows(
            text, parameters.end() - 1, [is_sensitive(name) for name in _of_placeholders(before)]
        )


def _compared(text: str, at: int) -> Generator[tuple[int, int], None, int]:
    """Yield (start, end) of each literal at an offset: one, two of a BETWEEN, or all of a list in brackets.

    Return the offset after them.
    """
    if text[at] != "(":
        literal = _VALUE.match(text, at)
        while literal is not None and literal.lastindex is not None:
            yield literal.span(literal.lastindex)
            at = literal.end()
            both = _AND.match(text, at - 1)
            literal = None if both is None else _VALUE.match(text, both.end())
        return at
    depth, until = 0, at + _FAR
    while (piece := _PIECE.search(text, at, until)) is not None:
        at = piece.end()
        if piece.lastindex is not None:
            yield piece.span(piece.lastindex)
        elif piece[0] in "([":
            depth += 1
        elif piece[0] in ")]":
            depth -= 1
            if depth <= 0:
                break
    return at


def _column(name: str) -> str:
    return name.rpartition(".")[2].strip('"`[]\\')


def _names(columns: str) -> list[str]:
    return [name.strip().strip('"`[]') for name in columns.split(",")]


def _of_placeholders(statement: str) -> list[str]:
    """Return the column of each placeholder of a statement, in order; '' if it is unknown."""
    insert = _INSERT.search(statement)
    if insert is not None:
        return _names(insert[1])
    names: list[str] = []
    end = 0
    for placeholder in _PLACEHOLDER.finditer(statement):
        start = placeholder.start()
        compared = _COMPARED.search(statement[max(start - 160, 0) : start])
        name = "" if compared is None else _column(compared[1])
        is_next = names and statement[end:start].strip() in (",", "AND")  # of a list, `x IN (?, ?)`
        names.append(names[-1] if is_next else name)
        end = placeholder.end()
    return names


def _rows(
    text: str, at: int, are_sensitive: list[bool], *, is_bare: bool = False
) -> Generator[tuple[int, int], None, int]:
    """Yield (start, end) of each sensitive value in the rows `(…), (…)` at an offset; return the offset after them.

    Args:
        is_bare: the row has no brackets: that of a SELECT.
    """
    if not any(are_sensitive):
        return at
    while is_bare or text[at : at + 1] in ("(", "["):
        at += not is_bare
        for column in are_sensitive:
            end = _end_of_value(text, at)
            if column and (found := _shown(text, at, end)) is not None:
                yield found
            at = end
            if text[at : at + 1] != ",":
                break
            at += 1
        if is_bare or text[at : at + 1] not in (")", "]"):
            return at
        at += 1
        at = _NEXT_ROW.match(text, at).end()  # type: ignore[union-attr]  # it matches anything
    return at


def _end_of_value(text: str, at: int) -> int:
    """Return the offset of a value's end: a comma or bracket of its row, or the end of what is searched."""
    depth, place = 0, at
    while (piece := _PIECE.search(text, place)) is not None and piece.start() <= at + _LONGEST:
        place, sign = piece.end(), piece[0]
        if sign in ("(", "["):
            depth += 1
        elif depth == 0 and sign in _ENDS:
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
