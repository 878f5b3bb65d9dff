"""Objectives, error budgets and burn rates: arithmetic on counts. No clock, no I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from slotel.config.names import BAD, EXCLUDED, GOOD, OUTCOMES
from slotel.config.patterns import with_stars
from slotel.config.value_types import Values

Outcome = Literal["good", "bad", "excluded"]
Severity = Literal["page", "ticket"]

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86400.0

HEALTH_ROUTES: Final = ("/health", "/healthz", "/livez", "/readyz", "/metrics")
"""Routes of health checks: excluded unless an objective includes them."""

_NOTHING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
_HEALTH: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"http.route": HEALTH_ROUTES})

SPAN_KINDS: Final = ("SERVER", "CONSUMER", "CLIENT", "PRODUCER", "INTERNAL")

ENTRY_KINDS: Final = ("SERVER", "CONSUMER")
"""Kinds of spans that are somebody's request."""
ENTRY_KIND_LABELS: Final = frozenset(f"SPAN_KIND_{kind}" for kind in ENTRY_KINDS)
"""Values of the label `span_kind` of such spans."""


class BurnRateAlert(NamedTuple):
    """One multi-window alert: fires while both windows burn `share` of the budget within `long` seconds.

    Source: SRE workbook, chapter 5, table 5-8, for a period of 30 days.
    """

    severity: Severity
    long: float
    short: float
    share: float

    def burn_rate(self, period: float) -> float:
        """Return the threshold for a period in seconds: 14.4 for 2 % in 1 h of 30 d; never below 1.

        A short period makes a long window's share less than its due: 10 % in 3 d of 7 d would alert within
        the budget.

        >>> BURN_RATE_ALERTS[0].burn_rate(30 * DAY), BURN_RATE_ALERTS[3].burn_rate(7 * DAY)
        (14.4, 1.0)
        """
        return max(round(self.share * period / self.long, 6), 1.0)


BURN_RATE_ALERTS: Final = (
    BurnRateAlert("page", long=HOUR, short=5 * MINUTE, share=0.02),
    BurnRateAlert("page", long=6 * HOUR, short=30 * MINUTE, share=0.05),
    BurnRateAlert("ticket", long=DAY, short=2 * HOUR, share=0.10),
    BurnRateAlert("ticket", long=3 * DAY, short=6 * HOUR, share=0.10),
)


class Period(NamedTuple):
    """The time over which a budget is given: rolling, or the calendar's month or quarter.

    Args:
        seconds: length; for calendar periods the nominal one (30 and 90 days).
    """

    seconds: float = 30 * DAY
    calendar: Literal["month", "quarter"] | None = None


class TimeSlices(NamedTuple):
    """Counts slices of time instead of events: a slice is bad if its bad ratio exceeds `limit`.

    Args:
        is_averaged: a slice counts by its bad ratio, not wholly as good or bad; `limit` has no say then.
    """

    seconds: float = MINUTE
    limit: float = 0.05
    is_averaged: bool = False


class Selection(NamedTuple):
    """Selects the spans that are an objective's events.

    Args:
        kinds: span kinds (`SERVER`, …).
        include, exclude: attribute → values; a value is exact, or a glob with `*`. All of include must
            match, none of exclude may.
    """

    kinds: tuple[str, ...] = ENTRY_KINDS
    include: Mapping[str, tuple[str, ...]] = _NOTHING
    exclude: Mapping[str, tuple[str, ...]] = _HEALTH


class BadRules(NamedTuple):
    """Which events are bad, in addition to an explicit outcome and a latency threshold."""

    status_error: bool = True
    http_5xx: bool = True
    attributes: Mapping[str, Values] = _NOTHING


WINDOW: Final = "{{.window}}"
"""The placeholder for a window in queries of other tools' files."""
ZERO: Final = "{{.zero}}"
"""The placeholder for no event: 0 with the labels of the objective's total."""


