"""Alerts on the recorded series: burn rates, the limit over its window, an empty budget, missing metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote as url_quote
from urllib.parse import urlencode

from slotel.compile import conventions as at
from slotel.compile.promql import Rule, equal, number, series
from slotel.compile.sources import Counts
from slotel.config.duration import format_duration
from slotel.config.foreign.promql import quote
from slotel.config.names import DASHBOARD_SLO_DETAIL
from slotel.config.service import Service
from slotel.config.slo import MIN_BAD_EVENTS, BurnRateAlert, Severity, Slo

BURN: Final = "ErrorBudgetBurn"
LIMIT: Final = "ErrorBudgetLimitExceeded"
EXHAUSTED: Final = "ErrorBudgetExhausted"
ABSENT: Final = "SLIMetricAbsent"
OPERAND: Final = "operand"
"""Its reason where bad events are computed from a series that does not exist."""

ABSENT_FOR: Final = "10m"
EMPTY_FOR: Final = "1h"
OPERAND_FOR: Final = "5m"
"""With the five minutes in which events are still counted, a missing bucket is known after ten."""


def alert_rules(service: Service, slo: Slo, counts: Counts) -> Iterator[Rule]:
    """Yield every alert of an objective that can fire and that its file does not disable."""
    for alert in at.burn_rate_alerts(service, slo):
        if not slo.disables(alert.severity):
            yield _burn(service, slo, alert)
    if slo.alerting is None:  # a foreign file asks for no alert on a window of its own
        yield _limit(service, slo)
    if not slo.disables("ticket"):
        yield _exhausted(service, slo)
    if not (slo.disables("page") and slo.disables("ticket")):
        yield from _absent(service, slo, counts)


def burn_name(slo: Slo) -> str:
    """Return the name of an objective's burn-rate alerts: its file's, else slotel's."""
    return (slo.alerting.name if slo.alerting is not None else "") or BURN


def severity_labels(service: Service, slo: Slo, severity: Severity) -> dict[str, str]:
    """Return the labels of an objective's alerts of a severity; a foreign file's win over slotel's."""
    found = {**at.labels(service, slo), "severity": severity, at.LABEL_SEVERITY: severity}
    if slo.alerting is not None:
        found = {**found, **slo.alerting.labels, **slo.alerting.of(severity).labels}
    return found


def burn_labels(service: Service, slo: Slo, alert: BurnRateAlert) -> dict[str, str]:
    """Return the labels of a burn-rate alert, among them its windows and how long the budget lasts, as `3d`."""
    burn = alert.burn_rate(slo.period.seconds)
    return {
        **severity_labels(service, slo, alert.severity),
        "long": format_duration(alert.long),
        "short": format_duration(alert.short),
        "burn_rate": number(burn),
        "exhaustion": format_duration(round(slo.period.seconds / burn / 60) * 60),
    }


def limit_labels(service: Service, slo: Slo) -> dict[str, str]:
    """Return the labels of the alert on the limit; `long` and `short` are its one window."""
    window = format_duration(at.limit_window(service, slo))
    own = {"long": window, "short": window, "burn_rate": "1", "exhaustion": at.period_name(slo)}
    return {**severity_labels(service, slo, "ticket"), **own}


def _burn(service: Service, slo: Slo, alert: BurnRateAlert) -> Rule:
    labels = burn_labels(service, slo, alert)
    long, short = labels["long"], labels["short"]
    threshold = number(alert.burn_rate(slo.period.seconds) * slo.limit)
    summary = (
        f"{service.name} {slo.name}: the error budget burns at more than {labels['burn_rate']} times the sustainable "
        f"rate; a whole {at.period_name(slo)} budget lasts {labels['exhaustion']} at that"
    )
    return Rule(
        f"{_above(service, slo, long, threshold)}\nand {_above(service, slo, short, threshold)}"
        f"{_enough(service, slo, long)}",
        alert=burn_name(slo),
        labels=labels,
        annotations=_annotations(service, slo, summary, _numbers(service, slo, long), alert.severity),
    )


def _limit(service: Service, slo: Slo) -> Rule:
    labels = limit_labels(service, slo)
    window = labels["long"]
    summary = f"{service.name} {slo.name}: more than {_percent(slo.limit)} bad {slo.unit} in {window}"
    return Rule(
        f"{_above(service, slo, window, number(slo.limit))}{_enough(service, slo, window)}",
        alert=LIMIT,
        labels=labels,
        annotations=_annotations(service, slo, summary, _numbers(service, slo, window)),
    )


def _exhausted(service: Service, slo: Slo) -> Rule:
    period = at.period_name(slo)
    numbers = (
        "{{ $value | humanizePercentage }} of the budget is left. "
        f"{_queried(at.bad(period), service, slo)} bad {slo.unit} in the {period}; "
        f"the objective is {_percent(slo.objective)}."
    )
    return Rule(
        f"{at.recorded(at.REMAINING, service, slo)} <= 0{_enough(service, slo, period)}",
        alert=EXHAUSTED,
        labels=severity_labels(service, slo, "ticket"),
        annotations=_annotations(
            service, slo, f"{service.name} {slo.name}: the {period} error budget is spent", numbers
        ),
    )


