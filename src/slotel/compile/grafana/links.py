"""Links of a table's cells and of a dashboard's head, and marks on its charts: deploys, alerts that fired."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard, prometheus

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
        issues, traces = (
            f"{base}/issues/?query=is:unresolved+{query}",
            f"{base}/explore/traces/?query={query}",
        )
        links.append({"title": "Issues in Sentry", "url": issues, "targetBlank": True})
        links.append({"title": "Traces in Sentry", "url": traces, "targetBlank": True})
    return links


def sentry_links(service: Service) -> tuple[Any, ...]:
    """Return builders of links to the service's issues and traces in Sentry; none where no address is configured.

    Sentry knows projects, no services: only a tag `service` of the policy narrows the search to one.
    """
    base = service.monitoring.sentry_url
    if not base:
        return ()
    tagged = "service" in {*service.tags.set, *service.tags.required}
    mine = "+service:%22${service}%22" if tagged else ""
    issues = f"{base}/issues/?query=is:unresolved{mine}&statsPeriod=24h"
    traces = f"{base}/explore/traces/?query={mine.removeprefix('+')}&statsPeriod=24h"
    return (p.url("Sentry issues", issues), p.url("Sentry traces", traces))


def runbook_links(service: Service) -> tuple[Any, ...]:
    """Return the builder of a link to the objective's runbook; none where no address is configured."""
    address = service.monitoring.runbook_url
    if not address:
        return ()
    return (p.url("Runbook", address.replace("{service}", "${service}").replace("{slo}", "${slo}")),)


def deploy_marks(which: str, *, by: str = "service_version") -> Any:
    """Return the builder of an annotation that marks each time when a version was first seen.

    Args:
        which: matchers of `target_info`.
        by: labels that tell one deploy from another; the first is shown with the version.
    """
    now = f"count by ({by}) (target_info{{{which}}})"
    new = f"{now} unless count by ({by}) (target_info{{{which}}} offset 5m)"
    title = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return _mark("Deploys", "blue", new, f"Deployed {title}", by)


def alert_marks(which: str) -> Any:
    """Return the builder of an annotation that marks each time in which an alert fired.

    Args:
        which: matchers of `ALERTS`.
    """
    by = "alertname, severity, sloth_service, sloth_slo"
    firing = f'max by ({by}) (ALERTS{{alertstate="firing",{which}}})'
    title = "{{alertname}} {{severity}}: {{sloth_service}} {{sloth_slo}}"
    return _mark("Alerts", "red", firing, title, "severity")


def _mark(name: str, color: str, expr: str, title: str, tags: str) -> Any:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(p.DATASOURCE)
        .enable(True)
        .icon_color(color)
        .target(prometheus.Dataquery().ref_id(name).expr(expr).interval("1m"))
        .title_format(title)
        .tag_keys(tags.replace(" ", ""))
    )