class Queries(NamedTuple):
    """An indicator given as PromQL (OpenSLO, Sloth, Pyrra): only Prometheus can count it, not the service.

    Args:
        bad, total: each gives a number of events over WINDOW; ZERO in it is 0 with the labels of the total.
        ratio: a ratio of bad events in their place, over WINDOW, or at an instant if it is not in the text.
        groups: labels by which events are told apart, as `cluster`: each has a budget and alerts of its own.
        operands: selectors without whose series `bad` has no result although events are counted.
    """

    bad: str = ""
    total: str = ""
    ratio: str = ""
    groups: tuple[str, ...] = ()
    operands: tuple[str, ...] = ()


class SeverityAlerts(NamedTuple):
    """A foreign file's settings for the alerts of one severity."""

    is_disabled: bool = False
    labels: Mapping[str, str] = MappingProxyType({})
    annotations: Mapping[str, str] = MappingProxyType({})


class Alerting(NamedTuple):
    """A foreign file's settings for an objective's alerts: its routes rely on it.

    Args:
        name: of the burn-rate alerts; empty for slotel's own.
        labels, annotations: of every alert; they may hold Prometheus' templates.
    """

    name: str = ""
    labels: Mapping[str, str] = MappingProxyType({})
    annotations: Mapping[str, str] = MappingProxyType({})
    page: SeverityAlerts = SeverityAlerts()
    ticket: SeverityAlerts = SeverityAlerts()

    def of(self, severity: Severity) -> SeverityAlerts:
        """Return the settings for a severity."""
        return self.page if severity == "page" else self.ticket


@dataclass(frozen=True, slots=True)
class Slo:
    """A service level objective.

    Args:
        limit: error budget: largest tolerated bad ratio, in (0, 1).
        objective: least good ratio, 1 − limit, rounded once from the exact value.
        latency: threshold in seconds above which a good event is bad; None for availability.
        window: seconds over which the live rate is compared against the limit (ERROR_BUDGET_WINDOW).
        queries: stand in place of select, bad and latency.
        labels: further labels of all that is recorded of it, as `owner`.
        alerting: a foreign file's settings for its alerts; None for slotel's own.
    """

    name: str
    limit: float
    objective: float
    period: Period = field(default_factory=Period)
    latency: float | None = None
    window: float = HOUR
    select: Selection = field(default_factory=Selection)
    bad: BadRules = field(default_factory=BadRules)
    slices: TimeSlices | None = None
    description: str = ""
    runbook: str = ""
    queries: Queries | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    alerting: Alerting | None = None

    @property
    def unit(self) -> str:
        """The counted events, in words."""
        if self.slices is not None:
            return "time slices"
        return "minutes" if self.queries is not None and self.queries.ratio else "events"

    def disables(self, severity: Severity) -> bool:
        """Return whether a foreign file wants no alerts of a severity."""
        return self.alerting is not None and self.alerting.of(severity).is_disabled

    def burn_rate_alerts(self) -> tuple[BurnRateAlert, ...]:
        """Return the alerts that can fire."""
        return tuple(alert for alert in BURN_RATE_ALERTS if is_reachable(self, alert))

    def unreachable_alerts(self) -> tuple[BurnRateAlert, ...]:
        """Return the alerts that can never fire: an error rate of 100 % or more, or too few time slices."""
        return tuple(alert for alert in BURN_RATE_ALERTS if not is_reachable(self, alert))


class Event(NamedTuple):
    """The properties of an ended span that objectives use.

    Args:
        kind: `SERVER`, `CONSUMER`, `CLIENT`, `PRODUCER` or `INTERNAL`.
        seconds: duration.
        outcome: by the outcome table of `docs/outcomes.md`, before the objective's own rules.
        http_status: response status code, if it is an HTTP span.
        timed: its duration is a latency; the life of a socket or a stream is not.
    """

    kind: str
    seconds: float
    outcome: Outcome
    http_status: int | None
    attributes: Mapping[str, object]
    timed: bool = True


CLIENT_CLOSED_REQUEST: Final = 499
"""nginx's status of a request whose client closed the connection: excluded by the outcome table."""
CANCELLED: Final = ("CancelledError", "asyncio.CancelledError", "asyncio.exceptions.CancelledError")
"""Values of `error.type` of a request that its client gave up: excluded by the outcome table."""

MIN_BAD_EVENTS: Final = 5
"""Fewer bad events in a window breach nothing: one error at low traffic is no outage."""


