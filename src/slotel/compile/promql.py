"""PromQL as text, and the rules of Prometheus' rule files: matchers, numbers, windows. Knows nothing of objectives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from slotel.config.foreign.promql import quote

_QUOTED_IN_RE2: Final = re.compile(r"([\\.+*?()|\[\]{}^$])")


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule (`record`) or an alert (`alert`); an empty string or mapping is not written."""

    expr: str
    record: str = ""
    alert: str = ""
    for_: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the rule as Prometheus' rule file spells it."""
        parts = {
            "record": self.record, "alert": self.alert, "expr": self.expr, "for": self.for_,
            "labels": self.labels, "annotations": self.annotations,
        }  # fmt: skip
        return {key: value for key, value in parts.items() if value}


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another, every `interval`."""

    name: str
    interval: str
    rules: tuple[Rule, ...]

    def document(self) -> dict[str, Any]:
        """Return the group as Prometheus' rule file spells it."""
        rules = [rule.document() for rule in self.rules]
        return {"name": self.name, "interval": self.interval, "rules": rules}


def equal(labels: Mapping[str, str]) -> list[str]:
    """Return a matcher for each label.

    >>> equal({"job": "shop"})
    ['job="shop"']
    """
    return [f"{name}={quote(value)}" for name, value in labels.items()]


def one_of(name: str, globs: Sequence[str], *, not_: bool = False) -> str:
    """Return the matcher for a label that is one of these values; `*` stands for any characters.

    >>> one_of("http_route", ["/cart", "/api/*"])
    'http_route=~"/cart|/api/.*"'
    >>> one_of("http_route", ["/healthz"], not_=True)
    'http_route!="/healthz"'
    """
    if len(globs) == 1 and "*" not in globs[0]:
        return f"{name}{'!=' if not_ else '='}{quote(globs[0])}"
    patterns = (".*".join(map(_literal, glob.split("*"))) for glob in globs)
    return f"{name}{'!~' if not_ else '=~'}{quote('|'.join(patterns))}"


def any_of(name: str, values: Sequence[str]) -> str:
    """Return the matcher for a label that is exactly one of these values.

    >>> any_of("sloth_id", ["shop-a", "shop-b"])
    'sloth_id=~"shop-a|shop-b"'
    """
    if len(values) == 1:
        return f"{name}={quote(values[0])}"
    return f"{name}=~{quote('|'.join(map(_literal, values)))}"


def series(metric: str, matchers: Sequence[str], window: str = "") -> str:
    """Return a selector, over a window if one is given.

    >>> series("up", ['job="shop"'], "5m")
    'up{job="shop"}[5m]'
    """
    braces = f"{{{','.join(matchers)}}}" if matchers else ""
    return f"{metric}{braces}[{window}]" if window else f"{metric}{braces}"


def number(value: float) -> str:
    """Return a number without the noise of floats, as `0.0144`.

    >>> number(14.4 * 0.001)
    '0.0144'
    """
    text = f"{value:.12g}"
    return text if "e" not in text else f"{value:.15f}".rstrip("0").rstrip(".")


def bucket(seconds: float) -> str:
    """Return the matcher of a histogram's edge; Prometheus 3 writes 1 as `1.0`.

    >>> bucket(0.3)
    'le="0.3"'
    """
    if seconds == int(seconds):
        return f"le=~{quote(f'{int(seconds)}|{int(seconds)}' + chr(92) + '.0')}"
    return f'le="{number(seconds)}"'


def _literal(text: str) -> str:
    return _QUOTED_IN_RE2.sub(r"\\\1", text)
