"""Sampling by route, reasons to keep sampled-out traces, and spans that are dropped before they are counted."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from slotel.config.duration import parse_duration
from slotel.config.patterns import with_stars
from slotel.config.value_types import Ratio

ErrorDetail = Literal["adaptive", "full"]
TransactionRoots = Literal["requests", "all"]
TransactionNames = Literal["route", "native"]
SentryMode = Literal["transactions", "sdk", "otlp", "errors"]
"""How spans reach Sentry; with `errors` slotel sends none: a collector sends them, and they would arrive twice."""

LONGEST_LATE_WAIT: Final = 10.0

_PARAMETER: Final = "[^/]+"
_SLOW: Final = re.compile(r"slow\s*>\s*(\S+)")


class Keep(NamedTuple):
    """A reason to keep a trace.

    Args:
        slow: seconds; the local root took longer. None for errors.
    """

    reason: Literal["errors", "slow"]
    slow: float | None = None


class RouteRate(NamedTuple):
    """The sample rate of the requests of a route.

    Args:
        route: `/healthz`, `/users/{id}` or `/checkout/*`; the first that matches decides.
        rate: in [0, 1].
    """

    route: str
    rate: Ratio


class SpanMatch(NamedTuple):
    """Spans that are neither counted nor exported: by route, or by name; `*` stands for any text."""

    route: str = ""
    name: str = ""

    def check(self) -> None:
        """Raise ValueError if it is not one of both."""
        if bool(self.route) == bool(self.name):
            raise ValueError("give one of route (/healthz) and name ('SELECT 1')")


def route_pattern(route: str) -> re.Pattern[str]:
    """Return what a request's path looks like if it belongs to a route.

    A parameter, as any framework writes it, is one segment; `*` is any text.

    >>> bool(route_pattern("/users/{id}/*").fullmatch("/users/7/orders/1"))
    True
    >>> bool(route_pattern("/users/<int:id>").fullmatch("/users/7/orders"))
    False
    """
    *pieces, last = _pieces(route)
    joined = ["".join(f"{part}?" if part == _PARAMETER else part for part in piece) for piece in pieces]
    return re.compile(with_stars([*joined, "".join(last)]), re.DOTALL)


def _pieces(route: str) -> list[list[str]]:
    """Return the patterns of what stands between the stars of a route, each in parts."""
    pieces: list[list[str]] = [[""]]
    for part in re.split(r"(\*|\{[^{}]*\}|<[^<>]*>)", route):
        if part == "*":
            pieces.append([""])
        elif part:
            is_parameter = part[:1] in ("{", "<") and len(part) > 1
            pieces[-1].append(_PARAMETER if is_parameter else re.escape(part))
    return pieces


def parse_late_wait(text: str) -> float:
    """Return the seconds that a transaction waits for late children.

    Raises:
        ValueError: no duration, or more than 10 seconds.

    >>> parse_late_wait("500ms")
    0.5
    """
    seconds = parse_duration(text)
    if seconds > LONGEST_LATE_WAIT:
        raise ValueError(f"{text!r}: at most 10s, for what ends later becomes a transaction of its own")
    return seconds


def parse_keep(text: str) -> Keep:
    """Return the reason that `errors` or `slow>1s` spells.

    Raises:
        ValueError: neither.

    >>> parse_keep("slow>1s")
    Keep(reason='slow', slow=1.0)
    """
    written = text.strip()
    if written == "errors":
        return Keep("errors")
    if match := _SLOW.fullmatch(written):
        return Keep("slow", parse_duration(match[1]))
    raise ValueError(f"{text!r}: keep 'errors' or 'slow>1s'")
