"""Numbers as people read them."""

from __future__ import annotations

from math import isfinite

from slotel.config.ratio import shown

_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def percent(ratio: float | None) -> str:
    """Return a ratio in percent.

    >>> percent(0.00109), percent(1.0), percent(None), percent(-10.8)
    ('0.109 %', '100 %', '–', '-1,080 %')
    """
    if ratio is None or not isfinite(ratio):
        return "–"
    return f"{ratio * 100:,.0f} %" if abs(ratio) >= 1 else f"{shown(ratio * 100)} %"


def exact(ratio: float) -> str:
    """Return a ratio that somebody chose, in percent: to three digits 99.95 % would be 100 %.

    >>> exact(0.9995), exact(0.0005)
    ('99.95 %', '0.05 %')
    """
    return f"{shown(ratio * 100, 10)} %"


def duration(seconds: float | None) -> str:
    """Return a time span: what a request takes, or how long a budget lasts.

    >>> duration(0.0123), duration(1.5), duration(7200.0), duration(None)
    ('12.3 ms', '1.5 s', '2 h', '–')
    """
    if seconds is None or not isfinite(seconds):
        return "–"
    for size, unit in _SPANS:
        if seconds >= size:
            return f"{shown(seconds / size)} {unit}"
    return f"{shown(seconds * 1000)} ms" if 0 < seconds < 1 else f"{shown(seconds)} s"


def age(seconds: float | None) -> str:
    """Return a time span in its two largest units: how long something lasts, or has lasted.

    >>> age(21.4), age(70.0), age(4248.0), age(90_000.0), age(None)
    ('21 s', '1 min 10 s', '1 h 10 min', '1 d 1 h', '–')
    """
    if seconds is None or not isfinite(seconds):
        return "–"
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, left = divmod(left, size)
        if number or parts:
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number) or "0 s"


def count(number: float) -> str:
    """Return a whole number with its thousands apart.

    >>> count(1046.0)
    '1,046'
    """
    return f"{number:,.0f}"


def size(number: float | None) -> str:
    """Return bytes as people read them.

    >>> size(52_428_800.0), size(None)
    ('50 MiB', '–')
    """
    return "–" if number is None else f"{number / 2**20:,.0f} MiB"


def rate(number: float) -> str:
    """Return events a second.

    >>> rate(12.345), rate(0.0), rate(1234.5)
    ('12.3 /s', '0 /s', '1,234 /s')
    """
    return f"{shown(number)} /s"


def times(burn: float) -> str:
    """Return a burn rate.

    >>> times(14.4), times(0.0), times(1000.0)
    ('14.4×', '0×', '1,000×')
    """
    return f"{shown(burn)}×"
