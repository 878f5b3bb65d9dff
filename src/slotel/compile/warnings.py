"""Warns about compiled files: alerts that were omitted, links that have no address. Decides nothing."""

from __future__ import annotations

from typing import Final

from slotel.compile import conventions as at
from slotel.compile.dashboards import left_out
from slotel.compile.prometheus.promtests import untested
from slotel.compile.promql import number
from slotel.config.duration import format_duration
from slotel.config.service import Service
from slotel.config.slo import MIN_BAD_EVENTS, MINUTE, BurnRateAlert, Slo, holds_enough

_EDGES: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds. Source: OpenTelemetry semantic conventions, `http.server.request.duration`."""

_FOUR_SCRAPES: Final = at.SCRAPES * 60.0
"""Seconds, at Prometheus' default scrape interval."""


def warnings(service: Service) -> list[str]:
    """Return one sentence for each thing that was left out."""
    found = [sentence for slo in service.slos for sentence in _of_slo(service, slo)]
    found += [f"rules.test.yaml has no histories for {sentence}" for sentence in untested(service).values()]
    monitoring = service.monitoring
    for name, kind in (("sentry_url", "Sentry"), ("grafana_url", "dashboard"), ("runbook_url", "runbook")):
        if not getattr(monitoring, name):
            found.append(f"monitoring.{name} is not set: alerts carry no {kind} link")
    if "`" in (service.name or ""):
        found.append("the service has a backquote in its name: its rules work, dashboards cannot select it")
    if left_out():
        found.append(left_out())
    return found


def _of_slo(service: Service, slo: Slo) -> list[str]:
    found = [
        f"'{slo.name}': the {alert.severity} alert {format_duration(alert.long)}/{format_duration(alert.short)} can "
        f"never fire ({_why_dead(slo, alert)}) and is omitted"
        for alert in slo.unreachable_alerts()
    ]
    if not holds_enough(slo, at.limit_window(service, slo)) and slo.alerting is None:
        why = _too_few(slo, at.limit_window(service, slo))
        found.append(f"'{slo.name}': ErrorBudgetLimitExceeded can never fire ({why}): make window longer")
    base = at.base(service)
    if base > at.BASE:
        every = format_duration(service.monitoring.scrape_interval or 0)
        found.append(
            f"'{slo.name}': scraped every {every}, the shortest window is {format_duration(base)}, not 5m: it holds "
            f"{at.SCRAPES} scrapes"
        )
    if service.monitoring.scrape_interval is None and slo.window < _FOUR_SCRAPES and slo.alerting is None:
        found.append(
            f"'{slo.name}': window {format_duration(slo.window)} holds fewer than {at.SCRAPES} scrapes of Prometheus' "
            "default interval of 1m: set monitoring.scrape_interval, or make window longer"
        )
    found += _few_scrapes(service, slo)
    if slo.latency is not None and service.monitoring.source != "slo_events" and slo.latency not in _EDGES:
        found.append(
            f"'{slo.name}': {slo.latency * 1000:.10g} ms is no edge of OpenTelemetry's default buckets: give the "
            "histogram that edge, or every event counts as too slow"
        )
    return found


def _few_scrapes(service: Service, slo: Slo) -> list[str]:
    """Return what is said of time slices, in which events are counted, that a lost scrape leaves without a number."""
    interval = service.monitoring.scrape_interval
    if slo.slices is None or (slo.queries is not None and slo.queries.ratio):
        return []
    if slo.slices.seconds >= at.SCRAPES * (interval or MINUTE):
        return []
    length, needed = (
        format_duration(each) for each in (slo.slices.seconds, slo.slices.seconds // at.SCRAPES)
    )
    stated = f"one every {format_duration(interval)}" if interval else "at Prometheus' default interval of 1m"
    more = "" if interval else ", and set monitoring.scrape_interval"
    said = f"'{slo.name}': a time slice of {length} holds fewer than {at.SCRAPES} scrapes, {stated}"
    return [f"{said}; one of fewer than two is not measured: scrape every {needed}{more}"]


def _why_dead(slo: Slo, alert: BurnRateAlert) -> str:
    burn = alert.burn_rate(slo.period.seconds)
    if burn * slo.limit < 1:
        return _too_few(slo, alert.long)
    return f"{number(burn)} × {slo.limit * 100:.10g} % is an error rate of {burn * slo.limit * 100:.10g} %"


def _too_few(slo: Slo, window: float) -> str:
    length = slo.slices.seconds if slo.slices is not None else 0.0
    return (
        f"{MIN_BAD_EVENTS} time slices of {format_duration(length)} do not fit into {format_duration(window)}"
    )
