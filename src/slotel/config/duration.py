"""Durations as people write them: 300ms, 5m, 1h, 30d. Seconds inside."""

import re
from typing import Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_LONGEST: Final = 100 * 365 * 86400.0
"""A hundred years: Prometheus reads no more than 292 of them."""
_NAMES: Final = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def parse_duration(text: object) -> float:
    """Return seconds, > 0, from `300ms`, `5m`, `1h30m`, `30d`.

    Raises:
        ValueError: no unit, an unknown unit, nothing at all, or more than a hundred years.

    >>> parse_duration("1h30m")
    5400.0
    """
    written = str(text).strip()
    if not written or _PART.sub("", written):  # case matters: elsewhere 1M is a month
        raise ValueError(f"{written!r} is not a duration: write it as '300ms', '5m', '1h' or '30d'")
    seconds = sum(round(float(number) * _SECONDS[unit], 9) for number, unit in _PART.findall(written))
    if seconds <= 0:
        raise ValueError(f"{written!r}: a duration is longer than 0")
    if seconds > _LONGEST:
        raise ValueError(f"{written[:80]!r}: a duration is at most 36500d")
    return seconds


def format_duration(seconds: float) -> str:
    """Return the shortest Prometheus spelling: `5m`, `1h30m`, `30d`, `300ms`.

    >>> format_duration(5400)
    '1h30m'
    """
    if seconds < 1 or seconds % 1:
        return f"{round(seconds * 1000)}ms"
    rest = int(seconds)
    if rest % 604800 == 0:
        return f"{rest // 86400}d"
    parts = []
    for name, size in _NAMES[1:]:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts)


def parse_window(value: object) -> float:
    """Return seconds of a window that a limit is compared over.

    Raises:
        ValueError: no duration, or not from 1m to 3d: a process and the rules keep no longer history.
    """
    return _within(value, 60, 3 * 86400, "a window is between 1m and 3d")


def parse_slice_length(value: object) -> float:
    """Return seconds of a time slice.

    Raises:
        ValueError: no duration, or not from 1m (in which Prometheus has two scrapes) to 1h in whole seconds.
    """
    return _within(value, 60, 3600, "a time slice is between 1m and 1h long, in whole seconds", whole=True)


def parse_scrape_interval(value: object) -> float:
    """Return seconds between two scrapes.

    Raises:
        ValueError: no duration, or not from 1s to 15m: the longest short window is an hour, which holds four.
    """
    return _within(value, 1, 900, "a scrape interval is between 1s and 15m")


def _within(value: object, least: float, most: float, expected: str, *, whole: bool = False) -> float:
    seconds = parse_duration(value)
    if not least <= seconds <= most or (whole and seconds % 1):
        raise ValueError(f"{value!r}: {expected}")
    return seconds
