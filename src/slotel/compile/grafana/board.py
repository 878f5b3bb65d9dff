"""The frame of a dashboard: variables, links, rows, and its JSON. Knows no panel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as d

from slotel.compile.grafana.panels import DATASOURCE, to_dashboard, url
from slotel.config import names
from slotel.config.service import Service

GENERATED: Final = (
    "Written by `slotel generate`: change slotel.yaml and generate again, changes made here are lost."
)

TITLES: Final = {
    names.DASHBOARD_SLO_LIST: "SLO list",
    names.DASHBOARD_SLO_DETAIL: "SLO detail",
    names.DASHBOARD_SERVICE: "Service",
    names.DASHBOARD_PIPELINE: "Pipeline",
}
"""uid → title, in the order in which they are shown."""

ANY: Final = ".*"
"""What "All" stands for where a series may lack the label: matches its absence too."""


@dataclass(frozen=True, slots=True)
class Row:
    """A heading with its panels."""

    title: str
    panels: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard as slotel lays it out.

    Args:
        variables: builders, from left to right; the data source comes first without being named.
        carried: variables that links to the other dashboards keep.
    """

    uid: str
    description: str
    variables: tuple[Any, ...]
    rows: tuple[Row, ...]
    links: tuple[Any, ...] = ()
    annotations: tuple[Any, ...] = ()
    since: str = "now-6h"
    refresh: str = "1m"
    carried: tuple[str, ...] = field(default=("environment", "service"))


def to_json(board: Board) -> str:
    """Return the dashboard's JSON, the same for the same input; ids count panels from 1 in their order."""
    built = (
        dashboard.Dashboard(f"slotel: {TITLES[board.uid]}")
        .uid(board.uid)
        .description(f"{board.description}\n\n{GENERATED}")
        .tags(["slotel", "slo", "opentelemetry"])
        .editable()
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .refresh(board.refresh)
        .timezone("browser")
        .with_variable(_datasource())
    )
    for variable in board.variables:
        built.with_variable(variable)
    for annotation in board.annotations:
        built.annotation(annotation)
    for uid, title in TITLES.items():
        if uid != board.uid:
            built.link(to_dashboard(title, uid, board.carried))
    for link in board.links:
        built.link(link)
    for row in board.rows:
        built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built.with_panel(panel)
    model = built.build()
    for index, panel in enumerate(model.panels or [], start=1):
        panel.id_val = index
    return json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def sentry_links(service: Service) -> tuple[Any, ...]:
    """Return links to the service's issues and traces in Sentry, where its address is configured.

    Sentry knows projects, no services: only a tag `service` of the policy narrows the search to one.
    """
    base = service.monitoring.sentry_url
    if not base:
        return ()
    tagged = "service" in {*service.tags.set, *service.tags.required}
    mine = "+service:${service}" if tagged else ""
    issues = f"{base}/issues/?query=is:unresolved{mine}&statsPeriod=24h"
    traces = f"{base}/explore/traces/?query={mine.removeprefix('+')}&statsPeriod=24h"
    return (url("Sentry issues", issues), url("Sentry traces", traces))


def runbook_links(service: Service) -> tuple[Any, ...]:
    """Return a link to the objective's runbook, where its address is configured."""
    address = service.monitoring.runbook_url
    if not address:
        return ()
    return (url("Runbook", address.replace("{service}", "${service}").replace("{slo}", "${slo}")),)


def choice(
    name: str,
    label: str,
    query: str,
    *,
    description: str,
    every: str | None = None,
    multi: bool = False,
    hidden: bool = False,
    regex: str = "",
) -> Any:
    """Return a variable whose values come from Prometheus.

    Args:
        every: offers "All" and stands for it; '' for all listed values; None offers no "All".
        regex: picks the value out of each line of a `query_result`.
    """
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": f"{name}-variable"})
        .definition(query)
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
        .multi(multi)
        .include_all(every is not None)
    )
    if every:
        variable.all_value(every)
    if every is not None:
        variable.current(d.VariableOption(selected=True, text="All", value="$__all"))
    if regex:
        variable.regex(regex)
    if hidden:
        variable.hide(d.VariableHide.HIDE_VARIABLE)
    return variable


def environments(metric: str) -> Any:
    """Return the variable `environment`; without such a label its one value is "All", which matches everything."""
    return choice(
        "environment",
        "Environment",
        f"label_values({metric}, environment)",
        description="Label `environment` of the series: set it at scrape time or by `monitoring.match`.",
        every=ANY,
        multi=True,
    )


def tags() -> Any:
    """Return the variable that narrows every query by labels of one's choice, as the tags that are metric labels."""
    variable = dashboard.AdHocVariable("tags").label("Tags").datasource(DATASOURCE)
    return variable.description("Any label, as team = payments: panels whose series lack it become empty.")


def options(name: str, label: str, values: Sequence[str], chosen: str, description: str) -> Any:
    """Return a variable with fixed values."""
    variable = dashboard.CustomVariable(name).label(label).description(description).values(",".join(values))
    variable.options(
        [d.VariableOption(selected=value == chosen, text=value, value=value) for value in values]
    )
    return variable.current(d.VariableOption(selected=True, text=chosen, value=chosen))


def _datasource() -> Any:
    variable = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return variable.description("A Prometheus, or what answers PromQL.")
