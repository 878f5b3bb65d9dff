"""Computes what the rules would have recorded of an objective in the past, from its counters. No I/O.

It mirrors `records.py` rule by rule: the same windows, sums and tiles, evaluated at the same interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from slotel.compile import conventions as at
from slotel.compile.prometheus.records import NOISE, windows
from slotel.compile.sources import counts
from slotel.config.duration import format_duration
from slotel.config.service import Service
from slotel.config.slo import DAY, HOUR, Slo, TimeSlices

Series = list[float | None]
"""A value for each evaluation; None where the rule gives no sample."""
STEP: Final = int(at.INTERVAL)
_TILE: Final = int(at.TILE)
_HOUR: Final = int(HOUR) // STEP


@dataclass(frozen=True, slots=True)
class Clock:
    """The evaluations: `length` of them, every STEP seconds from `start`, a multiple of STEP.

    Args:
        left_open: a range excludes its first instant, as in Prometheus 3.
        slow: seconds between evaluations of windows of a day and more.
    """

    start: int
    length: int
    left_open: bool = True
    slow: int = int(at.PERIOD_INTERVAL)

    def at(self, index: int) -> int:
        """Return the time of an evaluation, in seconds since the epoch."""
        return self.start + index * STEP


@dataclass(slots=True)
class Recorded:
    """The recorded series of one objective, or of one of its groups.

    Args:
        total, bad, ratio: by window, as `5m`.
    """

    total: dict[str, Series] = field(default_factory=dict)
    bad: dict[str, Series] = field(default_factory=dict)
    ratio: dict[str, Series] = field(default_factory=dict)

    def share(self, window: str) -> Series:
        """Return the ratio of bad events in a window."""
        if window not in self.ratio:
            pairs = zip(self.bad[window], self.total[window], strict=True)
            self.ratio[window] = [bad / total if bad is not None and total else None for bad, total in pairs]
        return self.ratio[window]


def direct_queries(service: Service, slo: Slo) -> dict[tuple[str, str], str]:
    """Return the queries whose past values are needed: (`total` or `bad` or `slice`, window) → PromQL."""
    found = counts(service, slo)
    if slo.slices is not None:
        length = format_duration(slo.slices.seconds)
        if found.instant:
            instant = found.instant
            if not slo.slices.is_averaged:
                instant = f"avg_over_time(({instant})[{length}:{STEP}s]) > bool {slo.slices.limit:.12g}"
            return {("slice", length): instant}
        total = found.total(length)
        return {("total", length): total, ("bad", length): found.bad(length, f"({total})")}
    queries = {}
    for seconds in windows(service, slo):
        if seconds <= HOUR:
            window = format_duration(seconds)
            queries["total", window] = found.total(window)
            queries["bad", window] = found.bad(window, f"({found.total(window)})")
    return queries


def recorded(service: Service, slo: Slo, found: Mapping[tuple[str, str], Series], clock: Clock) -> Recorded:
    """Return every window of an objective from the values of its `direct_queries`."""
    result = Recorded()
    if slo.slices is not None:
        _sliced(service, slo, slo.slices, found, clock, result)
    else:
        for (name, window), values in found.items():
            (result.total if name == "total" else result.bad)[window] = values
    base = format_duration(at.base(service))
    for side in (result.total, result.bad):
        events, counted, missed = _events(side[base], side["1h"], at.base(service), clock)
        sums = _Sums(events, clock)
        for seconds in windows(service, slo):
            if HOUR < seconds < DAY:
                side[format_duration(seconds)] = [
                    _added(
                        sums.over(index - _HOUR, at.before_last_hour(seconds)),
                        _newest(newer, counted[index], missed.over(index, HOUR - 1)),
                    )
                    for index, newer in enumerate(side["1h"])
                ]
        _tiled(service, slo, side, events, clock)
    return result


def _events(recent: Series, hour: Series, base: float, clock: Clock) -> tuple[Series, Series, _Sums]:
    """Return the events that each evaluation adds, those counted in the hour before it, and those that were missed.

    Args:
        recent, hour: events in the base window, of `base` seconds, and in the last hour.
    """
    new = [_divided(value, base / at.INTERVAL) for value in recent]
    counts, hours, missed = _Sums(new, clock), _Sums(hour, clock), _Sums([], clock)
    counted: Series = []
    for index, value in enumerate(hour):
        counted.append(_added(missed.over(index - 1, HOUR - STEP - 1), counts.over(index, HOUR - 1)))
        known, found, missing = hours.count(index, base - 1), counted[-1], None
        if value is not None and known and found is not None:
            missing = (hours.over(index, base - 1) or 0.0) / known - found
            early = missed.over(index - 1, 2 * base - STEP - 1) or 0.0
            settled = index >= base // STEP and hour[index - int(base // STEP)] is not None
            is_missed = settled and missing > NOISE * value
            if not is_missed and not -early < missing < -NOISE * value:
                missing = None
        missed.append(missing)
    return [_added(old, value) for old, value in zip(missed.values, new, strict=True)], counted, missed


def _sliced(
    service: Service,
    slo: Slo,
    slices: TimeSlices,
    found: Mapping[tuple[str, str], Series],
    clock: Clock,
    result: Recorded,
) -> None:
    length = format_duration(slices.seconds)
    values = found.get(("slice", length))
    if values is None:
        pairs = zip(found["bad", length], found["total", length], strict=True)
        values = [_slice(bad, total, slices.limit, is_averaged=slices.is_averaged) for bad, total in pairs]
    sums, share = _Sums(values, clock), slices.seconds / at.INTERVAL
    for seconds in windows(service, slo):
        if seconds <= HOUR:
            window = format_duration(seconds)
            result.bad[window] = [_divided(sums.over(i, seconds), share) for i in range(clock.length)]
            result.total[window] = [_divided(sums.count(i, seconds), share) for i in range(clock.length)]


def _slice(bad: float | None, total: float | None, limit: float, *, is_averaged: bool) -> float | None:
    if total is None:
        return None
    if not total or bad is None:
        return None if is_averaged else 0.0
    return bad / total if is_averaged else float(bad / total > limit)


def _tiled(service: Service, slo: Slo, side: dict[str, Series], events: Series, clock: Clock) -> None:
    """Add the windows of a day and more, and the calendar's: tiles plus the events since the last one."""
    tiles: Series = [None] * clock.length
    open_: Series = [None] * clock.length
    so_far: float | None = None
    for index, new in enumerate(events):
        if clock.at(index) % _TILE < STEP:
            tiles[index], so_far = so_far, None
        so_far = open_[index] = _added(so_far, new)
    tile_sums = _Sums(tiles, clock)
    for seconds in windows(service, slo):
        if seconds >= DAY:
            reach = seconds - _TILE - 1
            side[format_duration(seconds)] = _slowly(
                clock,
                open_,
                lambda index, reach=reach: tile_sums.over(index, reach),  # type: ignore[misc]  # bound now
            )
    if slo.period.calendar is not None:
        to_date = _to_date(tiles, clock, slo.period.calendar)
        side[slo.period.calendar] = _slowly(clock, open_, to_date.__getitem__)


