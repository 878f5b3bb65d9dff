"""PromQL and Prometheus' rule files as text: matchers, numbers, windows, YAML. Knows nothing of objectives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from slotel.config.foreign.promql import quote

_PLAIN: Final = re.compile(r"[A-Za-z_/](?:[A-Za-z0-9_./:-]*[A-Za-z0-9_/-])?|(?:\d+(?:ms|[smhdwy]))+")
_BMP: Final = 0xFFFF
_RESERVED: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
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
    return f"{name}{'!~' if not_ else '=~'}{quote('|'.join(map(_regex, globs)))}"


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


def yaml_lines(value: Any, indent: int = 0) -> Iterator[str]:
    """Yield a document of mappings, lists, strings and numbers as YAML lines, in the order given."""
    pad = " " * indent
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{pad}{_scalar(str(key))}:", item, indent)
    else:
        for item in value:
            if isinstance(item, Mapping) and item:
                first, *rest = yaml_lines(item, indent + 2)
                yield f"{pad}- {first[indent + 2 :]}"
                yield from rest
            elif isinstance(item, (list, tuple)) and item:
                yield f"{pad}-"
                yield from yaml_lines(item, indent + 2)
            else:
                yield f"{pad}- {_scalar(item)}"


def _entry(head: str, item: Any, indent: int) -> Iterator[str]:
    if isinstance(item, str) and _is_block(item):
        yield f"{head} |-"
        yield from (f"{' ' * (indent + 2)}{line}".rstrip() for line in item.split("\n"))
    elif isinstance(item, (Mapping, list, tuple)) and item:
        yield head
        yield from yaml_lines(item, indent + 2)
    else:
        yield f"{head} {_scalar(item)}"


def _is_block(text: str) -> bool:
    """Return whether a text stands as lines of its own and is read as it was."""
    lines = text.split("\n")
    plain = all(line.isprintable() and line == line.rstrip() for line in lines)
    return len(lines) > 1 and plain and bool(lines[0]) and bool(lines[-1]) and not lines[0].startswith(" ")


def _quoted(text: str) -> str:
    """Return a YAML string in double quotes: JSON's, but with nothing in it that is no printable character."""
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(
        each if each.isprintable() else f"\\u{ord(each):04x}" if ord(each) <= _BMP else f"\\U{ord(each):08x}"
        for each in escaped
    )


def _scalar(item: Any) -> str:
    if isinstance(item, str) and _PLAIN.fullmatch(item) and item.lower() not in _RESERVED:
        return item
    if isinstance(item, (Mapping, list, tuple)):
        return "{}" if isinstance(item, Mapping) else "[]"
    if isinstance(item, str) and '"' in item and "'" not in item and item.isprintable():
        return f"'{item}'"
    return _quoted(item) if isinstance(item, str) else json.dumps(item)


def _regex(glob: str) -> str:
    return ".*".join(map(_literal, glob.split("*")))


def _literal(text: str) -> str:
    return _QUOTED_IN_RE2.sub(r"\\\1", text)
