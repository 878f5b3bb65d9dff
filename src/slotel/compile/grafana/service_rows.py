"""Rows of the dashboard "Service" with data of their own: workers and processes, who calls whom, Sentry's issues.

slotel exposes process_* and python_gc_* as prometheus_client names them; services in other languages, and those that
measure by OpenTelemetry's system-metrics instrumentation, have OpenTelemetry's names. Both spellings are asked for.
The row "Sentry" is asked of Sentry by Grafana's plugin for it. It is collapsed, so that nothing is asked until it is
opened, and there only where `monitoring.sentry_url` says that there is a Sentry.
"""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard, nodegraph, table, timeseries
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d

from slotel.compile.grafana import panels as p
from slotel.compile.grafana.board import Row
from slotel.compile.grafana.panels import Query
from slotel.compile.grafana.shapes import CALL_RATES, column, table_panel
from slotel.config import names
from slotel.config.service import Service

OF: Final = 'job=~"$job",instance=~"$instance"'
NO_RUNTIME: Final = "No process metrics of this service (they need /proc: Linux)"
GOOD: Final = f'slo_events_total{{{OF},slo_outcome="good"}}'
VERSIONS: Final = f"count by (service_version) (target_info{{{OF}}})"
ONE_PROCESS: Final = "Each instance is one process: there are no workers to compare."
NO_WORKERS: Final = "No instance of slotel with these filters"
MOST: Final = 20
"""Workers in a chart: those with most requests in the shown time."""
BY: Final = f"instance, {names.LABEL_WORKER}"
NAME: Final = f"{{{{instance}}}} / {{{{{names.LABEL_WORKER}}}}}"


def worker_panels() -> tuple[Any, ...]:
    """Return what each worker does and uses, how many live, and how they ended."""
    requests, busy = f"{names.WORKER_REQUESTS}_total", f"{names.WORKER_BUSY}_total"
    busiest = f"and on ({BY}) topk({MOST}, sum by ({BY}) (increase({requests}{{{OF}}}[$__range] @ end())))"

    def rate(metric: str) -> Query:
        return Query(f"sum by ({BY}) (rate({metric}{{{OF}}}[$__rate_interval])) {busiest}", NAME)

    exits = f"sum by (reason) (increase({names.WORKER_EXITS}_total{{{OF}}}[$__rate_interval]))"
    return (
        p.series_panel("Requests by worker", f"Entry spans a second of the {MOST} busiest workers. A recycled "
                       "worker's number goes to the next one.",
                       rate(requests), unit=p.PER_SECOND, no_value=ONE_PROCESS),
        p.series_panel("Requests at once, by worker", "How many requests a worker serves at a time, on average: a sync "
                       "worker at 1 is full.", rate(busy), no_value=ONE_PROCESS),
        p.series_panel("Memory by worker", "Resident memory. A line that only rises, until the worker is recycled, is "
                       "a leak.", Query(f"sum by ({BY}) ({names.WORKER_MEMORY}{{{OF}}})", NAME), unit=p.BYTES,
                       no_value=ONE_PROCESS),
        p.series_panel("Workers", "Processes that live and may serve requests.",
                       Query(f"sum by (instance) ({names.WORKERS}{{{OF}}})", "{{instance}}"), unit=p.COUNT, decimals=0,
                       width=6, no_value=NO_WORKERS),
        p.series_panel("Workers that ended", "Exited: recycled, or stopped. Killed: SIGKILL, out of memory, a crash.",
                       Query(exits, "{{reason}}"), unit=p.COUNT, decimals=0, width=6, no_value=NO_WORKERS,
                       overrides=(p.colored(names.EXITED, p.BLUE), p.colored(names.KILLED, p.RED))),
    )  # fmt: skip


