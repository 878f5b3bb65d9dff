"""Collects the results of reading other tools' files: objectives by service, refused parts and why. Opens no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, NamedTuple

from ruamel.yaml.scalarbool import ScalarBoolean

from slotel.config.file.document import place_of
from slotel.config.file.schema import parse_name
from slotel.config.foreign.counts import Count
from slotel.config.foreign.promql import UnsupportedQueryError
from slotel.config.foreign.templates import fault_of
from slotel.config.monitoring import LABEL_NAME, RESERVED_LABELS
from slotel.config.names import ERROR_BUDGET_LIMIT
from slotel.config.problem import Problem
from slotel.config.ratio import parse_ratio
from slotel.config.service import Reading, read_service
from slotel.config.slo import ZERO, Queries, Slo

Steps = tuple[Any, ...]

LEFT_OUT: Final = "left out"
_LEAST: Final = Fraction(1, 100)


class Part(NamedTuple):
    """A document of a file.

    Args:
        root: what ruamel.yaml read, for lines.
        steps: from the root to the document.
        format: what it is in, for people: `Sloth`.
    """

    root: Any
    source: str
    steps: Steps
    node: Mapping[str, Any]
    format: str

    def place(self, steps: Steps = ()) -> str:
        """Return the place of something in the document, as problems name it."""
        return place_of(self.root, self.source, (*self.steps, *steps))


class RefusedError(Exception):
    """A feature that would mean something else: where in the document, and why."""

    def __init__(self, steps: Steps, reason: str) -> None:
        super().__init__(reason)
        self.steps = steps


@dataclass(slots=True)
class Findings:
    """The results until now, by the service's name; None where no service is known."""

    slos: dict[str | None, list[Slo]] = field(default_factory=dict)
    refused: dict[str | None, list[Problem]] = field(default_factory=dict)
    ignored: dict[str | None, list[str]] = field(default_factory=dict)

    def add(self, service: str, part: Part, slo: Slo, steps: Steps) -> None:
        """Take an objective, if its name is new. Its own labels give way to those of its groups.

        Raises:
            RefusedError: there is one of this name.
        """
        parse_name(slo.name)
        known = self.slos.setdefault(service, [])
        if any(each.name == slo.name for each in known):
            raise RefusedError(
                steps, f"two objectives of '{service}' are named '{slo.name}': names are unique"
            )
        groups = slo.queries.groups if slo.queries is not None else ()
        for label in slo.labels.keys() & {*groups}:
            self.ignore(
                service,
                part,
                (*steps, "labels", label),
                f"the queries group by '{label}': their value is kept",
            )
        known.append(
            replace(slo, labels={key: text for key, text in slo.labels.items() if key not in groups})
        )

    def refuse(self, service: str | None, part: Part, steps: Steps, reason: str) -> None:
        """Say why what stands at this place cannot be had."""
        problem = Problem(part.place(steps), f"{reason} ({part.format})", LEFT_OUT)
        self.refused.setdefault(service, []).append(problem)

    def ignore(self, service: str | None, part: Part, steps: Steps, reason: str) -> None:
        """Say what stands in the place of this feature."""
        self.ignored.setdefault(service, []).append(f"{part.place(steps)}: {reason}")

    @contextmanager
    def attempt(self, service: str | None, part: Part, steps: Steps) -> Iterator[None]:
        """Read a part within it: what is wrong with the part is named, and the part is left out."""
        try:
            yield
        except RefusedError as refused:
            self.refuse(service, part, refused.steps, str(refused))
        except ValueError as error:
            self.refuse(service, part, steps, str(error))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            missing = error.args[0] if isinstance(error, KeyError) else None
            shape = f"a part has another shape than the format gives it: {error}"
            self.refuse(service, part, steps, f"{missing} is missing" if isinstance(missing, str) else shape)

    def readings(self, environ: Mapping[str, str]) -> tuple[Reading, ...]:
        """Return a reading for each service, with the environment; ERROR_BUDGET_LIMIT has no say in it."""
        kept = {key: value for key, value in environ.items() if key != ERROR_BUDGET_LIMIT}
        names = dict.fromkeys((*self.slos, *self.refused, *self.ignored))
        found = []
        for name in names:
            reading = read_service(kept)
            service = replace(reading.service, name=name, slos=tuple(self.slos.get(name, ())))
            problems = (*self.refused.get(name, ()), *reading.problems)
            found.append(Reading(service, problems, tuple(self.ignored.get(name, ()))))
        return tuple(found)


def known(part: Any, keys: Sequence[str], steps: Steps) -> Mapping[str, Any]:
    """Return the part, which has no other keys.

    Raises:
        RefusedError: it has one, or is no mapping.
    """
    if not isinstance(part, Mapping):
        raise RefusedError(steps, "expected a mapping")
    for key in part:
        if key not in keys:
            raise RefusedError((*steps, key), f"unknown key, known are: {', '.join(sorted(keys))}")
    return part


