"""Combines the breaches of an objective into one incident, which is reported to the log and to Sentry.

An incident is reported when it begins, when it rises from ticket to page, and when everything has recovered; each at
most once within the objective's window, so that a ratio near its limit does not cause a flood.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from slotel.config.slo import Severity, Slo
from slotel.runtime.budget.breaches import Breach

_RANK: Final[dict[Severity, int]] = {"ticket": 1, "page": 2}


class Incident(NamedTuple):
    """The begin, rise or recovery of an objective's incident.

    Args:
        breach: the worst current breach; for a recovery, the last one that recovered.
        beside: the other current breaches.
    """

    service: str
    breach: Breach
    beside: tuple[Breach, ...] = ()

    @property
    def slo(self) -> Slo:
        """The objective."""
        return self.breach.slo

    @property
    def recovered(self) -> bool:
        """Whether every breach has recovered."""
        return self.breach.recovered

    def __str__(self) -> str:
        """Return the sentence for the log and Sentry: the worst breach in numbers, and the names of the others."""
        others = ", ".join(breach.name for breach in self.beside)
        return f"{self.breach}; also breached: {others}" if others else str(self.breach)


@dataclass(slots=True)
class _Open:
    """The state of an objective's incident.

    Args:
        breaches: the current breaches, by key.
        told: the rank that was reported of the current incident; 0 for none.
        last: severity → when it was last reported, unix seconds.
    """

    breaches: dict[str, Breach] = field(default_factory=dict)
    told: int = 0
    last: dict[Severity, float] = field(default_factory=dict)


class Incidents:
    """The incidents of all objectives."""

    def __init__(self, service: str, clock: Callable[[], float] = time.time) -> None:
        self._service = service
        self._clock = clock
        self._open: dict[str, _Open] = {}

    def after(self, changes: Iterable[Breach]) -> Iterator[Incident]:
        """Yield the incidents to report after a check; call it after each check."""
        recovered: dict[str, Breach] = {}
        for change in changes:
            standing = self._open.setdefault(change.slo.name, _Open())
            if change.recovered:
                standing.breaches.pop(change.key, None)
                recovered[change.slo.name] = change
            else:
                standing.breaches[change.key] = change
        for name, standing in self._open.items():
            yield from self._told(standing, recovered.get(name))

    def _told(self, standing: _Open, recovered: Breach | None) -> Iterator[Incident]:
        if not standing.breaches:
            if standing.told and recovered is not None:
                yield Incident(self._service, recovered)
            standing.told = 0
            return
        # of one severity, the fastest burn speaks: its numbers are those of the outage
        worst, *others = sorted(
            standing.breaches.values(), key=lambda each: (-_RANK[each.severity], -each.threshold)
        )
        rank = _RANK[worst.severity]
        now = self._clock()
        if rank > standing.told:
            if now - standing.last.get(worst.severity, float("-inf")) < worst.slo.window:
                return
            standing.last[worst.severity] = now
            yield Incident(self._service, worst, tuple(others))
        standing.told = rank
