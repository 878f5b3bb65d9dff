"""Links of a table's cells and of a dashboard's head: to the other dashboards, to Sentry, to the runbook."""

from __future__ import annotations

from typing import Any, Final

from slotel.compile.grafana import panels as p
from slotel.config import names
from slotel.config.service import Service

KEPT: Final = "&${datasource:queryparam}&${environment:queryparam}&${service:queryparam}&${__url_time_range}"
OPERATION: Final = "${__value.text:percentencode}"


def operation_links(service: Service) -> list[dict[str, Any]]:
    """Return what the name of an operation in a table leads to: its charts, its issues and its traces.

    Returns:
        Grafana's `DataLink`s, as `column(…, links=…)` takes them; those to Sentry only where its address is configured.
    """
    chosen = f"/d/{names.DASHBOARD_SERVICE}?var-operation={OPERATION}{KEPT}"
    links: list[dict[str, Any]] = [{"title": "Only this operation", "url": chosen}]
    base = service.monitoring.sentry_url
    if base:
        query = f"transaction:%22{OPERATION}%22"
        addresses = {
            "Issues in Sentry": f"{base}/issues/?query=is:unresolved+{query}",
            "Traces in Sentry": f"{base}/explore/traces/?query={query}",
        }
        links += [{"title": title, "url": url, "targetBlank": True} for title, url in addresses.items()]
    return links


def sentry_links(service: Service) -> tuple[Any, ...]:
    """Return builders of links to the service's issues and traces in Sentry; none where no address is configured.

    Sentry knows projects, no services: only a tag `service` of the policy narrows the search to one.
    """
    base = service.monitoring.sentry_url
    if not base:
        return ()
    tagged = "service" in {*service.tags.set, *service.tags.required}
    mine = "+service:${service}" if tagged else ""
    issues = f"{base}/issues/?query=is:unresolved{mine}&statsPeriod=24h"
    traces = f"{base}/explore/traces/?query={mine.removeprefix('+')}&statsPeriod=24h"
    return (p.url("Sentry issues", issues), p.url("Sentry traces", traces))


def runbook_links(service: Service) -> tuple[Any, ...]:
    """Return the builder of a link to the objective's runbook; none where no address is configured."""
    address = service.monitoring.runbook_url
    if not address:
        return ()
    return (p.url("Runbook", address.replace("{service}", "${service}").replace("{slo}", "${slo}")),)
