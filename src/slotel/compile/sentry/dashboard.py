"""A dashboard for Sentry: error rate, users affected, what breaks, and when a budget was breached. One JSON body."""

from __future__ import annotations

from typing import Any, Final

from slotel.config.service import Service
from slotel.config.slo import HEALTH_ROUTES

ERRORS: Final = "error-events"
TRANSACTIONS: Final = "transaction-like"


def dashboard(service: Service) -> dict[str, Any]:
    """Return the body that creates the dashboard; replace `{project}` in it."""
    mine = "project:{project}"
    requests = " ".join([mine, *(f'!transaction:"* {route}"' for route in HEALTH_ROUTES)])
    breached = f"{mine} slo_state:breached"
    limit = min((slo.limit for slo in service.slos if slo.latency is None), default=0.01)
    rate = _widget("Error rate", "big_number", TRANSACTIONS, (0, 0, 2, 1), ["failure_rate()"], requests)
    rate["thresholds"] = {"max_values": {"max1": round(limit / 2, 10), "max2": limit}, "unit": None}
    rate["description"] = f"Of what was sent to Sentry; the tightest limit is {limit * 100:.10g} %."
    widgets = [
        rate,
        _widget("Users affected", "big_number", ERRORS, (2, 0, 2, 1), ["count_unique(user)"], mine),
        _widget("Budget breaches", "big_number", ERRORS, (4, 0, 2, 1), ["count()"], breached),
        _widget("Error rate over time", "line", TRANSACTIONS, (0, 1, 3, 2), ["failure_rate()"], requests),
        _widget("Users affected over time", "line", ERRORS, (3, 1, 3, 2), ["count_unique(user)"], mine),
        _widget("Errors", "bar", ERRORS, (0, 3, 3, 2), ["count()"], f"{mine} !slo_state:breached"),
        _widget("p95", "line", TRANSACTIONS, (3, 3, 3, 2), ["p95(transaction.duration)"], requests),
        _widget("What breaks", "table", ERRORS, (0, 5, 3, 3), ["count()", "count_unique(user)"],
                f"{mine} !has:slo_state", columns=["issue", "title"]),
        _widget("Budget breaches by objective", "table", ERRORS, (3, 5, 3, 3), ["count()", "last_seen()"], breached,
                columns=["slo_name"]),
    ]  # fmt: skip
    return {
        "title": f"{service.name}: errors and budget (slotel)",
        "widgets": widgets,
        "projects": [],
        "period": "24h",
    }


def _widget(
    title: str,
    display: str,
    kind: str,
    place: tuple[int, int, int, int],
    aggregates: list[str],
    conditions: str,
    columns: list[str] | None = None,
) -> dict[str, Any]:
    x, y, w, h = place
    query = {
        "name": "",
        "fields": [*(columns or []), *aggregates],
        "aggregates": aggregates,
        "columns": columns or [],
        "fieldAliases": [],
        "conditions": conditions,
        "orderby": f"-{aggregates[0]}" if columns else "",
    }
    widget: dict[str, Any] = {
        "title": title,
        "displayType": display,
        "widgetType": kind,
        "interval": "5m",
        "queries": [query],
        "layout": {"x": x, "y": y, "w": w, "h": h, "minH": 1 if display == "big_number" else 2},
    }
    if columns:
        widget["limit"] = 10
    return widget
