"""Series that an objective's queries count as one good event, or as one bad event: for the tests of foreign objectives.

It reads the queries' selectors (`config/foreign/parsing.py`), makes label values that fulfil or fail their
conditions, and keeps what adds up: a good event is 1 of all and 0 of the bad, a bad event 1 of both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, islice, product
from typing import Any, Final

from slotel.compile.promql import equal, series
from slotel.compile.upstream import parse_regex
from slotel.config.foreign.parsing import Selector, Term, terms
from slotel.config.foreign.promql import Matcher, UnsupportedQueryError
from slotel.config.slo import Queries

_MOST_EXAMPLES: Final = 8


@dataclass(frozen=True, slots=True)
class ExampleSeries:
    """The series that go up by one with a good event, and those with a bad one.

    Args:
        group: the values of the group's labels in all of them.
    """

    good: tuple[str, ...]
    bad: tuple[str, ...]
    group: Mapping[str, str] = field(default_factory=dict)


_Candidate = tuple[str, float, float]
"""A series, and how much the bad and all events of the queries go up with it."""


def example_series(queries: Queries) -> ExampleSeries:
    """Return series for a good and for a bad event.

    Raises:
        UnsupportedQueryError: the queries are beyond the reader, or no series were found that add up.
    """
    if queries.ratio:
        raise UnsupportedQueryError("a raw ratio has no events")
    bad, total = terms(queries.bad), terms(queries.total)
    if any(term.function != "increase" for term in (*bad, *total)):
        raise UnsupportedQueryError("it counts samples of a gauge")
    group = _group(queries.groups, (*bad, *total))
    bad, total = _in_group(bad, group), _in_group(total, group)
    selectors = tuple(dict.fromkeys(term.selector for term in (*total, *bad)))
    candidates = list(dict.fromkeys(_candidates(selectors, bad, total)))
    good_event = _adding_up(candidates, bad=0.0, total=1.0)
    bad_event = _adding_up(candidates, bad=1.0, total=1.0)
    if good_event is None or bad_event is None:
        which = "good" if good_event is None else "bad"
        raise UnsupportedQueryError(f"no series were found that make one {which} event")
    return ExampleSeries(good_event, bad_event, group)


def _group(labels: Sequence[str], found: Sequence[Term]) -> dict[str, str]:
    """Return a value for each label of a group: what the selectors ask for, else one of many."""
    group = {}
    for label in labels:
        conditions = [
            (each, True) for term in found for each in term.selector.matchers if each.label == label
        ]
        values = _labels(conditions) if conditions else {label: "one"}
        if values is None:
            raise UnsupportedQueryError(f"no value of {label} fulfils every selector")
        group.update(values)
    return group


def _in_group(found: Sequence[Term], group: Mapping[str, str]) -> tuple[Term, ...]:
    """Return the terms with the group's values as further conditions."""
    more = tuple(Matcher(label, "=", value) for label, value in group.items())
    return tuple(
        replace(
            term,
            selector=replace(term.selector, matchers=tuple(dict.fromkeys((*term.selector.matchers, *more)))),
        )
        for term in found
    )


def _adding_up(candidates: Sequence[_Candidate], *, bad: float, total: float) -> tuple[str, ...] | None:
    for size in (1, 2, 3):
        for chosen in combinations(candidates, size):
            if (sum(each[1] for each in chosen), sum(each[2] for each in chosen)) == (bad, total):
                return tuple(name for name, *_ in chosen)
    return None


def _candidates(
    selectors: Sequence[Selector], bad: Sequence[Term], total: Sequence[Term]
) -> Iterator[_Candidate]:
    """Yield series that fulfil one selector, alone, and with each other one fulfilled or failed."""
    for selector in selectors:
        others = [each for each in selectors if each.metric == selector.metric and each != selector]
        wanted: list[list[tuple[Matcher, bool]]] = [[(each, True) for each in selector.matchers]]
        for other in others:
            wanted.append([*wanted[0], *((each, True) for each in other.matchers)])
            wanted += [[*wanted[0], (each, False)] for each in other.matchers]
        for conditions in wanted:
            labels = _labels(conditions)
            if labels is None:
                continue
            in_bad, in_total = (
                sum(term.factor for term in side if term.selector.selects(selector.metric, labels))
                for side in (bad, total)
            )
            yield series(selector.metric, equal(labels)), in_bad, in_total


def _labels(conditions: Sequence[tuple[Matcher, bool]]) -> dict[str, str] | None:
    """Return labels under which each matcher holds, or fails, as is wanted; None if there are none."""
    found = {}
    for label in dict.fromkeys(matcher.label for matcher, _ in conditions):
        mine = [(matcher, wanted) for matcher, wanted in conditions if matcher.label == label]
        pool = ["", *(text for matcher, _ in mine for text in _values(matcher)), "200", "other"]
        fitting = (text for text in pool if all(matcher.holds(text) == wanted for matcher, wanted in mine))
        value = next(fitting, None)
        if value is None:
            return None
        if value:
            found[label] = value
    return found


def _values(matcher: Matcher) -> list[str]:
    if matcher.sign in {"=", "!="}:
        return [matcher.value]
    try:
        return list(islice(_examples(parse_regex(matcher.value)), _MOST_EXAMPLES))
    except (re.error, UnsupportedQueryError, RecursionError):
        return []


def _examples(parsed: Any) -> Iterator[str]:
    """Yield texts that a regular expression matches; `holds` has the last word on each."""
    parts = [list(islice(_example(str(kind), value), _MOST_EXAMPLES)) for kind, value in parsed]
    for chosen in product(*parts):
        yield "".join(chosen)


def _example(kind: str, value: Any) -> Iterator[str]:
    maker = _MAKERS.get(kind)
    if maker is None:
        raise UnsupportedQueryError(f"a regular expression with {kind.lower()}")
    return maker(value)


def _repeated(value: Any) -> Iterator[str]:
    least, _, inner = value
    for text in _examples(inner):
        yield text * min(max(least, 1), 100)
    if not least:
        yield ""


_MAKERS: Final[dict[str, Callable[[Any], Iterator[str]]]] = {
    "LITERAL": lambda value: iter((chr(value),)),
    "RANGE": lambda value: iter((chr(value[0]),)),
    "ANY": lambda _: iter("0a"),
    "CATEGORY": lambda _: iter("0a"),
    "NOT_LITERAL": lambda _: iter("0a"),
    "NEGATE": lambda _: iter("0a"),
    "AT": lambda _: iter(("",)),
    "IN": lambda items: chain.from_iterable(_example(str(kind), item) for kind, item in items[:2]),
    "BRANCH": lambda value: chain.from_iterable(map(_examples, value[1])),
    "SUBPATTERN": lambda value: _examples(value[3]),
    "MAX_REPEAT": _repeated,
    "MIN_REPEAT": _repeated,
}
"""By the name of a node of a parsed expression: texts that it may match."""
