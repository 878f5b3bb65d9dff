"""The shape of slotel.yaml: its parts, and the spelling of each single value. Knows nothing of files or lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NewType

from cattrs import Converter

from slotel.model.duration import parse_duration
from slotel.model.monitoring import RESERVED_LABELS, SOURCES
from slotel.model.ratio import parse_limit, parse_objective, parse_ratio
from slotel.model.sampling import LONGEST_LATE_WAIT, SENTRY_MODES, Keep, parse_keep
from slotel.model.slo import DAY, SPAN_KINDS, Period
from slotel.model.spelling import parse_name, parse_slice_length, parse_window

Objective = NewType("Objective", float)
Limit = NewType("Limit", float)
Ratio = NewType("Ratio", float)
Seconds = NewType("Seconds", float)
Window = NewType("Window", float)
SliceLength = NewType("SliceLength", float)
Text = NewType("Text", str)
Name = NewType("Name", str)
Pattern = NewType("Pattern", str)
Values = NewType("Values", tuple)  # type: ignore[type-arg]  # NewType takes no parameters
Kinds = NewType("Kinds", tuple)  # type: ignore[type-arg]  # NewType takes no parameters
Url = NewType("Url", str)
Version = NewType("Version", int)

PERIODS: Final = {"month": Period(30 * DAY, "month"), "quarter": Period(90 * DAY, "quarter")}
_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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

    length: SliceLength = SliceLength(60.0)
    limit: Ratio = Ratio(0.05)


@dataclass(frozen=True)
class SloDoc:
    """One of `slos`."""

    name: Name
    objective: Objective | None = None
    error_budget: Limit | None = None
    latency: Seconds | None = None
    period: Period = field(default_factory=Period)
    window: Window | None = None
    kinds: Kinds = Kinds(())
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
    late_wait: Seconds | None = None

    def __post_init__(self) -> None:
        if self.late_wait is not None and self.late_wait > LONGEST_LATE_WAIT:
            raise ValueError("late_wait is at most 10s")
        if self.mode is not None and self.mode not in SENTRY_MODES:
            raise ValueError(f"mode is one of {', '.join(SENTRY_MODES)}, not {self.mode!r}")


@dataclass(frozen=True)
class MonitoringDoc:
    """The part `monitoring`."""

    source: Text = Text("slo_events")
    match: dict[str, Text] = field(default_factory=dict)
    sentry_url: Url = Url("")
    grafana_url: Url = Url("")
    runbook_url: Url = Url("")

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"source is one of {', '.join(SOURCES)}, not {self.source!r}")
        for name in self.match:
            if not _LABEL.fullmatch(name):
                raise ValueError(
                    f"match: Prometheus refuses the label name {name!r}: letters, digits and '_'"
                )
            if name in RESERVED_LABELS:
                raise ValueError(f"match: the label {name!r} is written by the rules or the objective itself")


@dataclass(frozen=True)
class Document:
    """slotel.yaml as a whole."""

    version: Version = Version(1)
    service: Text | None = None
    tags: TagsDoc = field(default_factory=TagsDoc)
    slos: list[SloDoc] = field(default_factory=list)
    sentry: SentryDoc = field(default_factory=SentryDoc)
    monitoring: MonitoringDoc = field(default_factory=MonitoringDoc)


def kind_of(value: object) -> str:
    """Return what a value of YAML is, for people."""
    if isinstance(value, Mapping):
        return "a mapping"
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, list) else f"{value!r}"


def _text(value: Any, _type: Any) -> str:
    if isinstance(value, (Mapping, list)) or value is None:
        raise ValueError(f"expected text, got {kind_of(value)}")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _name(value: Any, _type: Any) -> str:
    return parse_name(_text(value, None))


def _url(value: Any, _type: Any) -> str:
    text = _text(value, None).rstrip("/")
    if text and not text.startswith(("https://", "http://")):
        raise ValueError(f"{text!r}: an address starts with https:// or http://")
    return text


def _values(value: Any, _type: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("an empty list matches nothing: give a value, or leave the key out")
    return tuple(_text(item, None) for item in items)


def _kinds(value: Any, _type: Any) -> tuple[str, ...]:
    kinds = _values(value, None)
    for kind in kinds:
        if kind not in SPAN_KINDS:
            raise ValueError(f"{kind!r} is no kind of span: write some of {', '.join(SPAN_KINDS)}")
    return kinds


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
    if str(value).startswith("prometheus/"):
        raise ValueError(f"{value!r} is Sloth's: slotel generate compiles it, a service needs slotel.yaml")
    if value != 1:
        raise ValueError(f"version {value!r} is not known: write 'version: 1'")
    return 1


def _strict(kind: type, name: str) -> Any:
    def check(value: Any, _type: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"expected {name}, got {kind_of(value)}")
        return value

    return check


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    hooks: dict[Any, Any] = {
        Objective: lambda value, _: float(parse_objective(value)),
        Limit: lambda value, _: float(parse_limit(value)),
        Ratio: _ratio,
        Seconds: lambda value, _: parse_duration(value),
        Window: lambda value, _: parse_window(value),
        SliceLength: lambda value, _: parse_slice_length(value),
        Text: _text,
        Name: _name,
        Pattern: _pattern,
        Url: _url,
        Values: _values,
        Kinds: _kinds,
        Version: _version,
        Period: _period,
        Keep: lambda value, _: parse_keep(str(value)),
        bool: _strict(bool, "true or false"),
        int: _strict(int, "a whole number"),
    }
    for type_, hook in hooks.items():
        converter.register_structure_hook(type_, hook)
    return converter


CONVERTER: Final = _converter()
"""Raises groups of exceptions; each leaf's text is what was expected."""
