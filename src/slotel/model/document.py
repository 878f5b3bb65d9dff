"""slotel.yaml as it is written: its shape, checked place by place. Builds nothing, decides nothing.

Importing it costs about 50 ms (cattrs, ruamel.yaml); a service without a file never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NewType

from cattrs import Converter
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from slotel.model.duration import parse_duration
from slotel.model.problem import Problem
from slotel.model.ratio import parse_limit, parse_objective, parse_ratio
from slotel.model.sampling import SENTRY_MODES, Keep, parse_keep
from slotel.model.slo import DAY, Period

Objective = NewType("Objective", float)
Limit = NewType("Limit", float)
Ratio = NewType("Ratio", float)
Seconds = NewType("Seconds", float)
Text = NewType("Text", str)
Name = NewType("Name", str)
Pattern = NewType("Pattern", str)
Values = NewType("Values", tuple)  # type: ignore[type-arg]  # NewType takes no parameters
Version = NewType("Version", int)

MAX_CHARACTERS: Final = 1_000_000
PERIODS: Final = {"month": Period(30 * DAY, "month"), "quarter": Period(90 * DAY, "quarter")}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class RuleDoc:
    """A required tag."""

    default: Text | None = None
    allowed: Values = Values(())
    pattern: Pattern | None = None


@dataclass(frozen=True)
class TagsDoc:
    """The part `tags`."""

    set: dict[str, Text] = field(default_factory=dict)
    required: dict[str, RuleDoc] = field(default_factory=dict)
    redact: list[Text] = field(default_factory=list)
    metric_labels: list[Text] = field(default_factory=list)


@dataclass(frozen=True)
class BadDoc:
    """The part `bad` of an objective."""

    status_error: bool = True
    http_5xx: bool = True
    attributes: dict[str, Values] = field(default_factory=dict)


@dataclass(frozen=True)
class SlicesDoc:
    """The part `time_slices` of an objective."""

    length: Seconds = Seconds(60.0)
    limit: Ratio = Ratio(0.05)


@dataclass(frozen=True)
class SloDoc:
    """One of `slos`."""

    name: Name
    objective: Objective | None = None
    error_budget: Limit | None = None
    latency: Seconds | None = None
    period: Period = field(default_factory=Period)
    window: Seconds | None = None
    kinds: Values = Values(())
    include: dict[str, Values] = field(default_factory=dict)
    exclude: dict[str, Values] = field(default_factory=dict)
    bad: BadDoc = field(default_factory=BadDoc)
    time_slices: SlicesDoc | None = None
    description: Text = Text("")
    runbook: Text = Text("")

    def __post_init__(self) -> None:
        if (self.objective is None) == (self.error_budget is None):
            raise ValueError("give one of objective (99.9%) and error_budget (0.1%)")


@dataclass(frozen=True)
class SentryDoc:
    """The part `sentry`."""

    traces_sample_rate: Ratio | None = None
    mode: Text | None = None
    keep: tuple[Keep, ...] | None = None
    keep_per_minute: int | None = None

    def __post_init__(self) -> None:
        if self.mode is not None and self.mode not in SENTRY_MODES:
            raise ValueError(f"mode is one of {', '.join(SENTRY_MODES)}, not {self.mode!r}")


@dataclass(frozen=True)
class Document:
    """slotel.yaml as a whole."""

    version: Version = Version(1)
    service: Text | None = None
    tags: TagsDoc = field(default_factory=TagsDoc)
    slos: list[SloDoc] = field(default_factory=list)
    sentry: SentryDoc = field(default_factory=SentryDoc)


def read_document(text: str, source: str) -> tuple[Document, tuple[Problem, ...]]:
    """Return what the text says, and what is wrong with it; a wrong part is left out, the rest stands.

    Args:
        source: the file's name, as problems name it.
    """
    if len(text) > MAX_CHARACTERS:
        return Document(), (Problem(source, f"a configuration has at most {MAX_CHARACTERS:,} characters"),)
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return Document(), (Problem(f"{source}:{line}", f"not valid YAML: {_one_line(error.problem)}"),)
    except YAMLError as error:
        return Document(), (Problem(source, f"not valid YAML: {_one_line(error)}"),)
    if tree is None:
        return Document(), ()
    if not isinstance(tree, Mapping):
        return Document(), (
            Problem(f"{source}:1", "expected a mapping such as 'version: 1', got " + _kind(tree)),
        )
    return _structure_what_stands(tree, source)


def _structure_what_stands(tree: Any, source: str) -> tuple[Document, tuple[Problem, ...]]:
    """Cut out each wrong place, then its parent if that is still wrong, until the rest can be read."""
    document, faults = _structure(tree)
    ordered = sorted(faults, key=lambda fault: len(fault[0]), reverse=True)
    problems = tuple(Problem(_place(tree, source, steps), text) for steps, text in ordered)
    while faults:  # what is wrong only because something was cut is no news
        cut = [_cut(tree, steps) for steps, _ in sorted(faults, key=_from_the_end, reverse=True)]
        if not all(cut):
            break
        document, faults = _structure(tree)
    return document, problems


def _structure(tree: Any) -> tuple[Document, list[tuple[tuple[Any, ...], str]]]:
    try:
        return _CONVERTER.structure(tree, Document), []
    except Exception as error:  # noqa: BLE001 cattrs raises groups of whatever the hooks raise
        return Document(), list(_faults(error, ()))


def _from_the_end(fault: tuple[tuple[Any, ...], str]) -> list[tuple[bool, Any]]:
    """Order so that a later item of a list is cut before an earlier one."""
    return [(isinstance(step, int), step) for step in fault[0]]


def _faults(error: BaseException, steps: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield the path and the expectation of each single fault in cattrs' tree of exceptions."""
    if isinstance(error, ForbiddenExtraKeysError):
        known = ", ".join(sorted(getattr(error.cl, "__dataclass_fields__", {})))
        for key in sorted(error.extra_fields):
            yield (*steps, key), f"unknown key, known are: {known}"
    elif isinstance(error, ClassValidationError):
        placed, unplaced = error.group_exceptions()
        for inner, attribute in placed:
            yield from _faults(inner, (*steps, attribute.name))
        for whole in unplaced:
            yield from _faults(whole, steps)
    elif isinstance(error, IterableValidationError):
        for inner, item in error.group_exceptions()[0]:
            yield from _faults(inner, (*steps, item.index))
    else:
        yield steps, _expectation(error)


