"""Dashboard "SLO detail": one objective: rate against limit, budget, burn rates, events, alerts."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.text import TextMode

from slotel.compile import conventions as at
from slotel.compile.grafana import panels as p
from slotel.compile.grafana import slo_list
from slotel.compile.grafana.board import ANY, Row, choice, environments, options, ratio_decimals, to_json
from slotel.compile.grafana.links import (
    alert_marks,
    deploy_marks,
    operation_links,
    runbook_links,
    sentry_links,
)
from slotel.compile.grafana.panels import Query
from slotel.compile.grafana.shapes import column, table_panel, timeline_panel
from slotel.compile.grafana.slo_list import NO_RULES
from slotel.config import names
from slotel.config.duration import format_duration
from slotel.config.service import Service
from slotel.config.slo import BURN_RATE_ALERTS, BurnRateAlert

OF_SERVICE: Final = p.chosen("sloth_service", "service")
COUNTED: Final = p.chosen("service_name", "service")
SLO: Final = p.chosen("slo_name", "slo")
OBJECTIVE: Final = f'environment=~"$environment",{OF_SERVICE},{p.chosen("sloth_slo", "slo")}'
WHICH: Final = f'{OBJECTIVE},{at.LABEL_GROUP}=~"$group|"'
"""Selects the chosen groups of a grouped objective, and series without that label, which belong to all groups."""
WINDOWS: Final = tuple(format_duration(seconds) for seconds in (*at.DIRECT, *at.SUMMED, *at.TILED))
FROM: Final = "${__from:date:seconds}"
TO: Final = "${__to:date:seconds}"
EVENTS: Final = f"{names.SLO_EVENTS}_total"
OWN: Final = f'environment=~"$environment",{SLO}'
ENTRY: Final = 'span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"'
HOURLY: Final = ',window="1h"'
NOT_LIVE: Final = "No gauges now. Check that the service runs and its /metrics is scraped."
NO_EVENTS: Final = "No events in the window. Nobody asks, or the service is dead."


def board(service: Service) -> str:
    """Return the dashboard's JSON; of the service it takes the objectives' runbooks, windows and links."""
    decimals = ratio_decimals(service)
    return to_json(
        uid=names.DASHBOARD_SLO_DETAIL,
        description="One objective: is the promise kept, how much may still fail, and what eats the budget.",
        variables=(
            environments(at.OBJECTIVE),
            choice("service", "Service", f'label_values({at.OBJECTIVE}{{environment=~"$environment"}}, sloth_service)',
                   description="Service of the objective."),
            choice("slo", "SLO", f"label_values({at.OBJECTIVE}{{{OF_SERVICE}}}, sloth_slo)",
                   description="The objective."),
            choice("group", "Group", f"label_values({at.REMAINING}{{{OBJECTIVE}}}, {at.LABEL_GROUP})",
                   description="Groups that the objective tells apart, as clusters.", every=ANY),
            options("window", "Window", _windows(service), "1h",
                    "Over how long the present error rate is taken; the limit alert uses ERROR_BUDGET_WINDOW."),
            choice("days", "", f"query_result(max({at.PERIOD_DAYS}{{{OBJECTIVE}}}) or vector(30))", regex="/ ([0-9]+)/",
                   description="Days of the objective's period.", hidden=True),
        ),
        rows=(
            Row("Now, against the limit", _now(decimals)),
            Row("The promise", (_promise(decimals),)),
            Row("Budget", _budget(decimals)),
            Row("Burn", _burn()),
            Row("Events", _events(service)),
            Row("Alerts", (_alerts(),)),
            Row("As the processes see it (live, without recording rules)", _live()),
            *_runbooks(service),
        ),
        links=(*sentry_links(service), *runbook_links(service)),
        annotations=(
            deploy_marks(COUNTED),
            alert_marks(f'alertname=~"{slo_list.ALERTS}",{WHICH}'),
        ),
        since="now-24h",
    )  # fmt: skip


def _windows(service: Service) -> tuple[str, ...]:
    own = (format_duration(slo.window) for slo in service.slos)
    return tuple(dict.fromkeys((*WINDOWS, *own)))


def _one(name: str) -> str:
    """Return a record of the objective; of several groups the worst."""
    return f"{at.worst(name)}({name}{{{WHICH}}})"


def _counted(name: str) -> str:
    return f"sum({name}{{{WHICH}}})"


def _now(decimals: int) -> tuple[Any, ...]:
    rate = _one(at.ratio("$window"))
    return (
        p.gauge_panel(
            "Error rate against the limit",
            "Share of bad events in the window, in percent of the limit (1 − objective): at 100 % the limit is "
            "reached, above it the budget burns faster than it lasts.",
            Query(f"{rate} / {_one(at.BUDGET)}"),
            height=6,
            no_value=NO_EVENTS,
        ),
        _stat("Error rate now", "Share of bad events in the window.", rate, decimals, NO_EVENTS),
        _stat(
            "Limit", "Largest share of bad events that the objective tolerates.", _one(at.BUDGET), decimals
        ),
        _stat("Objective", "Least share of good events.", _one(at.OBJECTIVE), decimals),
        p.bars_panel(
            "Burn rate by window",
            "Error rate over the limit in each window: 1 is what the period can bear.",
            *(Query(f"{_one(at.ratio(window))} / {_one(at.BUDGET)}", window) for window in WINDOWS),
            unit=p.BURN,
            decimals=2,
            height=6,
            thresholds=slo_list.BURN_STEPS,
            no_value=NO_RULES,
        ),
    )


def _stat(title: str, description: str, expr: str, decimals: int, no_value: str = NO_RULES) -> Any:
    return p.stat_panel(title, description, Query(expr), unit=p.PERCENT, height=6, decimals=decimals,
                        no_value=no_value)  # fmt: skip


def _promise(decimals: int) -> Any:
    info = f"max by (description, owner) ({at.INFO}{{{WHICH}}})"
    return table_panel(
        "What is promised, and by whom",
        "The objective's description and its owner: the tag `owner` or `team` of slotel.yaml.",
        {"Objective": Query(f"{info} * on () group_left () {_one(at.OBJECTIVE)}")},
        labels={"description": "Promise", "owner": "Owner"},
        overrides=(column("Objective", unit=p.PERCENT, decimals=decimals),),
        sort_by="Promise",
        height=4,
        no_value=NO_RULES,
    )


def _budget(decimals: int) -> tuple[Any, ...]:
    good = f"1 - {_one(at.BURN_PERIOD)} * {_one(at.BUDGET)}"
    left, seconds, days = _one(at.REMAINING), _one(at.EXHAUSTION), _one(at.PERIOD_DAYS)
    return (
        p.stat_panel("Budget left", "Share of the period's error budget that is left; below 0 it is overdrawn.",
                     Query(left), unit=p.PERCENT, decimals=1, width=6,
                     thresholds=slo_list.LEFT_STEPS, no_value=NO_RULES),
        p.stat_panel("Good in period", "Share of good events in the period, weighted by traffic.",
                     Query(good), unit=p.PERCENT, decimals=decimals, width=6, no_value=NO_RULES),
        p.stat_panel("Time to exhaustion", "Until nothing is left, if the last hour goes on.",
                     Query(slo_list.exhaustion(left, seconds, days, _one(at.ratio("1h")))), unit=p.SECONDS, decimals=1,
                     width=6, words=slo_list.EXHAUSTION_WORDS, thresholds=slo_list.EXHAUSTION_STEPS,
                     no_value="No events in the last hour"),
        p.stat_panel("Period", "Days over which the budget is given.", Query(days), unit=p.DAYS, decimals=0,
                     width=6, no_value=NO_RULES),
        p.series_panel("Budget burn-down over the period",
                       "The period's error budget as the shown period spent it: each bad event takes its share of what "
                       "the period's traffic may fail. Below the dashed line it is spent faster than evenly.",
                       Query(_burn_down(), "left"),
                       Query(f"vector(1 - (time() - {FROM}) / ({TO} - {FROM}))", "evenly spent"),
                       unit=p.PERCENT, decimals=1, over="${days}d", minimum=None,
                       thresholds=((None, p.RED), (0, "transparent")),
                       overrides=(p.dashed("evenly spent", p.GREY),), no_value=NO_RULES),
        p.series_panel("Budget left over time", "Of the sliding period: a bad event counts for one period.",
                       Query(left, "left"), unit=p.PERCENT, decimals=1,
                       thresholds=((None, p.RED), (0, "transparent")), no_value=NO_RULES),
        p.series_panel("Good events against the objective",
                       "Share of good events in the window and in the period; the dashed line is the promise.",
                       Query(f"1 - {_one(at.ratio('$window'))}", "last $window"),
                       Query(good, "period"),
                       Query(_one(at.OBJECTIVE), "objective"),
                       unit=p.PERCENT, decimals=decimals, width=24, minimum=None,
                       overrides=(p.dashed("objective", p.RED),), no_value=NO_RULES),
    )  # fmt: skip


def _burn_down() -> str:
    """Return what is left at each time of a budget that began whole with the shown range."""
    bad = f"sum_over_time(({_counted(at.bad('1h'))} and on () (vector(time()) > {FROM}))[${{days}}d:1h])"
    allowed = f"{_one(at.BUDGET)} * sum_over_time({_counted(at.total('1h'))}[${{days}}d:1h] @ end())"
    return f"1 - ({bad} or 0 * {_one(at.BUDGET)}) / ({allowed})"


def _burn() -> tuple[Any, ...]:
    lines = [
        Query(f"{_one(at.ratio(window))} / {_one(at.BUDGET)}", window) for window in ("5m", "1h", "6h", "3d")
    ]
    thresholds = [Query(_threshold(alert), _alert_name(alert)) for alert in BURN_RATE_ALERTS]
    return (
        p.series_panel(
            "Burn rates with the thresholds of the alerts",
            "Error rate over the limit. An alert fires while its long and its short window are both above its dashed "
            "line; a line that no error rate can reach has no alert.",
            *lines,
            *thresholds,
            unit=p.BURN,
            width=24,
            overrides=tuple(
                p.dashed(_alert_name(alert), p.RED if alert.severity == "page" else p.ORANGE)
                for alert in BURN_RATE_ALERTS
            ),
            no_value=NO_RULES,
        ),
    )


def _threshold(alert: BurnRateAlert) -> str:
    """Return the alert's burn rate from the recorded period, as `BurnRateAlert.burn_rate` has it."""
    return f"clamp_min({_one(at.PERIOD_DAYS)} * {alert.share * 86400 / alert.long:.12g}, 1)"


