"""The tag policy: required tags, allowed values, redacted keys. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from slotel.config.names import UNKNOWN
from slotel.config.value_types import MetricLabel, Pattern, Tag, Values

Action = Literal["default", "unknown", "redact", "truncate", "remove"]

MAX_TAG_VALUE: Final = 200
MAX_TAG_KEY: Final = 200
"""Sentry's limits for a tag; longer values are cut everywhere, so that every sink shows the same."""

SENTRY_RESERVED_TAGS: Final = frozenset({"release", "environment", "dist", "user", "filename", "function"})
"""Tag keys that Sentry's server removes."""

_NOT_SENTRY_KEY = re.compile(r"[^A-Za-z0-9_.:-]")
_NOT_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_LINE_BREAKS = re.compile(r"[\r\n\x00]+")
_PLAIN: Final = frozenset({int, float, bool, type(None)})


class TagRule(NamedTuple):
    """The allowed values of a required tag.

    Args:
        default: stands in for a missing value, and for a wrong one; without it `unknown` does.
        allowed: the only values, if any are given.
        pattern: regular expression that the whole value must match, if given; its classes are ASCII, as
            the collector's are.
    """

    default: str | None = None
    allowed: Values = ()
    pattern: Pattern | None = None


class TagPolicy(NamedTuple):
    """A service's tags, the same on spans, metrics, Sentry events and in the collector.

    Args:
        set: tags that every span gets, even if the code sets others.
        required: tag → rule; a violation is repaired and counted, never drops the span.
        redact: keys and globs (`*.token`) whose values are replaced, in addition to those of `config/redaction.py`.
        metric_labels: tags that are metric labels: a bounded set.
    """

    set: Mapping[Tag, str] = MappingProxyType({})
    required: Mapping[Tag, TagRule] = MappingProxyType({})
    redact: tuple[str, ...] = ()
    metric_labels: tuple[MetricLabel, ...] = ()

    @property
    def tag_keys(self) -> tuple[str, ...]:
        """The keys that are tags by the policy, in its order."""
        return tuple(dict.fromkeys((*self.set, *self.required, *self.metric_labels)))


def judge(rule: TagRule, value: object | None) -> tuple[str, Action | None]:
    """Return the value that the rule lets through, and what was done to it.

    >>> judge(TagRule(default="free", allowed=("free", "pro")), "gold")
    ('free', 'default')
    >>> judge(TagRule(pattern="[a-z]+"), None)
    ('unknown', 'unknown')
    """
    if value is not None and value != "":
        text, cut = clean_value(value)
        if _is_allowed(rule, text):
            return text, "truncate" if cut else None
    if rule.default is not None:
        return rule.default, "default"
    return UNKNOWN, "unknown"


def clean_value(value: object, longest: int = MAX_TAG_VALUE) -> tuple[str, bool]:
    """Return a tag value on one line and at most 200 characters long, and whether it was cut."""
    text = value if isinstance(value, str) else _text(value)
    if len(text) > longest:
        return _LINE_BREAKS.sub(" ", text[:longest]), True
    return _LINE_BREAKS.sub(" ", text), False


def as_given(value: object, text: str) -> Any:
    """Return a tag's value in Sentry: a number, a truth value or None as it was given, as sentry-sdk sends it.

    Any other value, and one that was redacted or repaired, is its text.

    >>> as_given(True, "true"), as_given(7, "[Filtered]"), as_given([7], "[7]")
    (True, '[Filtered]', '[7]')
    """
    is_plain = value.__class__ in _PLAIN and clean_value(value)[0] == text
    return value if is_plain and (value.__class__ is not float or isfinite(value)) else text


def sentry_tag_key(key: str) -> str | None:
    """Return the key as Sentry accepts it; None for a key that its server removes.

    >>> sentry_tag_key("cloud/region")
    'cloud_region'
    """
    if key in SENTRY_RESERVED_TAGS or not key:
        return None
    return _NOT_SENTRY_KEY.sub("_", key)[:MAX_TAG_KEY]


def label_name(key: str) -> str:
    """Return a tag's or attribute's name as a Prometheus label.

    >>> label_name("http.route")
    'http_route'
    """
    name = _NOT_LABEL.sub("_", key)
    return f"_{name}" if name[:1].isdigit() else name


def _is_allowed(rule: TagRule, text: str) -> bool:
    if rule.allowed and text not in rule.allowed:
        return False
    return rule.pattern is None or re.fullmatch(rule.pattern, text, re.ASCII) is not None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value)
    except Exception:  # noqa: BLE001 the app's own code, or a number of more than 4,300 digits
        return f"<{type(value).__name__}>"