def _slowly(clock: Clock, open_: Series, tiles: Callable[[int], float | None]) -> Series:
    """Return tiles plus the events since the last one, as of the previous evaluation, as the slow group records it."""
    found: Series = []
    value: float | None = None
    for index in range(clock.length):
        if clock.at(index) % clock.slow == 0:
            value = None
            if index:
                value = _added(tiles(index - 1), open_[index - 1])
        found.append(value)
    return found


def _added(older: float | None, newer: float | None) -> float | None:
    """Return the sum of two parts of a window, of which either may be missing."""
    return older if newer is None else newer + (older or 0.0)


def _newest(hour: float | None, counted: float | None, missed: float | None) -> float | None:
    """Return the events of the last hour; an hour after some were missed the counters no longer span the gap."""
    return (
        counted if hour is None or (counted is not None and counted > hour and (missed or 0.0) > 0) else hour
    )


class _Sums:
    """Sums over ranges of a series that end at an evaluation."""

    def __init__(self, values: Series, clock: Clock) -> None:
        self.values: Series = []
        self._left_open = clock.left_open
        self._sums, self._counts = [0.0], [0]
        for value in values:
            self.append(value)

    def append(self, value: float | None) -> None:
        """Add the value of the next evaluation."""
        self.values.append(value)
        self._sums.append(self._sums[-1] + (value or 0.0))
        self._counts.append(self._counts[-1] + (value is not None))

    def _first(self, index: int, seconds: float) -> int:
        whole, rest = divmod(int(seconds), STEP)
        first = index - whole + (1 if not rest and self._left_open else 0)
        return max(first, 0)

    def count(self, index: int, seconds: float) -> float | None:
        """Return `count_over_time`."""
        found = self._counts[index + 1] - self._counts[self._first(index, seconds)]
        return float(found) if found else None

    def over(self, index: int, seconds: float) -> float | None:
        """Return `sum_over_time`."""
        first = self._first(index, seconds)
        if index < 0 or self._counts[index + 1] == self._counts[first]:
            return None
        return self._sums[index + 1] - self._sums[first]


def _to_date(tiles: Series, clock: Clock, calendar: str) -> Series:
    """Return the sums of tiles since the calendar's month or quarter began (UTC)."""
    found: Series = []
    total: float | None = None
    before: tuple[int, int] | None = None
    for index, tile in enumerate(tiles):
        now = time.gmtime(clock.at(index))
        part = (now.tm_year, now.tm_mon if calendar == "month" else (now.tm_mon - 1) // 3)
        if part != before:  # the tile that ends now is of the one before
            total, before = None, part
        elif tile is not None:
            total = (total or 0.0) + tile
        found.append(total)
    return found


def _divided(value: float | None, by: float) -> float | None:
    return None if value is None else value / by


def spans(values: Sequence[bool]) -> list[tuple[int, int]]:
    """Return where a condition holds: first index, and the index after the last.

    >>> spans([False, True, True, False, True])
    [(1, 3), (4, 5)]
    """
    found, begin = [], None
    for index, value in enumerate((*values, False)):
        if value and begin is None:
            begin = index
        elif not value and begin is not None:
            found.append((begin, index))
            begin = None
    return found
