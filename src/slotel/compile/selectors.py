"""Reads a query as what it adds up: selectors of counters, each with a sign. No PromQL beyond sums of rates is read."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<window>\[\s*\{\{\s*\.window\s*\}\}\s*\])|(?P<seconds>\{\{\.seconds\}\})|(?P<number>\d+(?:\.\d+)?)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)|(?P<word>[A-Za-z_:][A-Za-z0-9_:.]*)
    |(?P<sign>=~|!~|!=|[-+*/(){},=]))""",
    re.VERBOSE,
)
_RATES: Final = frozenset({"rate", "increase"})
_SUMS: Final = frozenset({"sum", "clamp_min"})


class Unread(ValueError):  # noqa: N818 it is no error of the program
    """A query is beyond this reader; the text says why."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label: `=`, `!=`, `=~` or `!~`."""

    label: str
    sign: str
    value: str

    def holds(self, value: str) -> bool:
        """Return whether a label value fulfils it; a missing label is ''."""
        if self.sign in {"=", "!="}:
            return (value == self.value) == (self.sign == "=")
        return (re.fullmatch(self.value, value) is not None) == (self.sign == "=~")


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one metric."""

    metric: str
    matchers: tuple[Matcher, ...]

    def selects(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Return whether a series is selected."""
        return metric == self.metric and all(each.holds(labels.get(each.label, "")) for each in self.matchers)


@dataclass(frozen=True, slots=True)
class Term:
    """A selector's increase over the window, and how often the query adds it: 1, −1."""

    factor: float
    selector: Selector


def terms(query: str) -> tuple[Term, ...]:
    """Return what a query of events in a window adds up.

    Of `a or b` it is `a`, for `b` stands in where there is no series. A rate times its seconds is an increase.

    Raises:
        Unread: it is more than sums and differences of rates or increases.

    >>> [found] = terms('sum(rate(requests_total{code=~"5.."}[{{.window}}])) * {{.seconds}}')
    >>> found.factor, found.selector.metric, found.selector.matchers[0].sign
    (1.0, 'requests_total', '=~')
    """
    reader = _Reader(query)
    try:
        found = tuple(reader.sum())
    except RecursionError as error:
        raise Unread("it is nested too deeply") from error
    if reader.word:
        raise Unread(f"'{reader.word}' is not read")
    if not found:
        raise Unread("it selects no counter")
    return found


class _Reader:
    """A recursive descent over the tokens; `word` is the token at hand, '' at the end."""

    def __init__(self, query: str) -> None:
        self._tokens = self._split(query)
        self.kind = self.word = ""
        self._next()

    @staticmethod
    def _split(query: str) -> Iterator[tuple[str, str]]:
        at, query = 0, query.strip()
        while at < len(query):
            found = _TOKEN.match(query, at)
            if found is None:
                raise Unread(f"'{query[at : at + 20]}' is not read")
            at = found.end()
            yield found.lastgroup or "", found[found.lastgroup or 0]

    def _next(self) -> str:
        """Return the token at hand and go on."""
        word = self.word
        self.kind, self.word = next(self._tokens, ("", ""))
        return word

    def _expect(self, word: str) -> None:
        if self.word != word or self.kind == "text":
            raise Unread(f"expected '{word}', there is '{self.word}'")
        self._next()

    def sum(self) -> Iterator[Term]:
        """Read `product (+|-|or product)*`."""
        found = list(self._product())
        while self.word in {"+", "-", "or"}:
            sign = self._next()
            more = list(self._product())
            if sign != "or":
                found += [Term(-each.factor if sign == "-" else each.factor, each.selector) for each in more]
        yield from found

    def _product(self) -> Iterator[Term]:
        """Read `operand ((*|/) operand)*`, of which one at most selects anything."""
        found, factor = list(self._operand()), 1.0
        if not found:
            factor = self._number
        while self.word in {"*", "/"}:
            sign = self._next()
            more = list(self._operand())
            if more and (found or sign == "/"):
                raise Unread("it multiplies or divides counters")
            if sign == "/" and not self._number:
                raise Unread("it divides by 0")
            if more:
                found = more
            else:
                factor = factor * self._number if sign == "*" else factor / self._number
        yield from (Term(each.factor * factor, each.selector) for each in found if factor)

    _number: float = 1.0
    """The value of the operand that was read last, if it was a number."""

    def _operand(self) -> Iterator[Term]:
        if self.kind in {"number", "seconds"}:
            self._number = float(self.word) if self.kind == "number" else 1.0
            self._next()
            return
        if self.word == "(":
            self._next()
            yield from self.sum()
            self._expect(")")
            return
        if self.kind != "word":
            raise Unread(f"'{self.word}' is not read")
        name = self._next()
        if name in _SUMS:
            yield from self._aggregated()
        elif name == "vector":
            self._labels()
            self._number = 0.0
        elif name in _RATES:
            self._expect("(")
            yield Term(1.0, self._selector())
            self._expect(")")
        else:
            raise Unread(f"'{name}' is no sum of rates or increases")

    def _aggregated(self) -> Iterator[Term]:
        if self.word in {"by", "without"}:
            self._next()
            self._labels()
        self._expect("(")
        yield from self.sum()
        if self.word == ",":  # the bound of clamp_min
            self._next()
            list(self._operand())
        self._expect(")")
        if self.word in {"by", "without"}:
            self._next()
            self._labels()

    def _labels(self) -> None:
        self._expect("(")
        while self.word not in {")", ""}:
            self._next()
        self._expect(")")

    def _selector(self) -> Selector:
        metric = self._next() if self.kind == "word" else ""
        matchers: list[Matcher] = []
        if self.word == "{":
            self._next()
            while self.word not in {"}", ""}:
                label, sign = self._next(), self._next()
                if self.kind != "text":
                    raise Unread(f"'{self.word}' is no label value")
                matchers.append(_matcher(label, sign, self._next()))
                if self.word == ",":
                    self._next()
            self._expect("}")
        if self.kind != "window":
            raise Unread("a rate is over [{{.window}}], without offset")
        self._next()
        named = [each for each in matchers if each.label == "__name__"]
        if not metric and len(named) == 1 and named[0].sign == "=":
            metric = named[0].value
        if not metric:
            raise Unread("a selector has no metric name")
        return Selector(metric, tuple(each for each in matchers if each.label != "__name__"))


def _matcher(label: str, sign: str, quoted: str) -> Matcher:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python warns of may mean something else to Prometheus
            value = quoted[1:-1] if quoted[0] == "`" else str(ast.literal_eval(quoted))
            if sign in {"=~", "!~"}:
                re.compile(value)
    except (ValueError, SyntaxError, re.error, Warning) as error:
        raise Unread(f"{quoted} is not read: {error}") from error
    if sign not in {"=", "!=", "=~", "!~"}:
        raise Unread(f"'{sign}' is no comparison of a label")
    return Matcher(label, sign, value)
