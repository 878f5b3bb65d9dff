"""The service map: who calls whom, as a graph and as a table, by what slotel, Tempo or the collector counts."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import nodegraph
from grafana_foundation_sdk.models import dashboard as d

from slotel.compile.grafana import panels as p
from slotel.compile.grafana.panels import Query
from slotel.compile.grafana.shapes import CALL_RATES, column, table_panel
from slotel.config import names

CALLS: Final = f'{names.GRAPH_CALLS}_total{{environment=~"$environment"}}'
FAILED: Final = f'{names.GRAPH_FAILED}_total{{environment=~"$environment"}}'
NO_CALLS: Final = "No calls to other services, databases or queues"
CONNECTIONS: Final = {"virtual_node": ("service or host", p.BLUE), "messaging_system": ("queue", p.BLUE)}


def map_panels() -> tuple[Any, ...]:
    """Return the graph and the table."""
    return _graph(), _table()


def _graph() -> Any:
    rate = f"rate({CALLS}[$__range])"
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


def _table() -> Any:
    by = f"{names.LABEL_CLIENT}, {names.LABEL_SERVER}, {names.LABEL_CONNECTION}"
    calls, failed = (f"sum by ({by}) (rate({each}[$__range]))" for each in (CALLS, FAILED))
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
