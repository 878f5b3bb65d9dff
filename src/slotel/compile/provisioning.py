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
    sources = {"apiVersion": 1, "datasources": [_prometheus(service), _alertmanager()]}
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
    return {
        "name": "Prometheus (slotel)",
        "uid": "slotel-prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": PROMETHEUS,
        "jsonData": settings,
    }


def _alertmanager() -> dict[str, Any]:
    return {
        "name": "Alertmanager (slotel)",
        "uid": "slotel-alertmanager",
        "type": "alertmanager",
        "access": "proxy",
        "url": ALERTMANAGER,
        "jsonData": {"implementation": "prometheus"},
    }


def _sentry(service: Service) -> dict[str, Any]:
    address, organisation = sentry_place(service.monitoring.sentry_url)
    return {
        "name": "Sentry (slotel)",
        "uid": "slotel-sentry",
        "type": "grafana-sentry-datasource",
        "access": "proxy",
        "jsonData": {"url": address or "$SENTRY_URL", "orgSlug": organisation or "$SENTRY_ORG"},
        "secureJsonData": {"authToken": "$SENTRY_AUTH_TOKEN"},
    }


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
