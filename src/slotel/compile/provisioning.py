"""grafana/provisioning: where Grafana finds the dashboards and their data. Knows files, no query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from slotel.compile.yaml_file import yaml_file
from slotel.config.service import Service

DIRECTORY: Final = "grafana/provisioning"
DASHBOARDS: Final = f"{DIRECTORY}/dashboards/slotel.yaml"
SOURCES: Final = f"{DIRECTORY}/datasources/slotel.yaml"
SENTRY: Final = f"{DIRECTORY}/datasources/sentry.yaml"
"""With `monitoring.sentry_url`: Grafana then needs SENTRY_AUTH_TOKEN alone, and the plugin."""
SENTRY_UNPLACED: Final = f"{DIRECTORY}/optional/sentry.yaml"
"""Beside the folders that Grafana reads, where no address is known: SENTRY_URL and SENTRY_ORG stand in it."""

INSTALLED: Final = "/etc/grafana/slotel/dashboards"
"""Grafana's path of the dashboards: mount grafana/dashboards there."""
PROMETHEUS: Final = "http://prometheus:9090"
ALERTMANAGER: Final = "http://alertmanager:9093"
_ORGANISATION: Final = re.compile(r"(https?://[^/]+)/organizations/([^/]+)")
_ORGANISATION_HOST: Final = re.compile(r"https?://([^./]+)\.(sentry\.io)")


def files(service: Service) -> Mapping[str, str]:
    """Return Grafana's provisioning files by their paths."""
    providers = {
        "apiVersion": 1,
        "providers": [
            {
                "name": "slotel",
                "folder": "slotel",
                "type": "file",
                "disableDeletion": False,
                "allowUiUpdates": False,
                "options": {"path": INSTALLED},
            }
        ],
    }
    alertmanager = _source(
        "Alertmanager", "alertmanager", url=ALERTMANAGER, jsonData={"implementation": "prometheus"}
    )
    sources = {"apiVersion": 1, "datasources": [_prometheus(service), alertmanager]}
    sentry = {"apiVersion": 1, "datasources": [_sentry(service)]}
    return {
        DASHBOARDS: yaml_file(service, "Grafana's dashboards", providers),
        SOURCES: yaml_file(service, "Grafana's data sources", sources),
        SENTRY if all(sentry_place(service.monitoring.sentry_url)) else SENTRY_UNPLACED: yaml_file(
            service, "Grafana's data source for Sentry (plugin grafana-sentry-datasource)", sentry
        ),
    }


def _prometheus(service: Service) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "httpMethod": "POST",
        "manageAlerts": True,
        "alertmanagerUid": "slotel-alertmanager",
        "prometheusType": "Prometheus",
        "timeInterval": "15s",
    }
    base = service.monitoring.sentry_url
    if base:
        # Grafana expands $NAME in these files: a dollar that it must keep is written twice.
        trace = f"{base}/performance/trace/$${{__value.raw}}/"
        settings["exemplarTraceIdDestinations"] = [
            {"name": "trace_id", "url": trace, "urlDisplayLabel": "Trace in Sentry"}
        ]
    return _source("Prometheus", "prometheus", url=PROMETHEUS, jsonData=settings)


def _sentry(service: Service) -> dict[str, Any]:
    address, organisation = sentry_place(service.monitoring.sentry_url)
    place = {"url": address or "$SENTRY_URL", "orgSlug": organisation or "$SENTRY_ORG"}
    token = {"authToken": "$SENTRY_AUTH_TOKEN"}
    return _source("Sentry", "grafana-sentry-datasource", jsonData=place, secureJsonData=token)


def _source(name: str, kind: str, **more: Any) -> dict[str, Any]:
    named = {"name": f"{name} (slotel)", "uid": f"slotel-{name.lower()}"}
    return {**named, "type": kind, "access": "proxy", **more}


def sentry_place(url: str) -> tuple[str, str]:
    """Return address and organisation of `monitoring.sentry_url`; empty where it does not tell.

    >>> sentry_place("https://sentry.example/organizations/acme")
    ('https://sentry.example', 'acme')
    >>> sentry_place("https://acme.sentry.io")
    ('https://sentry.io', 'acme')
    """
    if match := _ORGANISATION.match(url):
        return match[1], match[2]
    if match := _ORGANISATION_HOST.match(url):
        return f"https://{match[2]}", match[1]
    return url, ""