def _alert_name(alert: BurnRateAlert) -> str:
    return f"{alert.severity} {format_duration(alert.long)}/{format_duration(alert.short)}"


def _events(service: Service) -> tuple[Any, ...]:
    base = format_duration(at.BASE)
    bad, total = _counted(at.bad(base)), _counted(at.total(base))
    excluded = f'{EVENTS}{{environment=~"$environment",{COUNTED},{SLO},slo_outcome="excluded"}}'
    calls = f"{names.SPAN_CALLS}_total"
    return (
        p.series_panel(
            "Good, bad and excluded events",
            "Events a second. Excluded ones (health checks, requests that their client gave up) count for nothing; "
            "they are known only where slotel counts in the process.",
            Query(f"{bad} / {at.BASE:g}", "bad"),
            Query(f"clamp_min({total} - {bad}, 0) / {at.BASE:g}", "good"),
            Query(f"sum(rate({excluded}[$__rate_interval]))", "excluded"),
            unit=p.PER_SECOND,
            stacked=True,
            overrides=(p.colored("good", p.GREEN), p.colored("bad", p.RED), p.colored("excluded", p.GREY)),
            no_value=NO_RULES,
        ),
        p.series_panel(
            "Bad events in 5 minutes",
            "How many events were bad: at low traffic the number says more than the rate.",
            Query(bad, "bad"),
            unit=p.COUNT,
            decimals=0,
            overrides=(p.colored("bad", p.RED),),
            no_value=NO_RULES,
        ),
        table_panel(
            "Failing operations of the service",
            "Entry spans with status ERROR in the shown time, most first: where to look. Not limited to this "
            "objective's selection. An operation opens its charts, and its issues and traces in Sentry.",
            {
                "Errors": Query(
                    f"topk(10, sum by (span_name, http_response_status_code) (increase({calls}"
                    f'{{environment=~"$environment",{COUNTED},{ENTRY},status_code="STATUS_CODE_ERROR"}}'
                    "[$__range])) > 0)"
                )
            },
            labels={"span_name": "Operation", "http_response_status_code": "HTTP status"},
            overrides=(
                column("Errors", unit=p.COUNT, decimals=0),
                column("Operation", links=operation_links(service)),
            ),
            sort_by="Errors",
            height=9,
            no_value="No error in this time",
        ),
    )