def _place(tree: Any, source: str, steps: tuple[Any, ...]) -> str:
    line, node, path = 0, tree, ""
    for step in steps:
        if not _has(node, step):
            break
        position = getattr(node, "lc", None)
        if position is not None and position.data and step in position.data:
            line = position.data[step][0]
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
        node = node[step]
    return f"{source}:{line + 1} {path}".rstrip()


def _cut(tree: Any, steps: tuple[Any, ...]) -> bool:
    """Remove the place from the tree: the deepest step that is there. False if nothing was removed."""
    node, parent, last = tree, None, None
    for step in steps:
        if not _has(node, step):
            break
        node, parent, last = node[step], node, step
    if parent is None:
        return False
    del parent[last]
    return True


def _has(node: Any, step: Any) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, Mapping) and step in node


def _expectation(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!s} is missing"
    return _one_line(error.args[0] if error.args else type(error).__name__)


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else f"{value!r}"


def _text(value: Any, _type: Any) -> str:
    if isinstance(value, (Mapping, list)) or value is None:
        raise ValueError(f"expected text, got {_kind(value)}")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _name(value: Any, _type: Any) -> str:
    text = _text(value, None)
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{text!r}: a name has letters, digits, '_', '.', '-', starts with a letter or digit, at most 63"
        )
    return text


def _values(value: Any, _type: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(_text(item, None) for item in items)


def _pattern(value: Any, _type: Any) -> str:
    text = _text(value, None)
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error
    return text


def _ratio(value: Any, _type: Any) -> float:
    ratio = parse_ratio(value)
    if not 0 <= ratio <= 1:
        raise ValueError(f"{value!r}: a ratio lies between 0 and 1; write for example '5%' or '0.05'")
    return float(ratio)


def _period(value: Any, _type: Any) -> Period:
    if str(value) in PERIODS:
        return PERIODS[str(value)]
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{value!r}: a period is 7d, 28d, 30d, 90d, month or quarter") from error
    if seconds < DAY:
        raise ValueError(f"{value!r}: a period is at least 1d")
    return Period(seconds)


def _version(value: Any, _type: Any) -> int:
    if value != 1:
        raise ValueError(f"version {value!r} is not known: write 'version: 1'")
    return 1


def _strict(kind: type, name: str) -> Any:
    def check(value: Any, _type: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"expected {name}, got {_kind(value)}")
        return value

    return check


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    hooks: dict[Any, Any] = {
        Objective: lambda value, _: float(parse_objective(value)),
        Limit: lambda value, _: float(parse_limit(value)),
        Ratio: _ratio,
        Seconds: lambda value, _: parse_duration(value),
        Text: _text,
        Name: _name,
        Pattern: _pattern,
        Values: _values,
        Version: _version,
        Period: _period,
        Keep: lambda value, _: parse_keep(str(value)),
        bool: _strict(bool, "true or false"),
        int: _strict(int, "a whole number"),
    }
    for type_, hook in hooks.items():
        converter.register_structure_hook(type_, hook)
    return converter


_CONVERTER: Final = _converter()
