"""Says when an error budget is breached and when it has recovered: once each, for the limit and for each burn tier.

It reads the windows at each tick. Alerts that page come from Prometheus; this is for services without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from slotel.config.duration import format_duration
from slotel.config.slo import MIN_BAD_EVENTS, BurnTier, Severity, Slo
from slotel.runtime.budget.history import KEPT
from slotel.runtime.budget.windows import BudgetWindows, Window


class Breach(NamedTuple):
    """A limit that is exceeded, or a budget that burns too fast, or no longer.

    Args:
        window: what happened, over the objective's window or the tier's long one.
        tier: the burn tier; None for the limit itself.
    """

    slo: Slo
    window: Window
    recovered: bool
    tier: BurnTier | None = None

    @property
    def key(self) -> str:
        """What is breached: the same for a breach and its recovery."""
        tier = f"/{self.tier.severity}/{format_duration(self.tier.long)}" if self.tier else ""
        return f"{self.slo.name}{tier}"

    @property
    def severity(self) -> Severity:
        """How urgent it is; the limit itself is a ticket, as in Prometheus' alerts."""
        return self.tier.severity if self.tier else "ticket"

    @property
    def threshold(self) -> float:
        """The burn rate above which it is a breach."""
        return self.tier.burn_rate(self.slo.period.seconds) if self.tier else 1.0

    @property
    def name(self) -> str:
        """What is breached, without numbers."""
        if self.tier is None:
            return f"limit in {format_duration(self.slo.window)}"
        return f"{self.severity} at {self.threshold:g}× in {format_duration(self.tier.long)}"

    def __str__(self) -> str:
        """Return the sentence for the log and for Sentry."""
        state = "recovered" if self.recovered else "breached"
        bad, total, seconds = self.window.bad, self.window.total, self.window.seconds
        counts = f"{bad:.0f} of {total:.0f} {self.window.unit} bad in {format_duration(seconds)}"
        return f"error budget {state}: '{self.slo.name}' {counts}, {self._rates()}"

    def _rates(self) -> str:
        if self.tier is None:
            return f"{_percent(self.window.ratio)} against a limit of {_percent(self.slo.limit)}"
        return f"burning {self.window.burn:.3g}× against {self.severity} at {self.threshold:g}×"


class BreachDetector:
    """Remembers what was said, so that a breach is said at most once per window and its end once."""

    def __init__(self, windows: BudgetWindows, clock: Callable[[], float] = time.time) -> None:
        self._windows = windows
        self._clock = clock
        self._since: dict[str, float] = {}

    def check(self) -> Iterator[Breach]:
        """Yield what is newly breached or recovered."""
        for index, slo in enumerate(self._windows.slos):
            everything = self._windows.window(index, max(KEPT, slo.window))
            if everything.bad < MIN_BAD_EVENTS and not self._since:
                continue  # then no window has enough: one look for each objective, while all is well
            window = self._windows.window(index, slo.window)
            yield from self._changes(Breach(slo, window, recovered=False), exceeded=window.ratio > slo.limit)
            for tier in slo.tiers():
                window = self._windows.window(index, tier.long)
                threshold = tier.burn_rate(slo.period.seconds)
                burns = window.burn > threshold and self._windows.window(index, tier.short).burn > threshold
                yield from self._changes(Breach(slo, window, recovered=False, tier=tier), exceeded=burns)

    def _changes(self, breach: Breach, *, exceeded: bool) -> Iterator[Breach]:
        now, since = self._clock(), self._since.get(breach.key)
        if exceeded and breach.window.bad >= MIN_BAD_EVENTS:
            if since is None or now - since >= breach.window.seconds:
                self._since[breach.key] = now
                yield breach
        elif since is not None:
            del self._since[breach.key]
            yield Breach(breach.slo, breach.window, recovered=True, tier=breach.tier)


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.3g}%"