def runtime_panels() -> tuple[Any, ...]:
    """Return CPU, memory, threads, files and garbage collection by instance."""
    return (
        _panel("CPU", "Cores in use by the process.", "rate", "process_cpu_time_seconds_total",
               "process_cpu_seconds_total", unit=p.NUMBER),
        _panel("Memory", "Resident memory of the process.", "", "process_memory_usage_bytes",
               "process_resident_memory_bytes", unit=p.BYTES),
        _panel("Garbage collections", "Collections a second, all generations.", "rate", "cpython_gc_collections_total",
               "python_gc_collections_total", unit="ops"),
        _panel("Open files", "Open file descriptors: sockets count.", "", "process_open_file_descriptor_count",
               "process_open_fds", unit=p.COUNT),
    )  # fmt: skip


def deploy_panels() -> tuple[Any, ...]:
    """Return which version ran when, and restarts."""
    return (
        p.series_panel("Instances by version", "Instances that run each service.version.",
                       Query(VERSIONS, "{{service_version}}"), unit=p.COUNT, width=16, stacked=True,
                       no_value="No target_info: set service.version in OTEL_RESOURCE_ATTRIBUTES"),
        p.series_panel("Restarts", "Times that an instance's counters began anew, in an hour.",
                       Query(f"max by (instance) (resets({GOOD}[1h]))", "{{instance}}"),
                       unit=p.COUNT, width=8, no_value="No counters of this service"),
    )  # fmt: skip


def _panel(title: str, description: str, function: str, otel: str, client: str, *, unit: str) -> Any:
    def each(name: str) -> str:
        series = f"{name}{{{OF}}}"
        return f"sum by (instance) ({f'rate({series}[$__rate_interval])' if function else series})"

    return p.series_panel(
        title, description, Query(f"{each(otel)} or {each(client)}", "{{instance}}"), unit=unit, width=6,
        no_value=NO_RUNTIME,
    )  # fmt: skip


# -- who calls whom, by what slotel, Tempo or the collector counts ----------------------------------------------

GRAPH_CALLS: Final = f'{names.GRAPH_CALLS}_total{{environment=~"$environment"}}'
GRAPH_FAILED: Final = f'{names.GRAPH_FAILED}_total{{environment=~"$environment"}}'
NO_CALLS: Final = "No calls to other services, databases or queues"
CONNECTIONS: Final = {"virtual_node": ("service or host", p.BLUE), "messaging_system": ("queue", p.BLUE)}


def map_panels() -> tuple[Any, ...]:
    """Return the graph and the table."""
    return _map_graph(), _map_table()


def _map_graph() -> Any:
    rate = f"rate({GRAPH_CALLS}[$__range])"
    called, calling = (_copied(rate, side, "id") for side in (names.LABEL_SERVER, names.LABEL_CLIENT))
    nodes = f"sum by (id) ({called}) or sum by (id) ({calling})"
    ends = f"sum by ({names.LABEL_CLIENT}, {names.LABEL_SERVER}) ({rate}) > 0"
    edges = _copied(_copied(ends, names.LABEL_CLIENT, "source"), names.LABEL_SERVER, "target")
    edges = f'label_join({edges}, "id", " → ", "source", "target")'
    panel = (
        nodegraph.Panel()
        .nodes(nodegraph.NodeOptions().main_stat_unit(p.PER_SECOND))
        .edges(nodegraph.EdgeOptions().main_stat_unit(p.PER_SECOND))
        .with_transformation(
            d.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": {"Time": True, names.LABEL_CLIENT: True, names.LABEL_SERVER: True},
                    "renameByName": {"Value #nodes": "mainstat", "Value #edges": "mainstat"},
                },
            )
        )
    )
    link = {
        "title": "Open this service",
        "url": f"/d/{names.DASHBOARD_SERVICE}?var-service=${{__data.fields.title}}"
        "&${datasource:queryparam}&${environment:queryparam}&${__url_time_range}",
    }
    built = p.dressed(
        panel, "Service map", "Calls a second in the shown time: at an arrow, of the one to the other; in a circle, "
        "received, or made where none is received. A database or a queue is named by its own name, a service without "
        "slotel by its host.",
        [Query(_copied(nodes, "id", "title")), Query(edges)], instant=True, table=True,
        unit=p.PER_SECOND, height=10, no_value=NO_CALLS,
        overrides=(column("mainstat", unit=p.PER_SECOND, decimals=2), column("title", links=[link])),
    )  # fmt: skip
    for target, ref in zip(built.build().targets or [], ("nodes", "edges"), strict=True):
        target.ref_id = ref  # by which the panel tells its two tables apart
    return built


