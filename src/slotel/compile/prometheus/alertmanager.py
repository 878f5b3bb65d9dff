"""prometheus/alertmanager.example.yaml: who gets which severity, and which alert mutes which. To adapt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from slotel.compile.conventions import LABEL_GROUP, LABEL_SEVERITY
from slotel.compile.prometheus.alerts import ABSENT, BURN, OPERAND
from slotel.compile.yaml_file import yaml_file
from slotel.config.service import Service

PATH: Final = "prometheus/alertmanager.example.yaml"
PAGE_URL: Final = "http://127.0.0.1:9095/page"
TICKET_URL: Final = "http://127.0.0.1:9095/ticket"
"""Addresses to replace: where pages and tickets go."""


def files(service: Service) -> Mapping[str, str]:
    """Return the example configuration of Alertmanager by its path."""
    document = configuration(PAGE_URL, TICKET_URL, tuple(service.monitoring.match))
    return {PATH: yaml_file(service, "Example configuration of Alertmanager for the alerts", document)}


def configuration(page_url: str, ticket_url: str, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return an Alertmanager configuration with a route for each severity.

    A page mutes the ticket of its objective and group; a missing operand mutes the burn-rate alerts.

    Args:
        page_url, ticket_url: webhooks, to which Alertmanager posts.
        more: further labels that tell objectives apart, as `environment`: no page of staging mutes production.
    """
    objective = ["service", "slo", LABEL_GROUP, *more]  # of an objective without groups the label is empty
    return {
        "route": {
            "receiver": "ticket",
            "group_by": objective,
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "receiver": "page",
                    "matchers": [f'{LABEL_SEVERITY}="page"'],
                    "group_wait": "10s",
                    "repeat_interval": "4h",
                }
            ],
        },
        "receivers": [_webhook("page", page_url), _webhook("ticket", ticket_url)],
        "inhibit_rules": [
            {
                # Of alerts without an objective, as the collector's, all labels would be equal: they mute none.
                "source_matchers": [f'{LABEL_SEVERITY}="page"', 'slo=~".+"'],
                # Nor the ticket that mutes the page: Alertmanager would send neither.
                "target_matchers": [f'{LABEL_SEVERITY}="ticket"', f'alertname!="{ABSENT}"'],
                "equal": objective,
            },
            {
                # Bad events are computed from a series that does not exist. A service that is down mutes no page.
                "source_matchers": [f'alertname="{ABSENT}"', f'reason="{OPERAND}"'],
                "target_matchers": [f'alertname="{BURN}"'],
                "equal": objective,
            },
        ],
    }


def _webhook(name: str, url: str) -> dict[str, Any]:
    return {"name": name, "webhook_configs": [{"url": url, "send_resolved": True}]}
