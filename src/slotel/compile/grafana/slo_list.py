"""Dashboard "SLO list": every objective on one line: promise, window, what was kept, what is left, what fires."""

from __future__ import annotations

from typing import Any, Final

from slotel.compile import conventions as at
from slotel.compile.alerts import ABSENT, BURN, EXHAUSTED, LIMIT
from slotel.compile.grafana import panels as p
from slotel.compile.grafana.board import ANY, Board, Row, choice, environments
from slotel.compile.grafana.charts import timeline_panel
from slotel.compile.grafana.panels import Query
from slotel.compile.grafana.tables import column, table_panel, threshold_value
from slotel.config import names
from slotel.config.service import Service

WHICH: Final = 'environment=~"$environment",sloth_service=~"$service"'
BY: Final = "by (sloth_service, sloth_slo, environment)"
NO_RULES: Final = "No objectives: are prometheus/rules.yaml loaded?"
ALERTS: Final = f"{BURN}|{LIMIT}|{EXHAUSTED}|{ABSENT}"
STATES: Final = {"1": ("pending", p.ORANGE), "2": ("firing", p.RED), "0": ("quiet", p.GREEN)}
LEFT_STEPS: Final = ((None, p.RED), (0.0, p.ORANGE), (0.25, p.GREEN))
BURN_STEPS: Final = ((None, p.GREEN), (1.0, p.ORANGE), (6.0, p.RED))


def firing(which: str) -> str:
    """Return the firing alerts of objectives."""
    return f'ALERTS{{alertname=~"{ALERTS}",alertstate="firing",{which}}}'


def board(_: Service) -> Board:
    """Return the dashboard; it is the same for every service."""
    return Board(
        uid=names.DASHBOARD_SLO_LIST,
        description="All objectives at a glance; a click on a line opens its detail.",
        variables=(
            environments(at.OBJECTIVE),
            choice(
                "service",
                "Service",
                f'label_values({at.OBJECTIVE}{{environment=~"$environment"}}, sloth_service)',
                description="Service of the objectives.",
                every=ANY,
                multi=True,
            ),
        ),
        rows=(
            Row("Now", _stats()),
            Row("Objectives", (_objectives(),)),
            Row("Over time", _history()),
        ),
        since="now-24h",
    )


def _one(name: str) -> str:
    return f"max {BY} ({name}{{{WHICH}}})"


def _stats() -> tuple[Any, ...]:
    left, burn = f"{at.REMAINING}{{{WHICH}}}", f"{at.BURN_NOW}{{{WHICH}}}"
    good_at_zero = p.steps((None, p.GREEN), (1, p.RED))
    return (
        p.stat_panel("Objectives", "How many objectives are recorded.", Query(f"count({_one(at.OBJECTIVE)})"),
                     no_value=NO_RULES),
        p.stat_panel("Within budget", "Objectives that have budget left in their period.",
                     Query(f"count({left} > 0) or 0 * count({left})"), width=5, no_value=NO_RULES,
                     thresholds=p.steps((None, p.GREEN))),
        p.stat_panel("Budget spent", "Objectives that have no budget left in their period.",
                     Query(f"count({left} <= 0) or 0 * count({left})"), width=5, no_value=NO_RULES,
                     thresholds=good_at_zero),
        p.stat_panel("Burning too fast", "Objectives whose last 5 minutes spend more than the period can bear.",
                     Query(f"count({burn} > 1) or 0 * count({burn})"), width=5, no_value=NO_RULES,
                     thresholds=p.steps((None, p.GREEN), (1, p.ORANGE))),
        p.stat_panel("Alerts firing", "Alerts of objectives that fire now.",
                     Query(f"count({firing(WHICH)}) or 0 * count({left})"), width=5, no_value=NO_RULES,
                     thresholds=good_at_zero),
    )  # fmt: skip


def _objectives() -> Any:
    none = f"0 * {_one(at.OBJECTIVE)}"
    columns = {
        "Objective": Query(_one(at.OBJECTIVE)),
        "Period": Query(_one(at.PERIOD_DAYS)),
        "Good in period": Query(f"1 - {_one(at.BURN_PERIOD)} * {_one(at.BUDGET)}"),
        "Budget left": Query(_one(at.REMAINING)),
        "Burn rate, 5 min": Query(_one(at.BURN_NOW)),
        "Burn rate, 1 h": Query(f"{_one(at.ratio('1h'))} / {_one(at.BUDGET)} or {none}"),
        "Time to exhaustion": Query(_one(at.EXHAUSTION)),
        "Firing": Query(f"count {BY} ({firing(WHICH)}) or {none}"),
    }
    link = {
        "title": "Open this objective",
        "url": f"/d/{names.DASHBOARD_SLO_DETAIL}?var-service=${{__data.fields.Service}}&var-slo=${{__data.fields.SLO}}"
        "&${datasource:queryparam}&${environment:queryparam}&${__url_time_range}",
    }
    colored = "color-text"
    overrides = (
        column("SLO", links=[link]),
        column("Objective", unit=p.PERCENT, decimals=3),
        column("Period", unit="d"),
        column("Good in period", unit=p.PERCENT, decimals=3),
        column("Budget left", unit=p.PERCENT, decimals=1, cell_mode=colored,
                 thresholds=threshold_value(*LEFT_STEPS)),
        column("Burn rate, 5 min", decimals=2, cell_mode=colored, thresholds=threshold_value(*BURN_STEPS)),
        column("Burn rate, 1 h", decimals=2, cell_mode=colored, thresholds=threshold_value(*BURN_STEPS)),
        column("Time to exhaustion", unit=p.SECONDS, noValue="not burning"),
        column("Firing", decimals=0, cell_mode=colored,
                 thresholds=threshold_value((None, p.GREEN), (1, p.RED))),
    )  # fmt: skip
    return table_panel(
        "Every objective",
        "Good in period: share of good events, weighted by traffic. Budget left: below 0 the promise is broken. "
        "Burn rate: 1 spends exactly the whole budget by the end of the period. "
        "Time to exhaustion: until nothing is left, if the last hour goes on.",
        columns,
        labels={"sloth_service": "Service", "sloth_slo": "SLO", "environment": "Environment"},
        overrides=overrides,
        sort_by="Budget left",
        descending=False,
        no_value=NO_RULES,
    )


def _history() -> tuple[Any, ...]:
    name = "{{sloth_service}} / {{sloth_slo}}"
    quiet = f"0 * {_one(at.OBJECTIVE)}"
    return (
        p.series_panel(
            "Budget left",
            "Share of the period's error budget that is left; 0 means it is spent.",
            Query(_one(at.REMAINING), name),
            unit=p.PERCENT,
            thresholds=p.steps((None, p.RED), (0, "transparent")),
            no_value=NO_RULES,
        ),
        p.series_panel(
            "Burn rate, 1 h",
            "How fast the budget is spent: above 1 it will not last.",
            Query(f"{_one(at.ratio('1h'))} / {_one(at.BUDGET)} or {quiet}", name),
            thresholds=p.steps((None, "transparent"), (1, p.ORANGE)),
            no_value=NO_RULES,
        ),
        timeline_panel(
            "Alerts",
            "When alerts of each objective fired.",
            Query(f"clamp_max(count {BY} ({firing(WHICH)}), 1) * 2 or {quiet}", name),
            states=STATES,
            no_value=NO_RULES,
        ),
    )
