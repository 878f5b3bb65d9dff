"""The history of an objective, which its windows are computed from: events, or time slices.

It is kept in rings of the store, so that it is bounded and summed over workers.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from slotel.config.slo import DAY, HOUR, Slo, TimeSlices
from slotel.runtime.metrics.store.ring import Ring
from slotel.runtime.metrics.store.store import Store

FINE_WIDTH: Final = 10
"""Seconds of a bucket for windows up to an hour."""
COARSE_WIDTH: Final = 300
KEPT: Final = 3 * DAY
"""Seconds of history that a process keeps; the period's own budget is Prometheus' to know."""
SETTLED: Final = 10.0
"""Seconds after the end of a slice when all workers' events are in it: two ticks."""
GOOD: Final = 0
BAD: Final = 1


class Events:
    """Events in buckets: of 10 s for an hour, of 5 min for three days."""

    widths: tuple[int, ...] = (FINE_WIDTH, COARSE_WIDTH)
    """Seconds of the buckets: at a multiple of one of them a new bucket begins."""

    def __init__(self, store: Store, slo: Slo) -> None:
        self._fine = store.ring(
            f"{slo.name}/fine", buckets=int(HOUR // FINE_WIDTH) + 2, width_seconds=FINE_WIDTH, columns=2
        )
        kept = max(KEPT, slo.window)
        self._coarse = store.ring(
            f"{slo.name}/coarse", buckets=int(kept // COARSE_WIDTH) + 2, width_seconds=COARSE_WIDTH, columns=2
        )

    def add(self, seconds: float, column: int, n: float) -> None:
        """Add `n` GOOD or BAD events at a unix time."""
        self._fine.add(seconds, column, n)
        self._coarse.add(seconds, column, n)

    def counts(self, now: float, window: float) -> tuple[float, float]:
        """Return (bad, total) events within the last `window` seconds."""
        good, bad = (self._fine if window <= HOUR else self._coarse).sums(now, window)
        return bad, good + bad

    def counted_since(self) -> float:
        """Return the unix time of the oldest worker's start."""
        return self._fine.counted_since()

    def steps(self, now: float, step: int, count: int) -> tuple[tuple[float, float], ...]:
        """Return (bad, total) events of each of the last `count` steps, oldest first."""
        return _steps(self._fine, FINE_WIDTH, now, step, count)


class Slices:
    """Time slices: a slice is bad if the bad ratio of all workers' events in it exceeds the limit.

    A slice is counted after its end, when all workers have reported. A slice without events is good. Slices begin at
    multiples of their length and are counted from the start of the oldest worker.
    """

    def __init__(self, store: Store, slo: Slo, slices: TimeSlices) -> None:
        self._limit = slices.limit
        self._width = int(slices.seconds)
        self.widths: tuple[int, ...] = (FINE_WIDTH, self._width)
        kept = max(KEPT, slo.window)
        self._ring = store.ring(
            f"{slo.name}/slices", buckets=int(kept // self._width) + 3, width_seconds=self._width, columns=2
        )

    def add(self, seconds: float, column: int, n: float) -> None:
        """Add events at a unix time."""
        self._ring.add(seconds, column, n)

    def counts(self, now: float, window: float) -> tuple[float, float]:
        """Return (bad, total) slices; of a window that is shorter than a slice, the last one."""
        last = int((now - SETTLED) // self._width) - 1
        first = max(
            last - max(int(window // self._width), 1) + 1, int(self._ring.counted_since() // self._width)
        )
        marked = self._ring.marked(BAD, first, last).values()
        bad = sum(columns[BAD] / sum(columns) > self._limit for columns in marked)
        return float(bad), float(max(last - first + 1, 0))

    def counted_since(self) -> float:
        """Return the oldest worker's start."""
        return self._ring.counted_since()

    def steps(self, now: float, step: int, count: int) -> tuple[tuple[float, float], ...]:
        """Return (bad, total) events of each step; of a slice, all in the step that it began in."""
        return _steps(self._ring, self._width, now, step, count)


def _steps(ring: Ring, width: int, now: float, step: int, count: int) -> tuple[tuple[float, float], ...]:
    last = int(now // step)
    sums = {index: [0.0, 0.0] for index in range(last - count + 1, last + 1)}
    first = (last - count + 1) * step // width
    found = {**ring.marked(GOOD, first, int(now // width)), **ring.marked(BAD, first, int(now // width))}
    for epoch, columns in found.items():
        if (sum_ := sums.get(epoch * width // step)) is not None:
            sum_[0] += columns[BAD]
            sum_[1] += columns[GOOD] + columns[BAD]
    return tuple((bad, total) for bad, total in sums.values())


History: TypeAlias = Events | Slices
"""Good and bad of an objective over time, over all workers."""


def history(store: Store, slo: Slo) -> History:
    """Return the history of an objective: slices if it has `time_slices`, else events."""
    return Events(store, slo) if slo.slices is None else Slices(store, slo, slo.slices)