def _map_table() -> Any:
    by = f"{names.LABEL_CLIENT}, {names.LABEL_SERVER}, {names.LABEL_CONNECTION}"
    calls, failed = (f"sum by ({by}) (rate({each}[$__range]))" for each in (GRAPH_CALLS, GRAPH_FAILED))
    return table_panel(
        "Calls between services",
        "The same as a table, with the share of calls that failed, as the caller saw it.",
        {"Rate": Query(f"{calls} > 0"), "Errors": Query(f"({failed} or 0 * {calls}) / ({calls} > 0)")},
        labels={
            names.LABEL_CLIENT: "Caller",
            names.LABEL_SERVER: "Called",
            names.LABEL_CONNECTION: "Connection",
        },
        overrides=(
            column("Connection", words=CONNECTIONS),
            *CALL_RATES,
        ),
        sort_by="Rate",
        width=12,
        height=10,
        no_value=NO_CALLS,
    )  # fmt: skip


def _copied(expr: str, label: str, to: str) -> str:
    return f'label_join({expr}, "{to}", "", "{label}")'


# -- Sentry ------------------------------------------------------------------------------------------------------

PLUGIN: Final = "grafana-sentry-datasource"
SOURCE: Final = c.DataSourceRef(type_val=PLUGIN, uid="${sentry}")
EMPTY: Final = (
    "Nothing in this time. The data source needs the plugin grafana-sentry-datasource and SENTRY_AUTH_TOKEN."
)


class SentryQuery:
    """A query of the Sentry plugin, by its own model: https://github.com/grafana/sentry-datasource, src/types.ts."""

    def __init__(self, kind: str, **model: Any) -> None:
        scope = {"refId": "A", "queryType": kind, "projectIds": [], "environments": []}
        self._model = {**scope, **model, "datasource": {"type": PLUGIN, "uid": "${sentry}"}}

    def build(self) -> SentryQuery:
        """Return itself: the SDK builds what it is given."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the query as the plugin reads it."""
        return self._model


def sentry_variables(service: Service) -> tuple[Any, ...]:
    """Return the builder of the variable that finds the data source; none where no Sentry is configured."""
    if not service.monitoring.sentry_url:
        return ()
    variable = dashboard.DatasourceVariable("sentry").label("Sentry").type(PLUGIN)
    return (variable.description("Data source of the row Sentry.").hide(d.VariableHide.HIDE_VARIABLE),)


def sentry_rows(service: Service) -> tuple[Row, ...]:
    """Return the row; none where no Sentry is configured."""
    if not service.monitoring.sentry_url:
        return ()
    return (Row("Sentry", (_issues(), _users(), _releases()), collapsed=True),)


def _issues() -> Any:
    query = SentryQuery("issues", issuesQuery="is:unresolved", issuesSort="freq", issuesLimit=20)
    panel = table.Panel().show_header(True).cell_height(c.TableCellHeight.SM)
    return _sentry_panel(
        panel, "Issues by frequency", "Unresolved issues of the shown time, most frequent first.", query, 24
    )


def _users() -> Any:
    return _chart("Users affected", "Users who met an error, over time.", "count_unique(user)", [])


def _releases() -> Any:
    return _chart("Errors by release in Sentry", "Error events over time by release.", "count()", ["release"])


def _chart(title: str, description: str, counted: str, groups: list[str]) -> Any:
    query = SentryQuery(
        "eventsStats", eventsStatsQuery="event.type:error", eventsStatsYAxis=[counted], eventsStatsGroups=groups,
        eventsStatsSort=f"-{counted}", eventsStatsLimit=5,
    )  # fmt: skip
    return _sentry_panel(timeseries.Panel().legend(p.legend()), title, description, query, 12)


def _sentry_panel(panel: Any, title: str, description: str, query: SentryQuery, width: int) -> Any:
    panel.title(title).description(description).datasource(SOURCE).unit("locale").no_value(EMPTY)
    return panel.span(width).height(8).with_target(query)