def _absent(service: Service, slo: Slo, counts: Counts) -> Iterator[Rule]:
    """Yield alerts on a metric that is gone, a selection that matches nothing, and each missing operand of the bad."""

    def missing(expr: str, pending: str, summary: str, numbers: str, **reason: str) -> Rule:
        return Rule(
            expr,
            alert=ABSENT,
            for_=pending,
            labels={**severity_labels(service, slo, "ticket"), **reason},
            annotations=_annotations(service, slo, f"{service.name} {slo.name}: {summary}", numbers),
        )

    present = counts.present
    if slo.queries is None and at.base(service) > at.BASE:
        # Prometheus looks back 5 min for a sample, no longer
        present = f"last_over_time({present}[{format_duration(at.base(service))}])"
    yield missing(
        f"sum(absent({present}))",
        ABSENT_FOR,
        "its metric is gone, so nothing is measured",
        f"No series {_plain(counts.present)} for {ABSENT_FOR}: the service is down, is not scraped, or the "
        "objective selects what does not exist.",
        reason="absent",
    )
    if counts.alive:
        alive = series(at.ALIVE, equal(at.alive_labels(service, slo)))
        yield missing(
            f"{_a_days_events(service, slo)} == 0\nand on () ({alive} > 0)",
            EMPTY_FOR,
            "the service has traffic, but none of it counts for this objective",
            "Not one good or bad event in a day: the objective's include or exclude matches nothing"
            + ("." if slo.slices is None else ", or a time slice holds fewer than two scrapes."),
            reason="empty",
        )
    events = at.recorded(at.total(format_duration(at.base(service))), service, slo)
    by = ", ".join(at.groups(slo))
    for operand in counts.operands:
        yield missing(
            f"sum by ({by}) ({events}) > 0\nunless on ({by}) count by ({by}) ({operand})",
            OPERAND_FOR,
            f"events are counted, but no series {_plain(operand)} exists",
            "Bad events are computed from it, so nothing is known of them. Of a histogram: no bucket has this "
            "edge; take a threshold that is one, or give the histogram that edge.",
            reason=OPERAND,
            operand=_plain(operand),
        )


def _a_days_events(service: Service, slo: Slo) -> str:
    """Return what is 0 if the objective had no event in a day; time slices pass without any."""
    if slo.slices is None:
        return at.recorded(at.total("1d"), service, slo)
    events = f"{at.SLICE_TOTAL}{format_duration(slo.slices.seconds)}"
    nothing = (
        f"0 * {at.recorded(at.BUDGET, service, slo)}"  # without two scrapes in a slice nothing is recorded
    )
    return f"(sum(max_over_time({at.recorded(events, service, slo, '1d')})) or sum({nothing}))"


def _above(service: Service, slo: Slo, window: str, threshold: str) -> str:
    return f"max without ({at.LABEL_WINDOW}) ({at.recorded(at.ratio(window), service, slo)}) > {threshold}"


def _enough(service: Service, slo: Slo, window: str) -> str:
    """Return the condition that enough was bad; nothing for a raw ratio, which has no events."""
    if slo.unit == "minutes":
        return ""
    return f"\nand {at.recorded(at.bad(window), service, slo)} >= {MIN_BAD_EVENTS}"


def _numbers(service: Service, slo: Slo, window: str) -> str:
    bad = _queried(at.bad(window), service, slo)
    total = _queried(at.total(window), service, slo)
    left = _queried(at.REMAINING, service, slo, "humanizePercentage")
    return (
        f"{{{{ $value | humanizePercentage }}}} bad in {window} ({bad} of {total} {slo.unit}); "
        f"{_percent(slo.limit)} is tolerated. {left} of the {at.period_name(slo)} budget is left."
    )


def _queried(name: str, service: Service, slo: Slo, show: str = 'printf "%.0f"') -> str:
    """Return a template for a recorded number, of the alert's own group where there are groups."""
    chosen = at.selected(service, slo)
    if at.groups(slo):
        fixed = [each.replace("%", "%%") for each in equal(chosen)]
        template = series(name, [*fixed, *(f"{label}=%q" for label in at.groups(slo))])
        values = " ".join(f"$labels.{label}" for label in at.groups(slo))
        asked = f"printf {quote(template)} {values} | query"
    else:
        asked = f"query {quote(series(name, equal(chosen)))}"
    return f"{{{{ with {asked} }}}}{{{{ . | first | value | {show} }}}}{{{{ end }}}}"


def _annotations(
    service: Service, slo: Slo, summary: str, numbers: str, severity: Severity = "ticket"
) -> dict[str, str]:
    found = {"summary": summary, "numbers": numbers, "description": _plain(slo.description)}
    runbook = service.monitoring.runbook_url.replace("{service}", url_quote(service.name or "", safe=""))
    found["runbook_url"] = _plain(slo.runbook or runbook.replace("{slo}", url_quote(slo.name, safe="")))
    if service.monitoring.sentry_url:
        found["sentry_url"] = _plain(_sentry_search(service))
    if service.monitoring.grafana_url:
        environment = service.monitoring.match.get("environment")
        chosen = {"var-service": service.name or "", "var-slo": slo.name}
        shown = urlencode({**chosen, **({"var-environment": environment} if environment else {})})
        found["dashboard_url"] = _plain(f"{service.monitoring.grafana_url}/d/{DASHBOARD_SLO_DETAIL}?{shown}")
    if slo.alerting is not None:
        found = {**found, **slo.alerting.annotations, **slo.alerting.of(severity).annotations}
    return {name: text for name, text in found.items() if text}


def _plain(text: str) -> str:
    """Return a text of the user's that Prometheus does not take for a template."""
    return text.replace("{{", '{{ "{{" }}')


def _sentry_search(service: Service) -> str:
    """Return the address of the unresolved issues; only a tag `service` of the policy narrows them to one service."""
    tagged = "service" in {*service.tags.set, *service.tags.required}
    mine = f" service:{service.name}" if tagged else ""
    search = {"query": f"is:unresolved{mine}", "statsPeriod": "24h"}
    if "environment" in service.monitoring.match:
        search["environment"] = service.monitoring.match["environment"]
    return f"{service.monitoring.sentry_url}/issues/?{urlencode(search)}"


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.10g}%"
