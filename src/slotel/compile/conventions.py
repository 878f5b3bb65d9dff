"""All names of the recording rules, their labels and windows. Data, no rules.

Names and labels `slo:sli_error:ratio_rate…`, `slo:…:ratio`, `sloth_*` are Sloth's, so that its dashboards work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from slotel.compile.promql import any_of, equal, series
from slotel.config.duration import format_duration
from slotel.config.service import Service
from slotel.config.slo import DAY, HOUR, MINUTE, BurnRateAlert, Slo

INTERVAL: Final = 30.0
"""Seconds between evaluations of an objective's rules."""
PERIOD_INTERVAL: Final = 120.0
"""Seconds between evaluations of a day and more; below Prometheus' look-back of 5 min, or its series would flicker."""

TILE: Final = 10 * MINUTE
"""Seconds of a tile: windows of a day and more are sums of one sample per tile, at multiples of it."""

BASE: Final = 5 * MINUTE
"""The shortest window of the alerts; `base` has the one of a service."""
DIRECT: Final = (BASE, 30 * MINUTE, HOUR)
"""Windows that are computed from the counters themselves."""
SUMMED: Final = (2 * HOUR, 6 * HOUR)
"""Windows that are the last hour and a sum of the recorded base window: days of raw counters would cost too much."""
TILED: Final = (DAY, 3 * DAY)
"""Windows that are summed from tiles, like the period: a twentieth of the samples."""
SCRAPES: Final = 4
"""Least scrapes in a window: with fewer, `increase` has no result after one lost scrape."""

OBJECTIVE: Final = "slo:objective:ratio"
BUDGET: Final = "slo:error_budget:ratio"
PERIOD_DAYS: Final = "slo:time_period:days"
BURN_NOW: Final = "slo:current_burn_rate:ratio"
BURN_PERIOD: Final = "slo:period_burn_rate:ratio"
REMAINING: Final = "slo:period_error_budget_remaining:ratio"
EXHAUSTION: Final = "slo:error_budget_exhaustion:seconds"
INFO: Final = "sloth_slo_info"
LABEL_WINDOW: Final = "sloth_window"
LABEL_SEVERITY: Final = "sloth_severity"
LABEL_GROUP: Final = "slo_group"
"""Of grouped objectives: the values of their group's labels, joined by commas; so that a dashboard can list the groups
without knowing their labels."""

ALIVE: Final = "slo:service_spans:change1h"
"""The increase of a service's entry spans, of all objectives: tells whether the service does anything."""
LABEL_KINDS: Final = "span_kinds"

SLICE_TOTAL: Final = "slo:slice_events:increase"
SLICE_BAD_EVENTS: Final = "slo:slice_events_bad:increase"
SLICE: Final = "slo:slice_bad:bool"


def ratio(window: str) -> str:
    """Return the name of the share of bad events in a window."""
    return f"slo:sli_error:ratio_rate{_end(window)}"


def bad(window: str) -> str:
    """Return the name of the number of bad events in a window."""
    return f"slo:events_bad:increase{_end(window)}"


def total(window: str) -> str:
    """Return the name of the number of good and bad events in a window."""
    return f"slo:events:increase{_end(window)}"


def _end(window: str) -> str:
    return f"_{window}" if window.isalpha() else window


def tile(what: str) -> str:
    """Return the name of the number of events (`events`, `events_bad`) in a tile of the period."""
    return f"slo:{what}:sum{format_duration(TILE)}"


def open_tile(what: str) -> str:
    """Return the name of the number of events (`events`, `events_bad`) since the last tile."""
    return f"slo:{what}:open{format_duration(TILE)}"


def counted(what: str) -> str:
    """Return the name of the number of events (`events`, `events_bad`) of the last hour that base windows counted."""
    return f"slo:{what}:counted1h"


def missed(what: str) -> str:
    """Return the name of the number of events (`events`, `events_bad`) that the base windows missed."""
    return f"slo:{what}:missed"


def worst(name: str) -> str:
    """Return the PromQL aggregation that selects the worst of a record's series, over clusters or groups.

    >>> worst(REMAINING), worst(BURN_NOW)
    ('min', 'max')
    """
    return "min" if name in {REMAINING, EXHAUSTION} else "max"


def base(service: Service) -> float:
    """Return the shortest window, in seconds: 5 m, or what holds four scrapes of the service."""
    return max(BASE, _whole_minutes(service.monitoring.scrape_interval))


def before_last_hour(seconds: float) -> float:
    """Return the seconds of a SUMMED window before its last hour; one less, as a range may have both its ends in it."""
    return max(seconds - HOUR - 1, 1)


def limit_window(service: Service, slo: Slo) -> float:
    """Return the window of the alert on the limit, in seconds: the objective's, or what holds four scrapes."""
    return max(slo.window, _whole_minutes(service.monitoring.scrape_interval))


def burn_rate_alerts(service: Service, slo: Slo) -> tuple[BurnRateAlert, ...]:
    """Return the burn-rate alerts that can fire, with windows that hold four scrapes."""
    least = base(service)
    return tuple(
        each._replace(short=max(each.short, least), long=max(each.long, least))
        for each in slo.burn_rate_alerts()
    )


def groups(slo: Slo) -> tuple[str, ...]:
    """Return the labels by which an objective's events are grouped."""
    return slo.queries.groups if slo.queries is not None else ()


def _whole_minutes(scrape_interval: float | None) -> float:
    return math.ceil(SCRAPES * (scrape_interval or 0) / MINUTE) * MINUTE


def period_name(slo: Slo) -> str:
    """Return the period as names and people write it: `30d`, `month`."""
    return slo.period.calendar or format_duration(slo.period.seconds)


def labels(service: Service, slo: Slo) -> dict[str, str]:
    """Return the labels of every recorded series of an objective.

    `checkout` with `api-latency` has the id of `checkout-api` with `latency`, as Sloth gives it.
    """
    return {
        **slo.labels,
        "sloth_id": f"{service.name}-{slo.name}",
        "sloth_service": service.name or "",
        "sloth_slo": slo.name,
        "service": service.name or "",
        "slo": slo.name,
        **service.monitoring.match,
    }


def identity(service: Service) -> tuple[str, ...]:
    """Return the labels that tell an objective from every other one in a Prometheus, and from Sloth's of the same."""
    return ("service", "slo", *service.monitoring.match)


def alive_labels(service: Service, slo: Slo) -> dict[str, str]:
    """Return the labels of ALIVE for the kinds of spans that an objective counts."""
    kinds = "|".join(slo.select.kinds)
    return {"sloth_service": service.name or "", LABEL_KINDS: kinds, **service.monitoring.match}


def recorded(name: str, service: Service, slo: Slo, window: str = "", **more: str) -> str:
    """Return the selector of an objective's recorded series."""
    return series(name, equal(selected(service, slo, **more)), window)


def selected(service: Service, slo: Slo, **more: str) -> Mapping[str, str]:
    """Return the labels that select an objective's recorded series and no other's: Sloth's have neither of the two."""
    own = {"service": service.name or "", "slo": slo.name}
    return {**own, **service.monitoring.match, **more}


def recorded_of(name: str, service: Service, slos: Sequence[Slo], window: str = "", **more: str) -> str:
    """Return the selector of a recorded series of several objectives of a service."""
    own = [*equal({"service": service.name or ""}), any_of("slo", [slo.name for slo in slos])]
    return series(name, [*own, *equal({**service.monitoring.match, **more})], window)
