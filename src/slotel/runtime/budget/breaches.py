"""Detects when an objective exceeds its limit or a burn-rate alert's threshold, and when it has recovered.

The windows are checked at each tick. With Prometheus, its alerts page; this is for services without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from slotel.config.duration import format_duration
from slotel.config.ratio import shown
from slotel.config.slo import MIN_BAD_EVENTS, BurnRateAlert, Severity, Slo
from slotel.runtime.budget.history import KEPT
from slotel.runtime.budget.windows import BudgetWindows, Window


class Breach(NamedTuple):
    """A change of the limit or of one burn-rate alert of an objective: breached or recovered.

    Args:
        window: the events in the objective's window, or in the alert's long window.
        alert: the burn-rate alert; None for the limit.
    """

    slo: Slo
    window: Window
    recovered: bool
    alert: BurnRateAlert | None = None

    @property
    def key(self) -> str:
        """The identity of what is breached; equal for a breach and its recovery."""
        alert = f"/{self.alert.severity}/{format_duration(self.alert.long)}" if self.alert else ""
        return f"{self.slo.name}{alert}"

    @property
    def severity(self) -> Severity:
        """`page` or `ticket`; `ticket` for the limit, as in Prometheus' alerts."""
        return self.alert.severity if self.alert else "ticket"

    @property
    def threshold(self) -> float:
        """The burn rate above which it is a breach."""
        return self.alert.burn_rate(self.slo.period.seconds) if self.alert else 1.0

    @property
    def name(self) -> str:
        """The breached limit, in words."""
        if self.alert is None:
            return f"limit of {_percent(self.slo.limit)} in {format_duration(self.slo.window)}"
        return f"{self.severity} at {shown(self.threshold, 6)}× in {format_duration(self.alert.long)}"

    def __str__(self) -> str:
        """Return the sentence for the log and for Sentry."""
        state = "recovered" if self.recovered else "breached"
        bad, total, seconds = self.window.bad, self.window.total, self.window.seconds
        counts = f"{bad:.0f} of {total:.0f} {self.window.unit} bad in {format_duration(seconds)}"
        return f"error budget {state}: '{self.slo.name}' {counts}, {self._rates()}"

    def _rates(self) -> str:
        if self.alert is None:
            return f"{_percent(self.window.ratio)} against a limit of {_percent(self.slo.limit)}"
        than = "against" if self.recovered else "above"  # the long window may still be above it
        threshold = f"{self.severity} threshold of {shown(self.threshold, 6)}×"
        return f"burn rate {shown(self.window.burn)}×, {than} the {threshold}"


class BreachDetector:
    """Reports a breach at most once per window, and its recovery once."""

    def __init__(self, windows: BudgetWindows, clock: Callable[[], float] = time.time) -> None:
        self._windows = windows
        self._clock = clock
        self._since: dict[str, float] = {}

    def check(self) -> Iterator[Breach]:
        """Yield what was breached or has recovered since the last call."""
        for index, slo in enumerate(self._windows.slos):
            if not self._since and not self._may_be_breached(index, slo):
                continue
            window = self._windows.window(index, slo.window)
            yield from self._changes(Breach(slo, window, recovered=False), exceeded=window.ratio > slo.limit)
            for alert in self._windows.alerts(index):
                breach = Breach(slo, alert.long, recovered=False, alert=alert.rule)
                yield from self._changes(breach, exceeded=alert.burns)

    def _may_be_breached(self, index: int, slo: Slo) -> bool:
        """Whether any window can have enough bad events: a cheap check."""
        if self._windows.bad_ever(slo) < MIN_BAD_EVENTS:
            return False
        return self._windows.window(index, max(KEPT, slo.window)).bad >= MIN_BAD_EVENTS

    def _changes(self, breach: Breach, *, exceeded: bool) -> Iterator[Breach]:
        now, since = self._clock(), self._since.get(breach.key)
        if exceeded and breach.window.bad >= MIN_BAD_EVENTS:
            if since is None or now - since >= breach.window.seconds:
                self._since[breach.key] = now
                yield breach
        elif since is not None:
            del self._since[breach.key]
            yield Breach(breach.slo, breach.window, recovered=True, alert=breach.alert)


def _percent(ratio: float) -> str:
    return f"{shown(ratio * 100)}%"
