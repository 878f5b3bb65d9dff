"""The schema of slotel.yaml: the types of its parts, and the parsers of single values.

The parts are named tuples, because creating such a class at the start takes 0.07 ms, and a frozen dataclass 0.5 ms.
"""

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ruamel.yaml.scalarbool import ScalarBoolean

from slotel.config import names
from slotel.config import value_types as v
from slotel.config.duration import parse_duration, parse_scrape_interval, parse_slice_length, parse_window
from slotel.config.file.decode import Parsers, kind_of
from slotel.config.monitoring import LABEL_NAME, RESERVED_LABELS, Monitoring
from slotel.config.ratio import parse_limit, parse_objective, parse_ratio
from slotel.config.redaction.values import DEFAULT_VALUES, VALUE_NAMES, RedactionChoices
from slotel.config.sampling import (
    ErrorDetail,
    Keep,
    RouteRate,
    SentryMode,
    SpanMatch,
    TransactionNames,
    TransactionRoots,
    parse_keep,
    parse_late_wait,
)
from slotel.config.slo import DAY, SPAN_KINDS, BadRules, Period
from slotel.config.tags import TagPolicy, label_name

PERIODS: Final = {"month": Period(30 * DAY, "month"), "quarter": Period(90 * DAY, "quarter")}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
_MOST: Final = 1_000_000
_VARIABLE: Final = re.compile(r"\$\{[A-Za-z_]\w*(:?[-=+?][^}]*)?\}|^\$[A-Z_]+$")
NO_VARIABLES: Final = (
    "variables such as ${NAME} are not replaced here: write the value (of the service: OTEL_SERVICE_NAME)"
)
_QUOTES: Final = tuple("\u201c\u201d\u201e\u2018\u2019\u201a\xab\xbb")


class SlicesDoc(NamedTuple):
    """The part `time_slices` of an objective."""

    length: v.SliceLength = 60.0
    limit: v.Ratio = 0.05


class SloDoc(NamedTuple):
    """One of `slos`."""

    name: v.Name
    objective: v.Objective | None = None
    error_budget: v.Limit | None = None
    latency: v.Seconds | None = None
    period: Period = Period()
    window: v.Window | None = None
    kinds: v.Kinds = ()
    include: Mapping[str, v.Values] = _NOTHING
    exclude: Mapping[str, v.Values] = _NOTHING
    bad: BadRules = BadRules()
    time_slices: SlicesDoc | None = None
    description: str = ""
    runbook: str = ""

    def check(self) -> None:
        """Raise ValueError if there is no one limit."""
        if (self.objective is None) == (self.error_budget is None):
            raise ValueError("give one of objective (99.9%) and error_budget (0.1%)")


class SpansDoc(NamedTuple):
    """The part `spans`."""

    drop: tuple[SpanMatch, ...] = ()


class SentryDoc(NamedTuple):
    """The part `sentry`."""

    traces_sample_rate: v.Ratio | None = None
    mode: SentryMode | None = None
    sample: tuple[RouteRate, ...] = ()
    keep: tuple[Keep, ...] | None = None
    keep_per_minute: v.Count | None = None
    late_wait: v.LateWait | None = None
    error_detail: ErrorDetail = "adaptive"
    roots: TransactionRoots = "requests"
    transaction_names: TransactionNames = "route"
    logs: bool = False
    project: str | None = None


class Document(NamedTuple):
    """slotel.yaml as a whole."""

    version: v.Version = 1
    service: str | None = None
    tags: TagPolicy = TagPolicy()
    redaction: RedactionChoices = RedactionChoices()
    slos: tuple[SloDoc, ...] = ()
    spans: SpansDoc = SpansDoc()
    sentry: SentryDoc = SentryDoc()
    monitoring: Monitoring = Monitoring()


def _text(value: Any) -> str:
    if value is None or isinstance(value, (Mapping, list, tuple, AbstractSet)):
        raise ValueError(f"expected text, got {kind_of(value)}")
    if isinstance(value, (bool, ScalarBoolean)):
        return "true" if value else "false"
    text = getattr(value, "written", None) or str(value)
    if _VARIABLE.search(text) and not any(map(str.isspace, text)):
        raise ValueError(NO_VARIABLES)
    if text.startswith(_QUOTES) and text.endswith(_QUOTES):
        raise ValueError("typographic quotes would be part of the value: write \" or ', or no quotes")
    return text