def mapping(part: Any, steps: Steps) -> Mapping[str, Any]:
    """Return a mapping; an empty one for nothing.

    Raises:
        RefusedError: it is something else.
    """
    if part is None:
        return {}
    if not isinstance(part, Mapping):
        raise RefusedError(steps, "expected a mapping")
    return part


_FLAGS: Final = {"yes": True, "on": True, "no": False, "off": False}
"""What Go's parser takes for true and false, too. Source: YAML 1.1, `!!bool`."""


def flag(value: object, steps: Steps) -> bool:
    """Return true or false; false for nothing.

    Raises:
        RefusedError: it is something else: `"false"` is a text, and not false.
    """
    if isinstance(value, str):
        value = _FLAGS.get(value.lower(), value)
    if value is not None and not isinstance(value, (bool, ScalarBoolean)):
        raise RefusedError(steps, f"expected true or false, not {str(value)[:20]!r}")
    return bool(value)


def percentage(value: object, steps: Steps) -> Fraction:
    """Return the ratio of an objective that is given in percent, as Sloth and Pyrra have it: 99.9 is 0.999.

    Raises:
        RefusedError: it is none between 0 and 100, or at most 1: then a ratio was written.
    """
    objective = parse_ratio(str(value).strip().removesuffix("%")) / 100
    if not 0 < objective < 1:
        raise RefusedError(steps, "an objective is a percentage above 0 and below 100")
    if objective <= _LEAST:
        meant = float(objective * 10_000)
        raise RefusedError(
            steps, f"{value} is a percentage here, and hardly meant: write {meant:.10g} for {value}"
        )
    return objective


def texts(part: Any, steps: Steps) -> dict[str, str]:
    """Return a mapping of label or annotation names to texts.

    Raises:
        RefusedError: it is none, or a name or a template is none for Prometheus.
    """
    found = {}
    for key, value in mapping(part, steps).items():
        if not LABEL_NAME.fullmatch(str(key)) or key == "__name__":
            raise RefusedError((*steps, key), f"Prometheus refuses the name {str(key)!r}")
        if isinstance(value, (Mapping, list)) or value is None:
            raise RefusedError((*steps, key), "expected text")
        found[str(key)] = text = str(value).lower() if isinstance(value, bool) else written(value)
        fault = fault_of(text)
        if fault:
            raise RefusedError((*steps, key), f"Prometheus refuses the template: {fault}")
    return found


def written(value: object) -> str:
    """Return a value as the file spells it: `1.10` is a number for YAML."""
    return str(getattr(value, "written", None) or value)


def read_query(read: Callable[..., Any], query: Any, steps: Steps, **how: bool) -> Any:
    """Return what `read` makes of a query.

    Raises:
        RefusedError: it is none that can be counted, with line and column.
    """
    if not isinstance(query, str):
        raise RefusedError(steps, "expected a query as text")
    try:
        return read(query, **how)
    except UnsupportedQueryError as error:
        raise RefusedError(steps, str(error)) from error


def queries_of(bad: Count, total: Count, steps: Steps) -> Queries:
    """Return an indicator of two numbers of events.

    Raises:
        RefusedError: they are grouped by different labels, or by one that the rules write.
    """
    if bad.groups != total.groups:
        raise RefusedError(
            steps,
            f"bad events by ({', '.join(bad.groups)}), all events by ({', '.join(total.groups)}): "
            "give both the same labels",
        )
    for label in set(bad.groups) & RESERVED_LABELS:
        bad, total = _exported(bad, label, steps), _exported(total, label, steps)
    return Queries(bad.text, total.text, groups=checked_groups(bad.groups, steps), operands=bad.operands)


def _exported(found: Count, label: str, steps: Steps) -> Count:
    """Return a count whose group has a label under another name, as Prometheus names one that is taken."""
    if ZERO in found.text:
        checked_groups(found.groups, steps)
    other = f"exported_{label}"
    groups = tuple(sorted(other if each == label else each for each in found.groups))
    renamed = f'label_replace({found.text}, "{other}", "$1", "{label}", "(.*)")'
    return replace(found, text=f"sum by ({', '.join(groups)}) ({renamed})", groups=groups)


def checked_groups(groups: tuple[str, ...], steps: Steps) -> tuple[str, ...]:
    """Return the labels of a group.

    Raises:
        RefusedError: one is written by the rules, or is none for a template.
    """
    for label in groups:
        if label in RESERVED_LABELS:
            raise RefusedError(
                steps, f"grouped by '{label}', a label of the rules' own: rename it with label_replace"
            )
        if not LABEL_NAME.fullmatch(label):
            raise RefusedError(steps, f"grouped by {label!r}: a label of letters, digits and '_' is needed")
    return groups