def _alerts() -> Any:
    return timeline_panel(
        "Alert timeline",
        "When each alert of the objective was pending or firing, as a ticket or as a page.",
        Query(
            slo_list.states(WHICH, "by (alertname, severity, long)"), "{{alertname}} {{severity}} {{long}}"
        ),
        states=slo_list.STATES,
        no_value="No alert in this time",
    )


def _live() -> tuple[Any, ...]:
    of_service = f"on (job, instance) group by (job, instance) ({EVENTS}{{{COUNTED}}})"

    def own(gauge: str, more: str = "") -> str:
        return f"({gauge}{{{OWN}{more}}} and {of_service})"

    return (
        p.gauge_panel(
            "Live rate against the limit",
            "The highest of the instances' own error rates in the last hour, in percent of the limit.",
            Query(f"max({own(names.BUDGET_ERROR, HOURLY)}) / max({own(names.BUDGET_LIMIT)})"),
            no_value=NOT_LIVE,
        ),
        p.series_panel(
            "Live error rate by window",
            "The highest of the instances' own rates; the dashed line is the limit. For looking: alerts come from "
            "counters.",
            Query(f"max by (window) ({own(names.BUDGET_ERROR)})", "{{window}}"),
            Query(f"max({own(names.BUDGET_LIMIT)})", "limit"),
            unit=p.PERCENT,
            width=9,
            overrides=(p.dashed("limit", p.RED),),
            no_value=NOT_LIVE,
        ),
        p.series_panel(
            "Live budget left by instance",
            "By the history that each instance keeps.",
            Query(own(names.BUDGET_REMAINING), "{{instance}}"),
            unit=p.PERCENT,
            width=9,
            no_value=NOT_LIVE,
        ),
    )


def _runbooks(service: Service) -> tuple[Row, ...]:
    lines = [
        f"- **{service.name} / {slo.name}**: [runbook]({slo.runbook}) {slo.description}"
        for slo in service.slos
        if slo.runbook
    ]
    if not lines:
        return ()
    shown = text.Panel().title("Runbooks").mode(TextMode.MARKDOWN).content("\n".join(lines))
    return (Row("Runbooks", (shown.span(24).height(2 + len(lines)),)),)
