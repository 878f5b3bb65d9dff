"""Sliding windows of good and bad events, for the gauges of the error budget and for breaches.

The rings are in the store, so that they are summed over workers.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from slotel.config import names
from slotel.config.duration import format_duration
from slotel.config.slo import HOUR, MIN_BAD_EVENTS, MINUTE, BurnRateAlert, Slo, burn_rate, time_to_exhaustion
from slotel.runtime.budget.history import BAD, FINE_WIDTH, GOOD, KEPT, History
from slotel.runtime.metrics.store.store import Family, Store
from slotel.runtime.process.clock import SteadyClock
from slotel.runtime.process.lifecycle import PROCESS

YOUNG: Final = 10 * MINUTE
"""Seconds of history that a chart shows in the ring's own steps."""
WINDOWS: Final = (5 * MINUTE, 30 * MINUTE, HOUR, 6 * HOUR)

_Series = dict[tuple[str, ...], tuple[float, ...]]
_OF_SLO: Final = (names.LABEL_SLO,)
_OF_WINDOW: Final = (names.LABEL_SLO, names.LABEL_WINDOW)
_GAUGES: Final = (
    (names.BUDGET_LIMIT, "ratio", _OF_SLO, "Largest tolerated bad ratio."),
    (names.BUDGET_ERROR, "ratio", _OF_WINDOW, "Bad ratio within the window."),
    (names.BUDGET_BURN, "", _OF_WINDOW, "Bad ratio within the window, divided by the limit."),
    (
        names.BUDGET_REMAINING,
        "ratio",
        _OF_SLO,
        "Share of the budget that is left, over at most the last three days.",
    ),
    (
        names.BUDGET_EXHAUSTION,
        "seconds",
        _OF_SLO,
        "Time until the budget is spent, at the last hour's burn rate.",
    ),
)
"""Name, unit, labels and help text."""


class Window(NamedTuple):
    """The events of an objective within the last `seconds`.

    Args:
        bad, total: numbers of events or time slices, as `unit` says.
        ratio: bad/total; 0.0 without events.
        burn: ratio/limit.
    """

    seconds: float
    bad: float
    total: float
    ratio: float
    burn: float
    unit: str = "events"


class AlertState(NamedTuple):
    """A burn-rate alert as the service itself sees it."""

    rule: BurnRateAlert
    long: Window
    short: Window
    threshold: float

    @property
    def burns(self) -> bool:
        """Whether both windows burn faster than the threshold."""
        return self.long.burn > self.threshold and self.short.burn > self.threshold

    @property
    def fires(self) -> bool:
        """Whether both windows burn faster than the threshold, and enough events were bad."""
        return self.burns and self.long.bad >= MIN_BAD_EVENTS


class Recent(NamedTuple):
    """The events of the last hour.

    Args:
        step: seconds of a point.
        points: (bad, total) events of each step, oldest first.
    """

    step: float
    points: tuple[tuple[float, float], ...]


