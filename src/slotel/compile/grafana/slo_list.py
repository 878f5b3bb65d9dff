"""Dashboard "SLO list": every objective on one line: promise, window, what was kept, what is left, what fires."""

from __future__ import annotations

from typing import Any, Final

from slotel.compile import conventions as at
from slotel.compile.grafana import panels as p
from slotel.compile.grafana.board import ANY, Row, choice, environments, ratio_decimals, to_json
from slotel.compile.grafana.links import alert_marks, deploy_marks
from slotel.compile.grafana.panels import Query
from slotel.compile.grafana.shapes import column, table_panel, timeline_panel
from slotel.compile.prometheus.alerts import ABSENT, BURN, EXHAUSTED, LIMIT
from slotel.config import names
from slotel.config.service import Service

WHICH: Final = 'environment=~"$environment",sloth_service=~"$service"'
ID: Final = "sloth_service, sloth_slo, environment"
BY: Final = f"by ({ID}, {at.LABEL_GROUP})"
"""An objective that tells groups apart, as clusters, has a line for each."""
NO_RULES: Final = "No objectives. Check the filters, and that Prometheus loads prometheus/rules.yaml."
NO_EVENTS: Final = "no events"
ALERTS: Final = f"{BURN}|{LIMIT}|{EXHAUSTED}|{ABSENT}"
STATES: Final = {
    "0": ("quiet", p.GREEN),
    "1": ("pending", "light-yellow"),
    "2": ("ticket", p.ORANGE),
    "3": ("page", p.RED),
}
"""Alerts, by the value of `states`."""
LEFT_STEPS: Final = ((None, p.RED), (0.0, p.ORANGE), (0.25, p.GREEN))
BURN_STEPS: Final = ((None, p.GREEN), (1.0, p.ORANGE), (6.0, p.RED))
LASTS: Final = -1
"""Stands for a budget that outlasts its period at the last hour's rate."""
EXHAUSTION_WORDS: Final = {"0": ("spent", p.RED), str(LASTS): ("lasts the period", p.GREEN)}
EXHAUSTION_STEPS: Final = ((None, p.RED), (86400.0, p.ORANGE), (3 * 86400.0, p.GREEN))


def firing(which: str) -> str:
    """Return the selector of the firing alerts of objectives, which is 1 for each.

    Args:
        which: further matchers, without braces.
    """
    return f'ALERTS{{alertname=~"{ALERTS}",alertstate="firing",{which}}}'


def states(which: str, by: str) -> str:
    """Return PromQL of each alert's state, the worst for a set of labels: the keys of STATES.

    Args:
        which: further matchers, without braces.
        by: `by (…)`, the labels.
    """
    alerts = f'ALERTS{{alertname=~"{ALERTS}",{which},'
    page, other = f'{at.LABEL_SEVERITY}="page"', f'{at.LABEL_SEVERITY}!="page"'
    each = (
        f'{alerts}alertstate="firing",{page}}} * 3',
        f'{alerts}alertstate="firing",{other}}} * 2',
        f'{alerts}alertstate="pending"}}',
    )
    return f"max {by} ({' or '.join(each)})"


def exhaustion(left: str, seconds: str, days: str, hour: str) -> str:
    """Return PromQL of the seconds until a budget is spent: 0 if it is, LASTS beyond the period, none without events.

    Args:
        left, hour: PromQL of what is left and of the last hour's error ratio, each a share.
        seconds, days: PromQL of the time to exhaustion and of the period, each in its unit.
    """
    lasting = f"0 * {hour} - {-LASTS}"
    return f"0 * ({left} <= 0) or ({seconds} <= {days} * 86400) or {lasting}"


def board(service: Service) -> str:
    """Return the dashboard's JSON; of the service it takes how many decimals its objectives need."""
    return to_json(
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
            ),
            choice(
                "one_service",
                "",
                f'label_values({at.OBJECTIVE}{{environment=~"$environment",sloth_service=~"$service"}}, sloth_service)',
                description="What the links to dashboards of one service open: the chosen one, or the first.",
                hidden=True,
            ),
        ),
        rows=(
            Row("Now", _stats()),
            Row("Objectives", (_objectives(ratio_decimals(service)),)),
            Row("Over time", _history()),
        ),
        annotations=(
            deploy_marks('service_name=~"$service"', by="service_name, service_version"),
            alert_marks(f'alertname=~"{ALERTS}",{WHICH}'),
        ),
        since="now-24h",
        carried={"environment": "environment", "service": "one_service"},
    )


def _one(name: str) -> str:
    return f"{at.worst(name)} {BY} ({name}{{{WHICH}}})"


def _events(name: str) -> str:
    return f"sum {BY} ({name}{{{WHICH}}})"


def _fixed(name: str) -> str:
    """Return what belongs to an objective as a whole, for each of its groups."""
    return f"max by ({ID}) ({name}{{{WHICH}}}) * on ({ID}) group_right () (0 * {_one(at.REMAINING)} + 1)"


def _of_limit(ratio: str) -> str:
    return f"{_one(ratio)} / on ({ID}) group_left () max by ({ID}) ({at.BUDGET}{{{WHICH}}})"


