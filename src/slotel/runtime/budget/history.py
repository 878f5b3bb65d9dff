"""The history of an objective, which its windows are computed from: events, or time slices.

It is kept in rings of the store, so that it is bounded and summed over workers.
"""

from __future__ import annotations

from typing import Final

from slotel.config.slo import DAY, HOUR, Slo
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


class History:
    """Good and bad of an objective over time, over all workers.

    Events are kept in buckets: of 10 s for an hour, of 5 min for three days. Of an objective with `time_slices` the
    buckets are its slices: a slice is bad if the bad ratio of all workers' events in it exceeds the limit. It is
    counted after its end, when all workers have reported; a slice without events is good. Slices begin at multiples of
    their length and are counted from the start of the oldest worker.
    """

    def __init__(self, store: Store, slo: Slo) -> None:
        self._slices = slo.slices
        kept = max(KEPT, slo.window)
        reaches = {"fine": (FINE_WIDTH, HOUR), "coarse": (COARSE_WIDTH, kept)}
        if self._slices is not None:
            reaches = {"slices": (int(self._slices.seconds), kept + self._slices.seconds)}
        self._rings = [
            store.ring(f"{slo.name}/{name}", buckets=int(reach // width) + 2, width_seconds=width, columns=2)
            for name, (width, reach) in reaches.items()
        ]
        self.widths = {FINE_WIDTH, *(ring.bucket_seconds for ring in self._rings)}
        """Seconds of the buckets: at a multiple of one of them a new bucket begins."""

    def add(self, seconds: float, column: int, n: float) -> None:
        """Add `n` GOOD or BAD events at a unix time."""
        for ring in self._rings:
            ring.add(seconds, column, n)

    def counts(self, now: float, window: float) -> tuple[float, float]:
        """Return (bad, total) events or slices within the last `window` seconds: of less than a slice, the last one."""
        if self._slices is None:
            good, bad = self._rings[0 if window <= HOUR else 1].sums(now, window)
            return bad, good + bad
        (ring,) = self._rings
        width = ring.bucket_seconds
        last = int((now - SETTLED) // width) - 1
        first = max(last - max(int(window // width), 1) + 1, int(ring.counted_since() // width))
        marked = ring.marked(BAD, first, last).values()
        bad = sum(columns[BAD] / sum(columns) > self._slices.limit for columns in marked)
        return float(bad), float(max(last - first + 1, 0))

    def counted_since(self) -> float:
        """Return the unix time of the oldest worker's start."""
        return self._rings[0].counted_since()

    def steps(self, now: float, step: int, count: int) -> tuple[tuple[float, float], ...]:
        """Return (bad, total) events of each of the last `count` steps, oldest first; a slice's in that it began in."""
        ring, last = self._rings[0], int(now // step)
        width = ring.bucket_seconds
        sums = {index: [0.0, 0.0] for index in range(last - count + 1, last + 1)}
        first = (last - count + 1) * step // width
        found = {
            **ring.marked(GOOD, first, int(now // width)),
            **ring.marked(BAD, first, int(now // width)),
        }
        for epoch, columns in found.items():
            if (sum_ := sums.get(epoch * width // step)) is not None:
                sum_[0] += columns[BAD]
                sum_[1] += columns[GOOD] + columns[BAD]
        return tuple((bad, total) for bad, total in sums.values())
