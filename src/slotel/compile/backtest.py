"""Computes which alerts of an objective would have fired in the past, and what other settings would change. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from slotel.compile import conventions as at
from slotel.compile.history import STEP, Clock, Recorded, Series, spans
from slotel.compile.prometheus.alerts import ABSENT, ABSENT_FOR, EXHAUSTED, LIMIT, burn_name
from slotel.config.duration import format_duration, parse_duration
from slotel.config.service import Service
from slotel.config.slo import BURN_RATE_ALERTS, MIN_BAD_EVENTS, Slo

GAP: Final = 20
"""Evaluations below the limit that do not end an incident: ten minutes."""
OBJECTIVES: Final = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999)
MINIMA: Final = (1, MIN_BAD_EVENTS, 20)
WINDOWS: Final = (300.0, 3600.0, 21600.0)


@dataclass(frozen=True, slots=True)
class Fired:
    """One alert, from its first evaluation as firing until the first at which it is silent.

    Args:
        spent: share of the period's budget that was spent between the incident's begin and the alert.
        group: values of the group's labels.
    """

    alert: str
    severity: str
    windows: str
    begin: int
    end: int
    spent: float | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """A time in which the ratio of bad events was over the objective's limit.

    Args:
        spent: share of the period's error budget that it spent.
        bad: number of bad events.
        caught: whether an alert fired for it.
    """

    begin: int
    end: int
    spent: float
    bad: float
    caught: bool
    group: str = ""


@dataclass(frozen=True, slots=True)
class Alternative:
    """The result of another setting."""

    setting: str
    pages: int
    tickets: int
    missed: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """The past of one objective.

    Args:
        good: ratio of good events, in [0, 1]; None without events.
        remaining: share of the error budget that is left at the end.
        silent: seconds without any event.
    """

    service: str
    slo: str
    objective: float
    begin: int
    end: int
    good: float | None
    remaining: float | None
    silent: float
    fired: tuple[Fired, ...]
    missed: tuple[Incident, ...]
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """The recorded past of an objective, or of one of its groups.

    Args:
        absent: for each evaluation whether the metric was absent.
    """

    recorded: Recorded
    absent: Sequence[bool] = ()
    group: str = ""


def backtest(service: Service, slo: Slo, pasts: Sequence[Past], clock: Clock) -> Backtest:
    """Return the backtest of one objective."""
    fired, missed = _judge(service, slo, pasts, clock, MIN_BAD_EVENTS)
    base = format_duration(at.base(service))
    totals = [sum(value or 0.0 for value in past.recorded.total[base]) for past in pasts]
    bads = [sum(value or 0.0 for value in past.recorded.bad[base]) for past in pasts]
    events = sum(totals)
    silent = min(
        (sum(value is None for value in past.recorded.total[base]) for past in pasts), default=clock.length
    )
    return Backtest(
        service=service.name or "",
        slo=slo.name,
        objective=slo.objective,
        begin=clock.at(0),
        end=clock.at(clock.length - 1),
        good=1 - sum(bads) / events if events else None,
        remaining=min((_remaining(slo, past.recorded)[-1] for past in pasts), default=None),
        silent=silent * float(STEP),
        fired=tuple(fired),
        missed=tuple(missed),
        alternatives=tuple(_alternatives(service, slo, pasts, clock)),
    )


def _judge(
    service: Service, slo: Slo, pasts: Sequence[Past], clock: Clock, minimum: int
) -> tuple[list[Fired], list[Incident]]:
    fired: list[Fired] = []
    missed: list[Incident] = []
    for past in pasts:
        burnt = _Burnt(service, slo, past.recorded, clock)
        own = [
            replace(each, spent=burnt.spent_before(each.begin), group=past.group)
            for each in _alerts(service, slo, past, clock, minimum)
        ]
        fired += own
        missed += [
            replace(each, group=past.group)
            for each in burnt.incidents(own)
            if not each.caught and each.spent >= min(alert.share for alert in BURN_RATE_ALERTS)
        ]
    fired.sort(key=lambda each: (each.begin, each.alert))
    return fired, missed


def _alerts(service: Service, slo: Slo, past: Past, clock: Clock, minimum: int) -> Iterator[Fired]:
    recorded = past.recorded
    for alert in at.burn_rate_alerts(service, slo):
        if slo.disables(alert.severity):
            continue
        long, short = format_duration(alert.long), format_duration(alert.short)
        threshold = alert.burn_rate(slo.period.seconds) * slo.limit
        holds = _all_above(
            [recorded.share(long), recorded.share(short)], threshold, _bad(slo, recorded, long), minimum
        )
        yield from _fired(burn_name(slo), alert.severity, f"{long}/{short}", holds, clock)
    if slo.alerting is None:
        window = format_duration(at.limit_window(service, slo))
        holds = _all_above([recorded.share(window)], slo.limit, _bad(slo, recorded, window), minimum)
        yield from _fired(LIMIT, "ticket", window, holds, clock)
    if not slo.disables("ticket"):
        period = at.period_name(slo)
        bad = _bad(slo, recorded, period)
        holds = [
            left <= 0 and (bad is None or (bad[index] or 0.0) >= minimum)
            for index, left in enumerate(_remaining(slo, recorded))
        ]
        yield from _fired(EXHAUSTED, "ticket", period, holds, clock)
    if past.absent:
        yield from _fired(ABSENT, "ticket", "", past.absent, clock, parse_duration(ABSENT_FOR))


def _bad(slo: Slo, recorded: Recorded, window: str) -> Series | None:
    return None if slo.unit == "minutes" else recorded.bad[window]


def _all_above(shares: Sequence[Series], threshold: float, bad: Series | None, minimum: int) -> list[bool]:
    return [
        all(each is not None and each > threshold for each in values)
        and (bad is None or (bad[index] or 0.0) >= minimum)
        for index, values in enumerate(zip(*shares, strict=True))
    ]


def _fired(
    alert: str, severity: str, windows: str, holds: Sequence[bool], clock: Clock, delay: float = 0.0
) -> Iterator[Fired]:
    for begin, end in spans(holds):
        first = begin + int(delay // STEP)
        if first < end:
            yield Fired(alert, severity, windows, clock.at(first), clock.at(end))


def _remaining(slo: Slo, recorded: Recorded) -> list[float]:
    shares = recorded.share(at.period_name(slo))
    return [1 - (share or 0.0) / slo.limit for share in shares]


class _Burnt:
    """The error budget spent over time. The budget is that of a period with as many events as the past had."""

    def __init__(self, service: Service, slo: Slo, recorded: Recorded, clock: Clock) -> None:
        base, share = format_duration(at.base(service)), at.base(service) / at.INTERVAL
        self._clock, self._slo = clock, slo
        self._share = recorded.share(base)
        total = sum(value or 0.0 for value in recorded.total[base]) / share
        periods = clock.length * STEP / slo.period.seconds
        self._budget = total / periods * slo.limit if total else 0.0
        self._bad = [0.0]
        for value in recorded.bad[base]:
            self._bad.append(self._bad[-1] + (value or 0.0) / share)
        self._spans = self._joined()

    def _joined(self) -> list[tuple[int, int]]:
        """Return the incidents: times above the limit, joined if they are less than GAP apart."""
        found: list[tuple[int, int]] = []
        for begin, end in spans([share is not None and share > self._slo.limit for share in self._share]):
            if found and begin - found[-1][1] <= GAP:
                found[-1] = (found[-1][0], end)
            else:
                found.append((begin, end))
        return found

    def spent(self, begin: int, end: int) -> float:
        """Return the share of the budget that was spent between two evaluations."""
        return (self._bad[end] - self._bad[begin]) / self._budget if self._budget else 0.0

    def spent_before(self, moment: int) -> float | None:
        """Return what the incident at a moment had spent until then; None if there is no incident."""
        index = (moment - self._clock.start) // STEP
        begins = [begin for begin, end in self._spans if begin <= index <= end + GAP]
        return self.spent(begins[-1], min(index + 1, self._clock.length)) if begins else None

    def incidents(self, fired: Sequence[Fired]) -> Iterator[Incident]:
        """Yield every incident, and whether an alert fired in it."""
        for begin, end in self._spans:
            first, last = self._clock.at(begin), self._clock.at(end)
            caught = any(each.begin <= last + GAP * STEP and each.end >= first for each in fired)
            bad = self._bad[end] - self._bad[begin]
            yield Incident(first, last, self.spent(begin, end), bad, caught)


def _alternatives(service: Service, slo: Slo, pasts: Sequence[Past], clock: Clock) -> Iterator[Alternative]:
    """Yield the results of other objectives, minimum event counts and windows."""
    for objective in OBJECTIVES:
        if objective != slo.objective:
            other = replace(slo, objective=objective, limit=round(1 - objective, 10))
            yield _alternative(f"objective {objective * 100:.10g} %", service, other, pasts, clock)
    for minimum in MINIMA if slo.unit != "minutes" else ():
        if minimum != MIN_BAD_EVENTS:
            yield _alternative(f"at least {minimum} bad {slo.unit}", service, slo, pasts, clock, minimum)
    for window in WINDOWS if slo.alerting is None else ():
        other = replace(slo, window=window)
        known = all(format_duration(at.limit_window(service, other)) in past.recorded.bad for past in pasts)
        if window != slo.window and known:
            yield _alternative(f"window {format_duration(window)}", service, other, pasts, clock)


def _alternative(
    setting: str,
    service: Service,
    slo: Slo,
    pasts: Sequence[Past],
    clock: Clock,
    minimum: int = MIN_BAD_EVENTS,
) -> Alternative:
    fired, missed = _judge(service, slo, pasts, clock, minimum)
    pages = sum(each.severity == "page" for each in fired)
    return Alternative(setting, pages, len(fired) - pages, len(missed))
