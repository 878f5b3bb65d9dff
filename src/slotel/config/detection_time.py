"""What an outage of constant error ratio does to an objective: when an alert fires, what is spent by then. Pure.

Source: SRE workbook, chapter 5: "(1 − SLO) / error ratio × alerting window size × burn rate".
"""

from __future__ import annotations

from slotel.config.slo import MIN_BAD_EVENTS, BurnRateAlert, Slo


def counted_ratio(slo: Slo, error_ratio: float) -> float:
    """Return the share of what the objective counts that is bad: of its events, or of its time slices.

    In an outage of constant error ratio every slice is bad, or none is.

    >>> from slotel.config.slo import TimeSlices
    >>> sliced = Slo("checkout", limit=0.01, objective=0.99, slices=TimeSlices(60, limit=0.05))
    >>> counted_ratio(sliced, 0.1), counted_ratio(sliced, 0.02)
    (1.0, 0.0)
    """
    if slo.slices is None or slo.slices.is_averaged:
        return error_ratio
    return 1.0 if error_ratio > slo.slices.limit else 0.0


def detection_time(slo: Slo, alert: BurnRateAlert, error_ratio: float) -> float | None:
    """Return seconds from the begin of an outage until the alert fires; None if it never does.

    Args:
        error_ratio: share of bad events during the outage, in (0, 1]; none before it.

    >>> from slotel.config.slo import BURN_RATE_ALERTS
    >>> detection_time(Slo("checkout", limit=0.001, objective=0.999), BURN_RATE_ALERTS[0], 1.0)
    51.84
    """
    threshold = alert.burn_rate(slo.period.seconds) * slo.limit
    ratio = counted_ratio(slo, error_ratio)
    if ratio <= threshold:
        return None
    enough = MIN_BAD_EVENTS * slo.slices.seconds if slo.slices is not None else 0.0
    return round(max(threshold / ratio * alert.long, enough), 6)


def budget_spent(slo: Slo, error_ratio: float, seconds: float) -> float:
    """Return the share of the period's budget that an outage spends in `seconds`, at steady traffic.

    >>> round(budget_spent(Slo("checkout", limit=0.001, objective=0.999), 1.0, 51.84), 6)
    0.02
    """
    return counted_ratio(slo, error_ratio) * seconds / (slo.limit * slo.period.seconds)