class BudgetWindows:
    """The windows of every objective of a service.

    The hot path costs one comparison: counters are moved into the rings when a bucket ends, and before each reading.
    Events of other workers are seen after their next move, at most a tick later.

    Args:
        clock: unix seconds that no step of the wall clock moves; None: as the wall clock, from now on.
        wall: the wall clock, by which spans end, unix seconds; None: the same as a given `clock`.
        service_name: value of the label service_name.
    """

    def __init__(
        self,
        store: Store,
        slos: tuple[Slo, ...],
        clock: Callable[[], float] | None = None,
        service_name: str = "",
        wall: Callable[[], float] | None = None,
    ) -> None:
        self.slos = slos
        self._wall = wall or clock or time.time
        self._clock = clock or SteadyClock()
        self._lock = store.lock  # its own would make a second that a span's end may wait for (decision 0110)
        self._is_rolling = False
        self._events = store.counter(
            names.SLO_EVENTS,
            help="Events of each objective, by outcome.",
            label_names=(names.LABEL_SERVICE, names.LABEL_SLO, names.LABEL_OUTCOME),
        )
        self._service_name = service_name
        self._outcomes = {
            (slo.name, outcome): self._events.slot((service_name, slo.name, outcome))
            for slo in slos
            for outcome in names.OUTCOMES
        }
        self._moved = dict.fromkeys(self._outcomes.values(), 0.0)
        self._histories = [History(store, slo) for slo in slos]
        self._widths = {width for each in self._histories for width in each.widths}
        self._bucket = self._clock()
        self.bucket_ends_ns = 0
        """An event that ends at or after this, by the wall clock, opens a new bucket: `roll` before it is counted."""
        self.roll()
        PROCESS.register("budget_windows", after_fork_in_child=self._after_fork, tick=self.roll)

    def _after_fork(self) -> None:
        """A child counts from zero."""
        self._is_rolling = False
        self._moved = dict.fromkeys(self._moved, 0.0)

    def counter_cells(self, slo: Slo) -> dict[str, int]:
        """Return the slots of `slo_events` for an objective, by outcome."""
        return {outcome: self._outcomes[slo.name, outcome] for outcome in names.OUTCOMES}

    def roll(self) -> None:
        """Move the counts since the last call into the open bucket, and open the current one.

        Does nothing if a signal handler or a finalizer calls it during another call.
        """
        with self._lock:
            if self._is_rolling:
                return
            self._is_rolling = True
            try:
                self._move()
            finally:
                self._is_rolling = False

    def _move(self) -> None:
        for index, slo in enumerate(self.slos):
            for column, outcome in ((GOOD, names.GOOD), (BAD, names.BAD)):
                slot = self._outcomes[slo.name, outcome]
                counted = self._events.value(slot)
                moved = self._moved[slot]
                new = counted - moved if counted >= moved else counted  # less: it began at zero again
                if new:
                    self._moved[slot] = counted
                    self._histories[index].add(self._bucket, column, new)
        now = self._clock()
        self._bucket = max(self._bucket, now)
        end = min(((int(self._bucket // width) + 1) * width for width in self._widths), default=2**31)
        self.bucket_ends_ns = int((self._wall() + end - now) * 1e9)

    def bad_ever(self, slo: Slo) -> float:
        """Return how many events were bad since the start, over all workers."""
        return self._events.total((self._service_name, slo.name, names.BAD))

    def window(self, index: int, seconds: float) -> Window:
        """Return the events of an objective within the last `seconds`, of all workers, exact to one bucket."""
        self.roll()
        bad, total = self._histories[index].counts(self._clock(), seconds)
        ratio, slo = (bad / total if total else 0.0), self.slos[index]
        return Window(seconds, bad, total, ratio, burn_rate(bad, total, slo.limit), slo.unit)

    def alerts(self, index: int) -> tuple[AlertState, ...]:
        """Return the burn-rate alerts of an objective."""
        period, rules = self.slos[index].period.seconds, self.slos[index].burn_rate_alerts()
        return tuple(
            AlertState(
                rule, self.window(index, rule.long), self.window(index, rule.short), rule.burn_rate(period)
            )
            for rule in rules
        )

    def recent(self, index: int) -> Recent:
        """Return the events of the last hour in steps of a minute; in finer steps while the service is young."""
        self.roll()
        now = self._clock()
        age = now - self._histories[index].counted_since()
        step = FINE_WIDTH if age < YOUNG else int(MINUTE)
        count = int(min(age, HOUR) // step) + 1
        return Recent(step, self._histories[index].steps(now, step, count))

    def remaining(self, index: int) -> float:
        """Return the share of the budget that is left, by the kept history, in (−∞, 1]."""
        return 1.0 - self.window(index, KEPT).burn

    def families(self) -> Iterable[Family]:
        """Return the budget gauges of every objective."""
        rows: defaultdict[str, _Series] = defaultdict(dict)
        for index, slo in enumerate(self.slos):
            for seconds in dict.fromkeys((*WINDOWS, slo.window)):
                window, written = self.window(index, seconds), format_duration(seconds)
                rows[names.BUDGET_ERROR][slo.name, written] = (window.ratio,)
                rows[names.BUDGET_BURN][slo.name, written] = (window.burn,)
            remaining, burn = (
                self.remaining(index),
                rows[names.BUDGET_BURN][slo.name, format_duration(HOUR)][0],
            )
            rows[names.BUDGET_LIMIT][slo.name,] = (slo.limit,)
            rows[names.BUDGET_REMAINING][slo.name,] = (remaining,)
            end = time_to_exhaustion(remaining, burn, slo.period.seconds)
            rows[names.BUDGET_EXHAUSTION][slo.name,] = (end,)
        for name, unit, labels, text in _GAUGES:
            yield Family(name, "gauge", text, unit, labels, (), rows[name])
