"""An objective in words and numbers: what counts, what may fail, when each alert fires. Prints nothing.

Source of when an alert fires: SRE workbook, chapter 5: "(1 − SLO) / error ratio × alerting window size × burn rate".
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from slotel.compile.conventions import limit_window, period_name
from slotel.compile.prometheus.alerts import burn_name
from slotel.compile.promql import number
from slotel.config.duration import format_duration
from slotel.config.service import Service
from slotel.config.slo import (
    CANCELLED,
    CLIENT_CLOSED_REQUEST,
    MIN_BAD_EVENTS,
    MINUTE,
    ZERO,
    BurnRateAlert,
    Slo,
    is_reachable,
)

OUTAGES: Final = (1.0, 0.1)
"""Error ratios that are always shown, in addition to twice the limit."""


def explain(service: Service, slo: Slo, per_second: float) -> dict[str, Any]:
    """Return the explanation of an objective as plain values: durations in seconds, ratios in [0, 1].

    What is counted are events, or time slices, and so is what may be bad.

    Args:
        per_second: events a second, in the long run.
    """
    length = slo.slices.seconds if slo.slices else MINUTE if slo.unit == "minutes" else 1 / per_second
    events = slo.period.seconds / length
    return {
        "name": slo.name,
        "description": slo.description,
        "objective": _sentence(service, slo),
        "limit_ratio": slo.limit,
        "period": period_name(slo),
        "period_seconds": slo.period.seconds,
        "counted": _counted(slo),
        "bad": _bad(slo),
        "excluded": _excluded(slo),
        "traffic": {
            "events_per_second": per_second,
            "counted": slo.unit,
            "counted_per_period": events,
            "allowed_bad_per_period": events * slo.limit,
            "allowed_outage_seconds": slo.period.seconds * slo.limit,
            "events_per_hour": per_second * 3600,
        },
        "burn_alert": burn_name(slo),
        "limit_alert": None
        if slo.alerting is not None
        else f"more than {percent(slo.limit)} bad within {format_duration(limit_window(service, slo))}",
        "min_bad_events": MIN_BAD_EVENTS,
        "tiers": [
            _burn_rate_alert(slo, alert, per_second)
            for alert in (*slo.burn_rate_alerts(), *slo.unreachable_alerts())
        ],
    }


def percent(ratio: float) -> str:
    """Return a ratio as people read it.

    >>> percent(0.001)
    '0.1 %'
    """
    return f"{ratio * 100:.10g} %"


def _sentence(service: Service, slo: Slo) -> str:
    period = {"month": "calendar month", "quarter": "calendar quarter"}.get(
        slo.period.calendar or "", f"{format_duration(slo.period.seconds)} (rolling)"
    )
    what = "time slices" if slo.slices is not None else "requests"
    within = f" and answered within {slo.latency * 1000:.10g} ms" if slo.latency is not None else ""
    return f"{percent(slo.objective)} of the {what} of {service.name} are good{within}, in every {period}"


def _counted(slo: Slo) -> list[str]:
    if slo.queries is not None:
        by = f", by {', '.join(slo.queries.groups)}" if slo.queries.groups else ""
        counted = slo.queries.total or f"the average over time of {slo.queries.ratio}"
        return [f"by Prometheus alone{by}: {counted}"]
    lines = [
        f"{' and '.join(slo.select.kinds)} spans",
        *_values(slo.select.include, "where {key} is {values}"),
    ]
    if slo.slices is not None:
        lines.append(
            f"in slices of {format_duration(slo.slices.seconds)}: a slice is bad if more than "
            f"{percent(slo.slices.limit)} of its events are; one without events is good"
        )
    return lines


def _bad(slo: Slo) -> list[str]:
    if slo.queries is not None:
        bad = slo.queries.bad.replace(f" or {ZERO}", "")
        return [f"by Prometheus alone: {bad or slo.queries.ratio}"]
    lines = ["slo.outcome is bad, set in code"]
    if slo.bad.http_5xx:
        lines.append("HTTP status 500 or more")
    if slo.bad.status_error:
        lines.append("span status ERROR")
    lines += _values(slo.bad.attributes, "{key} is {values}")
    if slo.latency is not None:
        lines.append(f"took longer than {slo.latency * 1000:.10g} ms")
    return lines


def _excluded(slo: Slo) -> list[str]:
    if slo.queries is not None:
        return []
    return [
        "slo.outcome is excluded, set in code",
        f"the client gave up (status {CLIENT_CLOSED_REQUEST}, {CANCELLED[0]})",
        *_values(slo.select.exclude, "{key} is {values}"),
    ]


def _values(attributes: Mapping[str, tuple[str, ...]], sentence: str) -> list[str]:
    return [sentence.format(key=key, values=" or ".join(values)) for key, values in attributes.items()]


def _burn_rate_alert(slo: Slo, alert: BurnRateAlert, per_second: float) -> dict[str, Any]:
    burn = alert.burn_rate(slo.period.seconds)
    twice = min(2 * slo.limit, 1.0)
    reachable = is_reachable(slo, alert)
    outages = []
    for name, ratio in (*((percent(each), each) for each in OUTAGES), (f"2× ({percent(twice)})", twice)):
        seconds = detection_time(slo, alert, ratio, per_second) if reachable else None
        spent = None if seconds is None else budget_spent(slo, ratio, seconds)
        found = {"detected_after_seconds": seconds, "budget_spent_ratio": spent}
        outages.append({"outage": name, "error_ratio": ratio, **found})
    return {
        "severity": alert.severity,
        "long_seconds": alert.long,
        "short_seconds": alert.short,
        "burn_rate": float(number(burn)),
        "threshold_ratio": float(number(burn * slo.limit)),
        "reachable": reachable,
        "outages": outages,
    }


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


def detection_time(
    slo: Slo, alert: BurnRateAlert, error_ratio: float, per_second: float = inf
) -> float | None:
    """Return seconds from the begin of an outage until the alert fires; None if it never does.

    Args:
        error_ratio: share of bad events during the outage, in (0, 1]; none before it.
        per_second: events a second. The long window must hold as many bad ones as an alert needs.

    >>> from slotel.config.slo import BURN_RATE_ALERTS
    >>> detection_time(Slo("checkout", limit=0.001, objective=0.999), BURN_RATE_ALERTS[0], 1.0)
    51.84
    """
    threshold = alert.burn_rate(slo.period.seconds) * slo.limit
    ratio = counted_ratio(slo, error_ratio)
    if ratio <= threshold:
        return None
    if slo.unit == "minutes":  # of a ratio that Prometheus gives there are no events
        enough = 0.0
    else:
        enough = MIN_BAD_EVENTS * (slo.slices.seconds if slo.slices else 1 / (per_second * ratio))
    return round(max(threshold / ratio * alert.long, enough), 6) if enough <= alert.long else None


def budget_spent(slo: Slo, error_ratio: float, seconds: float) -> float:
    """Return the share of the period's budget that an outage spends in `seconds`, at steady traffic.

    >>> round(budget_spent(Slo("checkout", limit=0.001, objective=0.999), 1.0, 51.84), 6)
    0.02
    """
    return counted_ratio(slo, error_ratio) * seconds / (slo.limit * slo.period.seconds)
