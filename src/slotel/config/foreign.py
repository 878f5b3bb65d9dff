"""Objectives in others' files, read as far as they mean the same here: what every such reader shares. Opens no file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from slotel.config.document import place_of
from slotel.config.names import ERROR_BUDGET_LIMIT
from slotel.config.parsers import parse_name
from slotel.config.problem import Problem
from slotel.config.service import Reading, Service, read_service
from slotel.config.slo import SECONDS, Queries, Slo

WINDOW: Final = "{{.window}}"
"""Sloth's placeholder for the window; slotel asks for it in every query."""

NO_WORDS: Final = "left out"
_SELECTOR: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[^{}]*\})?")
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|[()\[\]{}"\'`]')
_RATE: Final = re.compile(r"\b(rate|increase)\s*\(")


@dataclass(slots=True)
class Findings:
    """What reading one foreign file found so far.

    Args:
        refused: features that would change an objective's meaning: its objective is left out.
        ignored: features that slotel has its own of; a sentence each.
        names: of the objectives that were read.
    """

    tree: Any
    source: str
    refused: list[Problem] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def refuse(self, steps: tuple[Any, ...], reason: str) -> None:
        """Say why the feature at this place cannot be had."""
        self.refused.append(Problem(place_of(self.tree, self.source, steps), reason, NO_WORDS))

    def ignore(self, steps: tuple[Any, ...], reason: str) -> None:
        """Say what stands in the place of this feature."""
        self.ignored.append(f"{place_of(self.tree, self.source, steps)}: {reason}")


class Refused(Exception):  # noqa: N818 it is no error of the program
    """A feature that cannot be had: where, and why."""

    def __init__(self, steps: tuple[Any, ...], reason: str) -> None:
        super().__init__(reason)
        self.steps = steps


def known(part: Mapping[str, Any], keys: Sequence[str], steps: tuple[Any, ...]) -> None:
    """Check that a part has no other keys.

    Raises:
        Refused: it has one, or is no mapping.
    """
    if not isinstance(part, Mapping):
        raise Refused(steps, "expected a mapping")
    for key in part:
        if key not in keys:
            raise Refused((*steps, key), f"unknown key, known are: {', '.join(sorted(keys))}")


def queries(bad: str, total: str, bad_at: tuple[Any, ...], total_at: tuple[Any, ...]) -> Queries:
    """Return the queries of an objective as counts of events.

    Raises:
        Refused: one of them has no window, or is no rate or increase.
    """
    return Queries(_counted(bad, bad_at), _counted(total, total_at), WINDOW)


def over_window(query: str, *, is_counter: bool) -> str:
    """Return a query over the window: a plain selector of a counter becomes its increase."""
    text = query.strip()
    if is_counter and _SELECTOR.fullmatch(text):
        return f"sum(increase({text}[{WINDOW}]))"
    return text


def _counted(query: str, steps: tuple[Any, ...]) -> str:
    """Return the query as a number of events in the window: a rate times its seconds."""
    text = " ".join(query.replace("{{ .window }}", WINDOW).split())
    if WINDOW not in text:
        raise Refused(steps, f"a query holds its window as [{WINDOW}]: slotel asks for many windows")
    if not _is_balanced(text):
        raise Refused(steps, "the query's brackets or quotes do not match")
    kinds = set(_RATE.findall(text))
    if kinds == {"increase"}:
        return f"sum({text})"
    if kinds == {"rate"}:
        return f"sum({text}) * {SECONDS}"
    raise Refused(steps, "a query counts events by rate(…) or by increase(…), one of them")


def _is_balanced(query: str) -> bool:
    """Return whether brackets and quotes match; more of PromQL is Prometheus' to check."""
    closing, open_ = {")": "(", "]": "[", "}": "{"}, []
    for found in _BRACKETS.findall(query):
        if found in closing.values():
            open_.append(found)
        elif found in closing:
            if not open_ or open_.pop() != closing[found]:
                return False
        elif len(found) == 1:  # a quote without its end
            return False
    return not open_


def reading_of(environ: Mapping[str, str], name: object, slos: list[Slo], findings: Findings) -> Reading:
    """Return the service of a foreign file with the environment's words; ERROR_BUDGET_LIMIT has no say in it."""
    reading = read_service({key: value for key, value in environ.items() if key != ERROR_BUDGET_LIMIT})
    if name is not None and not isinstance(name, str):
        findings.refuse(("service",), "expected the service's name")
        name = None
    if not slos and not findings.refused:
        findings.refuse((), "there is no objective in it")
    service: Service = replace(reading.service, name=name, slos=tuple(slos))
    return Reading(service, (*findings.refused, *reading.problems), tuple(findings.ignored))


def _named(slo: Slo, steps: tuple[Any, ...], names: set[str]) -> Slo:
    if parse_name(slo.name) in names:
        raise Refused(steps, f"two objectives are named '{slo.name}': names are unique")
    names.add(slo.name)
    return slo


def each(
    items: Any, read: Callable[[Any, tuple[Any, ...]], Slo], findings: Findings, at: tuple[Any, ...]
) -> list[Slo]:
    """Read every item of a list; one that is refused is named and left out."""
    found: list[Slo] = []
    if not isinstance(items, list):
        findings.refuse(at, "expected a list of objectives")
        return found
    for index, item in enumerate(items):
        steps = (*at, index)
        try:
            found.append(_named(read(item, steps), steps, findings.names))
        except Refused as refused:
            findings.refuse(refused.steps, str(refused))
        except ValueError as error:
            findings.refuse(steps, str(error))
        except KeyError as error:
            findings.refuse(steps, f"{error.args[0]} is missing")
        except (TypeError, AttributeError, IndexError) as error:
            findings.refuse(steps, f"a part has another shape than the format gives it: {error}")
    return found
