"""Marks on every dashboard's charts: when a version was first seen, when an alert fired."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus

from slotel.compile.grafana import panels as p


def deploys(which: str, *, by: str = "service_version") -> Any:
    """Return the builder of an annotation that marks each time when a version was first seen.

    Args:
        which: matchers of `target_info`.
        by: labels that tell one deploy from another; the first is shown with the version.
    """
    now = f"count by ({by}) (target_info{{{which}}})"
    new = f"{now} unless count by ({by}) (target_info{{{which}}} offset 5m)"
    title = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return _marks("Deploys", "blue", new, f"Deployed {title}", by)


def alerts(which: str) -> Any:
    """Return the builder of an annotation that marks each time in which an alert fired.

    Args:
        which: matchers of `ALERTS`.
    """
    by = "alertname, severity, sloth_service, sloth_slo"
    firing = f'max by ({by}) (ALERTS{{alertstate="firing",{which}}})'
    title = "{{alertname}} {{severity}}: {{sloth_service}} {{sloth_slo}}"
    return _marks("Alerts", "red", firing, title, "severity")


def _marks(name: str, color: str, expr: str, title: str, tags: str) -> Any:
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
