"""The page's section on objectives: budget left, burn rate against the alerts' thresholds, and the overall verdict."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, Literal, NamedTuple

from slotel.config.duration import format_duration
from slotel.config.ratio import shown
from slotel.config.slo import HOUR, MIN_BAD_EVENTS, MINUTE, Slo, time_to_exhaustion
from slotel.runtime.budget.windows import AlertState, BudgetWindows, Recent, Window

Health = Literal["good", "warn", "bad", "quiet"]
"""Worst last: `quiet` has no event to judge by."""
_ORDER: tuple[Health, ...] = ("quiet", "good", "warn", "bad")
_NAMED: Final = 3
"""Objectives that the verdict names; of more it says how many."""


class Objective(NamedTuple):
    """An objective now.

    Args:
        limit_window: the window of ERROR_BUDGET_WINDOW, against which the limit is compared.
        remaining: share of the budget left by the history that the processes keep (three days).
        exhaustion: seconds until nothing is left at the last hour's rate; infinite while nothing burns.
        recent: bad and all events of the last hour, or since the start.
    """

    slo: Slo
    limit_window: Window
    last_5m: Window
    remaining: float
    exhaustion: float
    alerts: tuple[AlertState, ...]
    recent: Recent

    @property
    def health(self) -> Health:
        """The objective's state, in one word."""
        firing = {alert.rule.severity for alert in self.alerts if alert.fires}
        if "page" in firing or (self.remaining <= 0 and self.limit_window.bad >= MIN_BAD_EVENTS):
            return "bad"
        exceeded = self.limit_window.burn > 1 and self.limit_window.bad >= MIN_BAD_EVENTS
        if firing or exceeded or self.remaining <= 0:
            return "warn"
        return "good" if self.limit_window.total or self.remaining < 1 else "quiet"

    @property
    def sentence(self) -> str:
        """The most important fact, for a person."""
        name, burn = self.slo.name, self.last_5m.burn
        worst = next((alert for alert in self.alerts if alert.fires), None)
        if worst is not None:
            times, severity = shown(worst.short.burn), worst.rule.severity
            return (
                f"{name} burns its error budget at {times} times the allowed rate: a {severity} alert fires"
            )
        if self.remaining <= 0:
            return f"the error budget of {name} is spent"
        if self.health == "warn":
            return f"{name} exceeds its limit"
        return f"{name} burns at {shown(burn)}×" if burn > 1 else f"{name} is within budget"


def objectives(windows: BudgetWindows) -> list[Objective]:
    """Return every objective that the service counts, as it is now, the unhealthy ones first."""
    every = []
    for index, slo in enumerate(windows.slos):
        remaining, burn = windows.remaining(index), windows.window(index, HOUR).burn
        exhaustion = time_to_exhaustion(remaining, burn, slo.period.seconds) if burn else inf
        limit_window, last_5m = windows.window(index, slo.window), windows.window(index, 5 * MINUTE)
        alerts, recent = windows.alerts(index), windows.recent(index)
        every.append(Objective(slo, limit_window, last_5m, remaining, exhaustion, alerts, recent))
    return sorted(every, key=lambda each: _ORDER.index(each.health), reverse=True)


def verdict(every: Sequence[Objective]) -> tuple[Health, str]:
    """Return how the service is, and the one sentence that says so."""
    if not every:
        return "quiet", "No objective is declared."
    health = max((each.health for each in every), key=_ORDER.index)
    if health == "quiet":
        shortest = min(each.limit_window.seconds for each in every)
        return health, f"No event of an objective in the last {format_duration(shortest)}."
    if health == "good":
        burning = [each for each in every if each.last_5m.burn > 1]
        return health, _sentence(["all objectives are within budget"], burning)
    return health, _sentence([], [each for each in every if each.health == health])


def _sentence(parts: list[str], named: Sequence[Objective]) -> str:
    """Return a sentence on the objectives, those with the least budget by name."""
    parts += [each.sentence for each in sorted(named, key=lambda each: each.remaining)[:_NAMED]]
    if len(named) > _NAMED:
        parts.append(f"and {len(named) - _NAMED} more")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."
