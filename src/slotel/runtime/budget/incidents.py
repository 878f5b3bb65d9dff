"""One incident for each objective, whatever of it is breached: what Sentry is told. The log tells of each alert.

An incident is told when it begins, once more when it rises from ticket to page, and when all of it has recovered.
Neither is told twice within the objective's window, so a ratio that wavers around its limit is no flood.
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
    """An objective whose budget is breached, or no longer.

    Args:
        breach: the worst of what is breached now; of a recovery, what recovered last.
        beside: what else is breached now.
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
        """Whether nothing is breached any more."""
        return self.breach.recovered

    def __str__(self) -> str:
        """Return the sentence for Sentry: the worst breach in numbers, and the names of the others."""
        others = ", ".join(breach.name for breach in self.beside)
        return f"{self.breach}; also breached: {others}" if others else str(self.breach)


@dataclass(slots=True)
class _Open:
    """What is known of an objective's incident.

    Args:
        breaches: what is breached now, by key.
        told: rank of what was told of the present rise; 0 if nothing was.
        last: when each severity was last told, unix seconds.
    """

    breaches: dict[str, Breach] = field(default_factory=dict)
    told: int = 0
    last: dict[Severity, float] = field(default_factory=dict)


class Incidents:
    """Remembers which objectives are breached, and what was told of it. Memory is bounded by the objectives."""

    def __init__(self, service: str, clock: Callable[[], float] = time.time) -> None:
        self._service = service
        self._clock = clock
        self._open: dict[str, _Open] = {}

    def after(self, changes: Iterable[Breach]) -> Iterator[Incident]:
        """Yield what is to be told after one look of the watch; to be called after each look."""
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
