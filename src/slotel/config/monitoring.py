"""Settings of the generated rules and dashboards: the source of the counts, and the targets of links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from slotel.config.value_types import Label, ScrapeInterval, Url

Source = Literal["slo_events", "span_metrics", "http_server"]
"""Metrics that rules count from: slotel's own `slo_events_total`; `traces_span_metrics_*` (a collector's, or slotel's);
`http_server_request_duration_seconds` of OpenTelemetry's HTTP conventions (any language)."""

LABEL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED_LABELS: Final = frozenset((
    "sloth_id", "sloth_service", "sloth_slo", "sloth_window", "sloth_mode", "sloth_objective", "sloth_spec",
    "sloth_version", "sloth_severity", "slo_group", "service", "slo", "severity", "long", "short", "burn_rate",
    "exhaustion", "reason", "slo_calendar", "slo_part", "slo_name", "slo_outcome", "service_name", "alertname",
    "alertstate", "span_name", "span_kind", "span_kinds", "status_code", "http_route", "le", "__name__",
))  # fmt: skip
"""Labels that `match` may not set: the rules write them, or an objective selects by them."""


class Monitoring(NamedTuple):
    """Settings of the generated files in addition to the objectives.

    Args:
        source: see Source.
        match: label → value that every series read must have, as `environment: production`.
        sentry_url: address of the Sentry organisation, as `https://sentry.example/organizations/acme`.
        grafana_url: address of Grafana.
        runbook_url: address of a runbook; `{service}` and `{slo}` in it are filled in.
        scrape_interval: seconds between two scrapes of the service; windows hold four of them. None: not told.
    """

    source: Source = "slo_events"
    match: Mapping[Label, str] = MappingProxyType({})
    sentry_url: Url = ""
    grafana_url: Url = ""
    runbook_url: Url = ""
    scrape_interval: ScrapeInterval | None = None