def _stats() -> tuple[Any, ...]:
    left, events = _one(at.REMAINING), f"{_events(at.total('5m'))} > 0"
    burn = _of_limit(at.ratio("5m"))
    good_at_zero = ((None, p.GREEN), (1, p.RED))
    seldom = ((None, p.GREEN), (1, p.ORANGE))

    def stat(title: str, description: str, expr: str, thresholds: p.Bounds) -> Any:
        zero = f"0 * count({left})"
        return p.stat_panel(title, description, Query(f"count({expr}) or {zero}"), thresholds=thresholds,
                            no_value=NO_RULES)  # fmt: skip

    return (
        stat("Objectives", "How many objectives are recorded, each group for itself.", left, ((None, p.BLUE),)),
        stat("Within budget", "Objectives that have budget left in their period.", f"{left} > 0",
             ((None, p.GREEN),)),
        stat("Budget spent", "Objectives that have no budget left in their period.", f"{left} <= 0", good_at_zero),
        stat("Burning too fast", "Objectives whose last 5 minutes spend more than the period can bear.", f"{burn} > 1",
             seldom),
        stat("Without events", "No event in the last 5 minutes: nobody asks, or the service is dead.",
             f"{left} unless ({events})", seldom),
        stat("Alerts firing", "Alerts of objectives that fire now.", firing(WHICH), good_at_zero),
    )  # fmt: skip


def _objectives(decimals: int) -> Any:
    hour, budget = _one(at.ratio("1h")), f"max by ({ID}) ({at.BUDGET}{{{WHICH}}})"
    columns = {
        "Objective": Query(_fixed(at.OBJECTIVE)),
        "Period": Query(_fixed(at.PERIOD_DAYS)),
        "Good in period": Query(f"1 - {_one(at.BURN_PERIOD)} * on ({ID}) group_left () {budget}"),
        "Budget left": Query(_one(at.REMAINING)),
        "Events, 5 min": Query(f"{_events(at.total('5m'))} > 0"),
        "Burn rate, 5 min": Query(_of_limit(at.ratio("5m"))),
        "Burn rate, 1 h": Query(_of_limit(at.ratio("1h"))),
        "Time to exhaustion": Query(
            exhaustion(_one(at.REMAINING), _one(at.EXHAUSTION), f"({_fixed(at.PERIOD_DAYS)})", hour)
        ),
        "Firing": Query(f"count {BY} ({firing(WHICH)}) or 0 * {_one(at.REMAINING)}"),
    }
    link = {
        "title": "Open this objective",
        "url": f"/d/{names.DASHBOARD_SLO_DETAIL}?var-service=${{__data.fields.Service}}&var-slo=${{__data.fields.SLO}}"
        "&${datasource:queryparam}&${environment:queryparam}&${__url_time_range}",
    }
    text = "color-text"
    overrides = (  # what is left of the width is for the names
        column("SLO", links=[link]),
        column("Objective", unit=p.PERCENT, decimals=decimals, width=100),
        column("Period", unit=p.DAYS, decimals=0, width=85),
        column("Good in period", unit=p.PERCENT, decimals=decimals, width=125),
        column("Budget left", unit=p.PERCENT, decimals=1, cell_mode=text, width=105,
               thresholds=LEFT_STEPS),
        column("Events, 5 min", unit=p.COUNT, decimals=0, width=115, noValue=NO_EVENTS),
        column("Burn rate, 5 min", unit=p.BURN, decimals=2, cell_mode=text, width=130, thresholds=BURN_STEPS,
               empty=NO_EVENTS),
        column("Burn rate, 1 h", unit=p.BURN, decimals=2, cell_mode=text, width=120, thresholds=BURN_STEPS,
               empty=NO_EVENTS),
        column("Time to exhaustion", unit=p.SECONDS, decimals=1, cell_mode=text, width=150, words=EXHAUSTION_WORDS,
               thresholds=EXHAUSTION_STEPS, empty=NO_EVENTS),
        column("Firing", unit=p.COUNT, decimals=0, cell_mode=text, width=80,
               thresholds=((None, p.GREEN), (1, p.RED))),
    )  # fmt: skip
    return table_panel(
        "Every objective",
        "Good in period: share of good events, weighted by traffic. Budget left: below 0 the promise is broken. "
        "Burn rate: 1 spends exactly the whole budget by the end of the period. "
        "Time to exhaustion: until nothing is left, if the last hour goes on. "
        "No events: nobody asks, or the service is dead.",
        columns,
        labels={
            "sloth_service": "Service",
            "sloth_slo": "SLO",
            at.LABEL_GROUP: "Group",
            "environment": "Environment",
        },
        overrides=overrides,
        sort_by="Budget left",
        descending=False,
        no_value=NO_RULES,
    )


def _history() -> tuple[Any, ...]:
    name = f"{{{{sloth_service}}}} / {{{{sloth_slo}}}} {{{{{at.LABEL_GROUP}}}}}"
    return (
        p.series_panel(
            "Budget left",
            "Share of the period's error budget that is left; 0 means it is spent.",
            Query(_one(at.REMAINING), name),
            unit=p.PERCENT,
            thresholds=((None, p.RED), (0, "transparent")),
            no_value=NO_RULES,
        ),
        p.series_panel(
            "Burn rate, 1 h",
            "How fast the budget is spent: above 1 it will not last. A gap: no events.",
            Query(_of_limit(at.ratio("1h")), name),
            unit=p.BURN,
            thresholds=((None, "transparent"), (1, p.ORANGE)),
            no_value="No events of an objective in this time",
        ),
        timeline_panel(
            "Alerts",
            "When alerts of each objective were pending, when tickets and when pages fired.",
            Query(
                f"{states(WHICH, BY)} or 0 * {_one(at.REMAINING)}",
                name,
            ),
            states=STATES,
            no_value=NO_RULES,
        ),
    )
