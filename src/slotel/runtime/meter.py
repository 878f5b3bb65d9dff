"""The error-budget meter: sliding windows of good and bad events, for gauges and for the watch over breaches.

Its rings live in the store, so that they merge over workers. It looks only when asked.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from slotel.model import names
from slotel.model.duration import format_duration
from slotel.model.slo import DAY, HOUR, MINUTE, Slo, burn_rate, time_to_exhaustion
from slotel.runtime.store import Family, Ring, Store

FINE_WIDTH: Final = 10
"""Seconds of a bucket for windows up to an hour."""
COARSE_WIDTH: Final = 300
KEPT: Final = 3 * DAY
"""Seconds of history that a process keeps; the period's own budget is Prometheus' to know."""
WINDOWS: Final = (5 * MINUTE, 30 * MINUTE, HOUR, 6 * HOUR)

_Series = dict[tuple[str, ...], tuple[float, ...]]
_GOOD: Final = 0
_BAD: Final = 1


@dataclass(frozen=True, slots=True)
class Window:
    """What happened to an objective within the last `seconds`.

    Args:
        ratio: bad/total; 0.0 without events.
        burn: ratio/limit.
    """

    seconds: float
    bad: float
    total: float
    ratio: float
    burn: float


class Meter:
    """Meters every objective of a service.

    The hot path pays one comparison: counters are moved into the rings when a bucket is over, and before each
    look. What other workers counted since their last move (a tick at most) is seen with their next one.

    Args:
        clock: wall clock, unix seconds; events bring their own time.
        service_name: value of the label service_name.
    """

    def __init__(
        self,
        store: Store,
        slos: tuple[Slo, ...],
        clock: Callable[[], float] = time.time,
        service_name: str = "",
    ) -> None:
        self.slos = slos
        self._clock = clock
        self._lock = threading.Lock()
        self._events = store.counter(
            names.SLO_EVENTS,
            help="Events of each objective, by outcome.",
            label_names=(names.LABEL_SERVICE, names.LABEL_SLO, names.LABEL_OUTCOME),
        )
        self._outcomes = {
            (slo.name, outcome): self._events.slot((service_name, slo.name, outcome))
            for slo in slos
            for outcome in names.OUTCOMES
        }
        self._moved = dict.fromkeys(self._outcomes.values(), 0.0)
        self._fine = [_ring(store, slo, "fine", HOUR, FINE_WIDTH) for slo in slos]
        self._coarse = [_ring(store, slo, "coarse", max(KEPT, slo.window), COARSE_WIDTH) for slo in slos]
        self._bucket = clock()
        self.bucket_ends_ns = 0
        """An event that ends at or after this opens a new bucket: call `roll` before counting it."""
        self.roll(self._bucket)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        """A child counts from zero."""
        self._lock = threading.Lock()
        self._moved = dict.fromkeys(self._moved, 0.0)

    def counter_cells(self, slo: Slo) -> dict[str, int]:
        """Return the slots of `slo_events` for an objective, by outcome."""
        return {outcome: self._outcomes[slo.name, outcome] for outcome in names.OUTCOMES}

    def roll(self, seconds: float) -> None:
        """Move what was counted into the bucket that was open, and open the one of a unix time."""
        with self._lock:
            for index, slo in enumerate(self.slos):
                for column, outcome in ((_GOOD, names.GOOD), (_BAD, names.BAD)):
                    slot = self._outcomes[slo.name, outcome]
                    counted = self._events.value(slot)
                    new = counted - self._moved[slot]
                    if new:
                        self._moved[slot] = counted
                        self._fine[index].add(self._bucket, column, new)
                        self._coarse[index].add(self._bucket, column, new)
            self._bucket = max(self._bucket, seconds)
            self.bucket_ends_ns = (int(self._bucket // FINE_WIDTH) + 1) * FINE_WIDTH * 1_000_000_000

    def window(self, index: int, seconds: float) -> Window:
        """Return what happened to an objective within the last `seconds`, over all workers, to the bucket."""
        now = self._clock()
        self.roll(now)
        ring = self._fine[index] if seconds <= HOUR else self._coarse[index]
        good, bad = ring.sums(now, seconds)
        total = good + bad
        ratio = bad / total if total else 0.0
        return Window(seconds, bad, total, ratio, burn_rate(bad, total, self.slos[index].limit))

    def remaining(self, index: int) -> float:
        """Return the share of the budget that the kept history left, in (−∞, 1]."""
        return 1.0 - self.window(index, KEPT).burn

    def families(self) -> Iterable[Family]:
        """Return the budget gauges of every objective."""
        limits, ratios, burns, left, ends = _Series(), _Series(), _Series(), _Series(), _Series()
        for index, slo in enumerate(self.slos):
            limits[(slo.name,)] = (slo.limit,)
            for seconds in dict.fromkeys((*WINDOWS, slo.window)):
                window = self.window(index, seconds)
                ratios[slo.name, format_duration(seconds)] = (window.ratio,)
                burns[slo.name, format_duration(seconds)] = (window.burn,)
            remaining = self.remaining(index)
            left[(slo.name,)] = (remaining,)
            burn = burns[slo.name, format_duration(HOUR)][0]
            ends[(slo.name,)] = (time_to_exhaustion(remaining, burn, slo.period.seconds),)
        windowed = (names.LABEL_SLO, names.LABEL_WINDOW)
        yield _gauge(names.BUDGET_LIMIT, "Largest tolerated bad ratio.", (names.LABEL_SLO,), limits)
        yield _gauge(names.BUDGET_ERROR, "Bad ratio within the window.", windowed, ratios)
        yield _gauge(names.BUDGET_BURN, "Bad ratio within the window over the limit.", windowed, burns)
        yield _gauge(
            names.BUDGET_REMAINING, "Share of the budget left by the kept history.", (names.LABEL_SLO,), left
        )
        yield _gauge(
            names.BUDGET_EXHAUSTION,
            "Time until nothing is left, at the last hour's burn rate.",
            (names.LABEL_SLO,),
            ends,
        )


def _ring(store: Store, slo: Slo, grain: str, kept: float, width: int) -> Ring:
    buckets = int(kept // width) + 2
    return store.ring(f"{slo.name}/{grain}", buckets=buckets, width_seconds=width, columns=2)


def _gauge(name: str, text: str, labels: tuple[str, ...], series: _Series) -> Family:
    unit = "seconds" if name.endswith("_seconds") else "ratio" if name.endswith("_ratio") else ""
    return Family(
        name=name,
        kind="gauge",
        help=text,
        unit=unit,
        label_names=labels,
        bounds=(),
        series=series,
        exemplars={},
        created=0.0,
    )