def classify(slo: Slo, event: Event, explicit: str | None = None) -> Outcome | None:
    """Return the event's outcome for the objective; None if the objective does not count it. The first match wins.

    The order is: code, file, outcome table, latency threshold.

    Args:
        explicit: the span's `slo.outcome`, which beats every rule.
    """
    select, attributes = slo.select, event.attributes
    if event.kind not in select.kinds or not all(_matching(select.include, attributes)):
        return None
    if explicit in OUTCOMES:
        return explicit  # type: ignore[return-value]  # narrowed by membership, which mypy does not see
    if any(_matching(select.exclude, attributes)):
        return EXCLUDED
    is_marked = any(_matching(slo.bad.attributes, attributes))
    if event.outcome == EXCLUDED and not is_marked:
        return EXCLUDED
    is_slow = slo.latency is not None and event.timed and event.seconds > slo.latency
    return BAD if is_marked or is_slow or _is_bad(slo.bad, event) else GOOD


def burn_rate(bad: float, total: float, limit: float) -> float:
    """Return how fast the budget is spent: 1.0 spends it exactly by the end of the period.

    Args:
        limit: largest tolerated bad ratio, in (0, 1).

    0 events burn nothing. Source: SRE workbook, chapter 5, "Alerting on SLOs".

    >>> burn_rate(bad=1, total=100, limit=0.005)
    2.0
    """
    return bad / total / limit if total else 0.0


def budget_remaining(bad: float, total: float, limit: float) -> float:
    """Return the share of the budget that is left, in (−∞, 1]: 1 − the burn rate over the period.

    >>> budget_remaining(bad=1, total=1000, limit=0.002)
    0.5
    """
    return 1.0 - burn_rate(bad, total, limit)


def time_to_exhaustion(remaining: float, burn: float, period: float) -> float:
    """Return seconds until nothing is left at the present burn rate; infinite while nothing burns.

    >>> time_to_exhaustion(remaining=0.5, burn=2.0, period=720.0)
    180.0
    """
    if burn <= 0:
        return math.inf
    return max(remaining, 0.0) * period / burn


def is_reachable(slo: Slo, alert: BurnRateAlert) -> bool:
    """Return whether an error rate below 100 % can reach the alert's threshold, and enough slices fit into its window.

    >>> is_reachable(Slo("checkout", limit=0.0694, objective=0.9306), BURN_RATE_ALERTS[0])
    True
    >>> is_reachable(Slo("checkout", limit=0.07, objective=0.93), BURN_RATE_ALERTS[0])
    False
    """
    return alert.burn_rate(slo.period.seconds) * slo.limit < 1 and holds_enough(slo, alert.long)


def holds_enough(slo: Slo, window: float) -> bool:
    """Return whether a window can hold as many bad events as a breach needs: of time slices, it may be too short."""
    return slo.slices is None or MIN_BAD_EVENTS * slo.slices.seconds <= window


def _matching(rules: Mapping[str, tuple[str, ...]], attributes: Mapping[str, object]) -> Iterator[bool]:
    return (key in attributes and _matches(key, values, attributes[key]) for key, values in rules.items())


def _matches(key: str, values: tuple[str, ...], actual: object) -> bool:
    """Return whether an attribute has one of the values; a route matches with and without its outer slashes.

    Django's routes have no leading slash, and often a trailing one: `healthz/` is `/healthz`.
    """
    if matches(values, actual):
        return True
    return key == "http.route" and matches(values, "/" + str(actual).strip("/"))


def matches(patterns: tuple[str, ...], value: object) -> bool:
    """Return whether a value is one of the patterns; `*` in a pattern stands for any characters."""
    text = str(value)
    return any(
        _glob(pattern).fullmatch(text) is not None if "*" in pattern else pattern == text
        for pattern in patterns
    )


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(with_stars([re.escape(piece) for piece in pattern.split("*")]), re.DOTALL)


def _is_bad(rules: BadRules, event: Event) -> bool:
    if rules.http_5xx and event.http_status is not None and event.http_status >= 500:  # noqa: PLR2004 RFC 9110
        return True
    return rules.status_error and event.outcome == BAD