def _parsed(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: parse(_text(value))


def _shapes(value: Any) -> tuple[str, ...]:
    """`default`, `all`, `none`, or a list of names, in which `default` stands for what is redacted without a choice."""
    known = {
        "default": DEFAULT_VALUES,
        "all": VALUE_NAMES,
        "none": (),
        **{name: (name,) for name in VALUE_NAMES},
    }
    chosen: dict[str, None] = {}
    for name in _values(value):
        if name not in known:
            raise ValueError(f"{name!r} is not known: write some of {', '.join(known)}")
        chosen.update(dict.fromkeys(known[name]))
    return tuple(name for name in VALUE_NAMES if name in chosen)


def parse_name(text: str) -> str:
    """Return the name of an objective.

    Raises:
        ValueError: it would be no good as part of labels, rules and addresses.
    """
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{text!r}: a name has letters, digits, '_', '.', '-', starts with a letter or digit, at most 63"
        )
    return text


def _label(value: Any) -> str:
    text = _text(value)
    if not LABEL_NAME.fullmatch(text):
        raise ValueError(f"Prometheus refuses the label name {text!r}: letters, digits and '_'")
    if text in RESERVED_LABELS:
        raise ValueError(f"the label {text!r} is written by the rules or the objective itself")
    return text


def _tag(value: Any) -> str:
    text = _text(value)
    if not text.strip():
        raise ValueError("a tag has a name")
    return text


def _metric_label(value: Any) -> str:
    text = _tag(value)
    label = label_name(text)
    if label in names.SPAN_LABELS:
        raise ValueError(f"the metrics have the label {label} already: leave {text!r} out")
    if label.startswith("__"):
        raise ValueError(f"Prometheus keeps labels such as {label} for itself: give the tag another name")
    return text


def _url(value: Any) -> str:
    text = _text(value).rstrip("/")
    if text and not text.startswith(("https://", "http://")):
        raise ValueError(f"{text!r}: an address starts with https:// or http://")
    return text


def _values(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("an empty list matches nothing: give a value, or leave the key out")
    return tuple(_text(item) for item in items)


def _kinds(value: Any) -> tuple[str, ...]:
    kinds = _values(value)
    for kind in kinds:
        if kind not in SPAN_KINDS:
            raise ValueError(f"{kind!r} is not a span kind: write some of {', '.join(SPAN_KINDS)}")
    return kinds


def _pattern(value: Any) -> str:
    text = _text(value)
    try:
        re.compile(text, re.ASCII)  # as it will be used
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error
    return text


def _ratio(value: Any) -> float:
    ratio = parse_ratio(_text(value))
    if not 0 <= ratio <= 1:
        raise ValueError(f"{value!r}: a ratio lies between 0 and 1; write for example '5%' or '0.05'")
    return float(ratio)


def _period(value: Any) -> Period:
    text = _text(value)
    if text in PERIODS:
        return PERIODS[text]
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{value!r}: a period is 7d, 28d, 30d, 90d, month or quarter") from error
    if seconds < DAY:
        raise ValueError(f"{value!r}: a period is at least 1d")
    return Period(seconds)


def _version(value: Any) -> int:
    text = _text(value)
    if text.startswith("prometheus/"):
        raise ValueError(f"{text!r} is Sloth's: slotel generate compiles it, a service needs slotel.yaml")
    if value != 1:
        raise ValueError(f"version {value!r} is not known: write 'version: 1'")
    return 1


def _flag(value: Any) -> bool:
    if not isinstance(value, (bool, ScalarBoolean)):
        raise ValueError(f"expected true or false, got {kind_of(value)}")  # noqa: TRY004 of a document, not a caller
    return bool(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, (bool, ScalarBoolean)):
        raise ValueError(f"expected a whole number, got {kind_of(value)}")  # noqa: TRY004 of a document, not a caller
    if not 0 <= value <= _MOST:
        raise ValueError(f"expected a number from 0 to {_MOST:,}")
    return int(value)


PARSERS: Final[Parsers] = {
    v.Objective: _parsed(lambda text: float(parse_objective(text))),
    v.Limit: _parsed(lambda text: float(parse_limit(text))),
    v.Ratio: _ratio,
    v.Seconds: _parsed(parse_duration),
    v.Window: _parsed(parse_window),
    v.SliceLength: _parsed(parse_slice_length),
    v.ScrapeInterval: _parsed(parse_scrape_interval),
    v.Name: _parsed(parse_name),
    v.Pattern: _pattern,
    v.Url: _url,
    v.Values: _values,
    v.Kinds: _kinds,
    v.Version: _version,
    v.LateWait: _parsed(parse_late_wait),
    v.Label: _label,
    v.Tag: _tag,
    v.MetricLabel: _metric_label,
    v.Count: _count,
    v.Shapes: _shapes,
    Period: _period,
    Keep: _parsed(parse_keep),
    str: _text,
    bool: _flag,
}
"""Kind of value → its parser, for every YAML type."""
