"""The frame of a dashboard: variables, links, rows, and its JSON. Knows no panel."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as d

from slotel.compile.grafana.panels import DATASOURCE, to_dashboard
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
    """A heading with its panels; those of a collapsed one are asked for when it is opened."""

    title: str
    panels: tuple[Any, ...]
    collapsed: bool = False


def to_json(
    uid: str,
    description: str,
    variables: Iterable[Any],
    rows: Iterable[Row],
    *,
    links: Iterable[Any] = (),
    annotations: Iterable[Any] = (),
    since: str = "now-6h",
    carried: Mapping[str, str] = MappingProxyType({"environment": "environment", "service": "service"}),
) -> str:
    """Return a dashboard's JSON, the same for the same input; ids count panels from 1 in their order.

    Source: Grafana's dashboard schema, by its Foundation SDK: https://github.com/grafana/grafana-foundation-sdk.

    Args:
        uid: names the dashboard in addresses; a key of TITLES.
        variables: builders, from left to right; the data source comes first without being named.
        links: builders of links in addition to those to the other dashboards.
        annotations: builders of queries whose results are marked on every chart.
        since: begin of the time range that is shown first, as Grafana writes it: `now-6h`.
        carried: what links to the other dashboards set: variable there → variable here.
    """
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    built = (
        dashboard.Dashboard(f"slotel: {TITLES[uid]}")
        .uid(uid)
        .description(f"{description}\n\n{GENERATED}")
        .tags(["slotel", "slo", "opentelemetry"])
        .editable()
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .refresh("1m")
        .timezone("browser")
        .with_variable(source.description("A Prometheus, or what answers PromQL."))
    )
    for variable in variables:
        built.with_variable(variable)
    for annotation in annotations:
        built.annotation(annotation)
    # the list is of all services: one without objectives would empty it
    of_list = {there: here for there, here in carried.items() if there != "service"}
    for other, title in TITLES.items():
        if other != uid:
            kept = of_list if other == names.DASHBOARD_SLO_LIST else carried
            built.link(to_dashboard(title, other, kept))
    for link in links:
        built.link(link)
    for row in rows:
        heading = dashboard.Row(row.title).collapsed(row.collapsed)
        within, below = (row.panels, ()) if row.collapsed else ((), row.panels)
        for panel in within:
            heading.with_panel(panel)
        built.with_row(heading)
        for panel in below:
            built.with_panel(panel)
    model = built.build()
    for index, panel in enumerate(_every_panel(model.panels or []), start=1):
        panel.id_val = index
    return json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _every_panel(panels: Sequence[Any]) -> Iterator[Any]:
    """Yield panels and rows, and after a collapsed row the panels in it."""
    for panel in panels:
        yield panel
        if panel.type_val == "row":
            yield from panel.panels or ()


def choice(
    name: str,
    label: str,
    query: str,
    *,
    description: str,
    every: str | None = None,
    hidden: bool = False,
    regex: str = "",
) -> Any:
    """Return a variable whose values come from Prometheus.

    Args:
        name: in queries, `$name`.
        label: in front of the variable's list.
        description: shown next to the label.
        query: `label_values(…)` or `query_result(…)` of Grafana's Prometheus data source.
        hidden: it is not shown; its first value, or all, are chosen.
        every: several values may be chosen, a regular expression in queries, or "All", for which it stands; '' for all
            listed values. None: one value is chosen.
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
        .multi(every is not None)
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
    """Return the variable `environment`; without such a label its one value is "All", which matches everything.

    Args:
        metric: name of the series whose label has the values.
    """
    return choice(
        "environment",
        "Environment",
        f"label_values({metric}, environment)",
        description="Label `environment` of the series: set it at scrape time or by `monitoring.match`.",
        every=ANY,
    )


def tags() -> Any:
    """Return the variable that narrows every query by labels of one's choice, as the tags that are metric labels."""
    variable = dashboard.AdHocVariable("tags").label("Tags").datasource(DATASOURCE)
    return variable.description("Any label, as team = payments: panels whose series lack it become empty.")


def options(name: str, label: str, values: Sequence[str], chosen: str, description: str) -> Any:
    """Return a variable with fixed values, in their order, of which one is chosen first."""
    listed = [d.VariableOption(selected=value == chosen, text=value, value=value) for value in values]
    variable = dashboard.CustomVariable(name).label(label).description(description).values(",".join(values))
    return variable.options(listed).current(d.VariableOption(selected=True, text=chosen, value=chosen))


def ratio_decimals(service: Service) -> int:
    """Return how many decimals tell a kept promise from a broken one, in percent: one more than the objectives have."""
    digits = (len(f"{slo.objective * 100:.10g}".partition(".")[2]) for slo in service.slos)
    return max(3, *(count + 1 for count in digits)) if service.slos else 3
