"""The row "Sentry" of the dashboard "Service": issues and users, asked of Sentry by Grafana's plugin for it.

It is collapsed, so that nothing is asked until it is opened, and there only where `monitoring.sentry_url` says that
there is a Sentry. Its data source is the plugin `grafana-sentry-datasource`.
"""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard, table, timeseries
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d

from slotel.compile.grafana.board import Row
from slotel.compile.grafana.panels import legend
from slotel.config.service import Service

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


def variables(service: Service) -> tuple[Any, ...]:
    """Return the builder of the variable that finds the data source; none where no Sentry is configured."""
    if not service.monitoring.sentry_url:
        return ()
    variable = dashboard.DatasourceVariable("sentry").label("Sentry").type(PLUGIN)
    return (variable.description("Data source of the row Sentry.").hide(d.VariableHide.HIDE_VARIABLE),)


def rows(service: Service) -> tuple[Row, ...]:
    """Return the row; none where no Sentry is configured."""
    if not service.monitoring.sentry_url:
        return ()
    return (Row("Sentry", (_issues(), _users(), _releases()), collapsed=True),)


def _issues() -> Any:
    query = SentryQuery("issues", issuesQuery="is:unresolved", issuesSort="freq", issuesLimit=20)
    panel = table.Panel().show_header(True).cell_height(c.TableCellHeight.SM)
    return _dressed(
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
    return _dressed(timeseries.Panel().legend(legend()), title, description, query, 12)


def _dressed(panel: Any, title: str, description: str, query: SentryQuery, width: int) -> Any:
    panel.title(title).description(description).datasource(SOURCE).unit("locale").no_value(EMPTY)
    return panel.span(width).height(8).with_target(query)
