"""The requests of the service for the page: their history for its charts, and the operations with most impact.

Sums of the request counters are remembered at each scrape and each view of the page. Nothing runs in between; a chart
has a point for each scrape.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from slotel.config import names
from slotel.config.slo import ENTRY_KIND_LABELS, HOUR, MINUTE
from slotel.runtime.metrics.store.store import Family

APART: Final = 4.0
"""Least seconds between two remembered moments."""
KEPT: Final = int(HOUR / APART) + 1
MOST: Final = 10
"""Operations that are shown."""


class Totals(NamedTuple):
    """Requests (entry spans) since the service began: how many, how many failed, how many in each duration bucket."""

    at: float
    calls: float
    failed: float
    buckets: tuple[float, ...]


class Interval(NamedTuple):
    """The events between two moments.

    Args:
        start, end: unix seconds.
        rate: requests a second.
        errors: share of requests that failed; None without a request.
        p50, p95, p99: seconds; None without a request.
    """

    start: float
    end: float
    rate: float
    errors: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class Operation(NamedTuple):
    """An operation since the service began: `impact` is its share of the service's time, `p95` is in seconds."""

    name: str
    calls: float
    failed: float
    p95: float | None
    impact: float


def durations(families: Iterable[Family]) -> Family | None:
    """Return the histogram of span durations."""
    return next((family for family in families if family.name == names.SPAN_DURATION), None)


def entry_series(family: Family) -> Iterator[tuple[tuple[str, ...], Sequence[float], bool]]:
    """Yield labels, numbers and whether they are failures, of each series of entry spans."""
    kind, status = (family.label_names.index(name) for name in (names.LABEL_SPAN_KIND, names.LABEL_STATUS))
    for labels, numbers in family.series.items():
        if len(labels) > max(kind, status) and labels[kind] in ENTRY_KIND_LABELS:
            yield labels, numbers, labels[status] == names.STATUS_ERROR


def totals(families: Iterable[Family], now: float) -> Totals:
    """Return the sums over all series of entry spans."""
    family = durations(families)
    if family is None:
        return Totals(now, 0.0, 0.0, ())
    failed, rows = 0.0, []
    for _, numbers, is_failure in entry_series(family):
        row = numbers[: len(family.bounds) + 1]
        rows.append(row)
        if is_failure:
            failed += sum(row)
    buckets = tuple(map(sum, zip(*rows, strict=True))) if rows else (0.0,) * (len(family.bounds) + 1)
    return Totals(now, sum(buckets), failed, buckets)


def quantile(q: float, buckets: Sequence[float], bounds: Sequence[float]) -> float | None:
    """Return a quantile as Prometheus' histogram_quantile does; None without a request.

    >>> quantile(0.5, [0, 10, 0], [0.1, 0.2])
    0.15000000000000002
    """
    total = sum(buckets)
    if total <= 0 or not bounds:
        return None
    rank, below = q * total, 0.0
    for index, count in enumerate(buckets):
        if below + count >= rank and count > 0:
            if index >= len(bounds):
                return bounds[-1]
            low = bounds[index - 1] if index else 0.0
            return low + (bounds[index] - low) * (rank - below) / count
        below += count
    return bounds[-1]


def between(first: Totals, second: Totals, bounds: Sequence[float]) -> Interval | None:
    """Return what happened between two moments; None if counters began anew in between."""
    calls, seconds = second.calls - first.calls, second.at - first.at
    if calls < 0 or seconds <= 0:
        return None
    before = first.buckets or (0.0,) * len(second.buckets)
    counts = [b - a for a, b in zip(before, second.buckets, strict=False)]
    errors = (second.failed - first.failed) / calls if calls else None
    slow = (quantile(q, counts, bounds) for q in (0.5, 0.95, 0.99))
    return Interval(first.at, second.at, calls / seconds, errors, *slow)


class History:
    """The remembered moments of the last hour."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._moments: deque[Totals] = deque(maxlen=KEPT)

    def add(self, families: Iterable[Family]) -> Totals:
        """Remember this moment, unless the last one is only just over; return its totals."""
        now = self._clock()
        if self._moments and 0 <= now - self._moments[-1].at < APART:
            return self._moments[-1]
        made = totals(families, now)
        self._moments.append(made)
        return made

    def hour(self, bounds: Sequence[float]) -> list[Interval]:
        """Return the intervals of the last hour, oldest first; at most two a minute."""
        since, moments = self._clock() - HOUR, self._moments
        # points are close while little is remembered, half a minute apart over an hour
        apart = max(APART, min((moments[-1].at - moments[0].at) / 120, 30.0)) if moments else APART
        chosen: list[Totals] = []
        for moment in moments:
            if moment.at >= since and (not chosen or moment.at - chosen[-1].at >= apart):
                chosen.append(moment)
        pairs = pairwise(chosen)
        return [found for a, b in pairs if (found := between(a, b, bounds)) is not None]

    def last_minute(self, bounds: Sequence[float], created: float) -> Interval | None:
        """Return the last minute, as far as moments are remembered; at the first look all since the start."""
        if not self._moments:
            return None
        last = self._moments[-1]
        older = [moment for moment in self._moments if moment.at < last.at]
        first = next((moment for moment in older if last.at - moment.at <= MINUTE), None)
        first = first or (older[-1] if older else Totals(created, 0.0, 0.0, ()))
        return between(first, last, bounds)


def operations(families: Iterable[Family]) -> tuple[list[Operation], int]:
    """Return the operations with most impact, and how many there are in all."""
    family = durations(families)
    if family is None:
        return [], 0
    named = family.label_names.index(names.LABEL_SPAN_NAME)
    size = len(family.bounds) + 1
    sums: dict[str, list[float]] = {}
    failed: dict[str, float] = {}
    for labels, numbers, is_failure in entry_series(family):
        name = labels[named]
        row = sums.get(name)
        sums[name] = list(numbers) if row is None else [a + b for a, b in zip(row, numbers, strict=True)]
        if is_failure:
            failed[name] = failed.get(name, 0.0) + sum(numbers[:size])
    worked = sum(row[size] for row in sums.values()) or 1.0
    first = sorted(sums, key=lambda name: sums[name][size], reverse=True)[:MOST]
    return [
        Operation(
            name,
            sum(sums[name][:size]),
            failed.get(name, 0.0),
            quantile(0.95, sums[name][:size], family.bounds),
            sums[name][size] / worked,
        )
        for name in first
    ], len(sums)
