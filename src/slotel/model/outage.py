"""What an outage of constant error ratio does to an objective: when a tier fires, what is spent by then. Pure.

Source: SRE workbook, chapter 5: "(1 − SLO) / error ratio × alerting window size × burn rate".
"""

from __future__ import annotations

from slotel.model.slo import BurnTier, Slo


def detection_time(slo: Slo, tier: BurnTier, error_ratio: float) -> float | None:
    """Return seconds from the begin of an outage until the tier fires; None if it never does.

    Args:
        error_ratio: share of bad events during the outage, in (0, 1]; none before it.

    >>> from slotel.model.slo import TIERS
    >>> detection_time(Slo("checkout", limit=0.001, objective=0.999), TIERS[0], 1.0)
    51.84
    """
    threshold = tier.burn_rate(slo.period.seconds) * slo.limit
    if error_ratio <= threshold:
        return None
    return round(threshold / error_ratio * tier.long, 6)


def reset_time(slo: Slo, tier: BurnTier, error_ratio: float) -> float:
    """Return seconds from the end of a long outage until the tier's short window is below its threshold."""
    threshold = tier.burn_rate(slo.period.seconds) * slo.limit
    return tier.short * max(1 - threshold / error_ratio, 0.0)


def budget_spent(slo: Slo, error_ratio: float, seconds: float) -> float:
    """Return the share of the period's budget that an outage spends in `seconds`, at steady traffic.

    >>> round(budget_spent(Slo("checkout", limit=0.001, objective=0.999), 1.0, 51.84), 6)
    0.02
    """
    return error_ratio * seconds / (slo.limit * slo.period.seconds)
