"""sentry/: alert rules and a dashboard as JSON bodies for Sentry's API, and a script that sends them. Sends nothing.

Sentry sees what is sent to it: errors, and the sampled share of transactions together with those that were kept for
an error or for being slow. Its rates are for looking and for waking; the exact ones are Prometheus'.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from slotel.compile.provisioning import sentry_place
from slotel.compile.sentry.script import script
from slotel.config.duration import format_duration
from slotel.config.service import Service
from slotel.config.slo import HEALTH_ROUTES, Slo

DIRECTORY: Final = "sentry"
MANIFEST: Final = f"{DIRECTORY}/manifest.json"
SCRIPT: Final = f"{DIRECTORY}/apply.sh"

METRIC_RULES: Final = "/api/0/organizations/{organization}/alert-rules/"
ISSUE_RULES: Final = "/api/0/projects/{organization}/{project}/rules/"
DASHBOARDS: Final = "/api/0/organizations/{organization}/dashboards/"

MINUTES: Final = (1, 5, 10, 15, 30, 60, 120, 240, 1440)
"""Windows that a metric alert can have. Source: Sentry's API, `timeWindow`."""
P95: Final = 0.95
ERRORS: Final = "error-events"
TRANSACTIONS: Final = "transaction-like"
CLIENT_FAULTS: Final = (
    "already_exists", "failed_precondition", "invalid_argument", "not_found", "out_of_range", "permission_denied",
    "resource_exhausted", "unauthenticated",
)  # fmt: skip
"""Statuses of 4xx answers: Sentry's failure_rate() counts them as failed, slotel does not count them as bad."""

_FIELDS: Final = {
    "http.request.method": "http.method",
    "http.method": "http.method",
    "http.response.status_code": "http.status_code",
}
_ROUTE: Final = "http.route"


@dataclass(frozen=True, slots=True)
class Request:
    """A request: a path and a body; Sentry's answer has `name` if the object exists already."""

    name: str
    path: str
    body: Mapping[str, Any]
    file: str


def files(service: Service) -> Mapping[str, str]:
    """Return the bodies, the list of them, and the script that sends them, by their paths."""
    sent, left_out = requests(service)
    manifest = {
        "__generated": f"by `slotel generate` for the service '{service.name}': change slotel.yaml and run it again",
        "fill_in": {
            "organization": "slug of the organisation",
            "project": "slug of the project",
            "team": "id of the team that is told by mail",
        },
        "requests": [
            {"method": "POST", "path": one.path, "file": one.file, "name": one.name} for one in sent
        ],
        "left_out": left_out,
    }
    made = {f"{DIRECTORY}/{one.file}": _json(one.body) for one in sent}
    address, organisation = sentry_place(service.monitoring.sentry_url)
    calls = [(one.path, one.file, one.name) for one in sent]
    return {
        **made,
        MANIFEST: _json(manifest),
        SCRIPT: script(service.name or "", address, organisation, calls),
    }


def requests(service: Service) -> tuple[list[Request], list[str]]:
    """Return what is sent, and one sentence for each objective that Sentry's search cannot express."""
    sent, left_out = [], []
    for slo in service.slos:
        try:
            sent += list(_metric_rules(service, slo))
        except NotInSentryError as error:
            left_out.append(f"'{slo.name}' has no rule in Sentry: {error}")
    sent += _issue_rules(service)
    body = _dashboard(service)
    sent.append(Request(body["title"], DASHBOARDS, body, "dashboard.json"))
    return sent, left_out


# -- metric alerts ---------------------------------------------------------------------------------------------


def _metric_rules(service: Service, slo: Slo) -> Iterator[Request]:
    query = search(slo)
    if slo.latency is None:
        window = _minutes(slo)
        name = f"{service.name} {slo.name}: more than {slo.limit * 100:.10g} % fail in {format_duration(window * 60)}"
        yield _metric_rule(f"{slo.name}-error-rate", name, query, "failure_rate()", slo.limit, window)
        return
    milliseconds = slo.latency * 1000
    for share in dict.fromkeys((P95, slo.objective)):
        percentile = f"p{share * 100:.10g}"
        name = f"{service.name} {slo.name}: {percentile} above {milliseconds:.10g} ms"
        file = f"{slo.name}-{percentile.replace('.', '-')}"
        aggregate = f"percentile(transaction.duration,{share:.10g})"
        yield _metric_rule(file, name, query, aggregate, milliseconds, _minutes(slo))


def _metric_rule(file: str, name: str, query: str, aggregate: str, threshold: float, minutes: int) -> Request:
    tell = [{"type": "email", "targetType": "team", "targetIdentifier": "{team}"}]
    body: dict[str, Any] = {
        "name": name[:256],
        "aggregate": aggregate,
        "dataset": "transactions",
        "queryType": 1,
        "eventTypes": ["transaction"],
        "query": query,
        "timeWindow": minutes,
        "thresholdType": 0,
        "triggers": [{"label": "critical", "alertThreshold": round(threshold, 10), "actions": tell}],
        "projects": ["{project}"],
        "environment": None,
    }
    return Request(body["name"], METRIC_RULES, body, f"alert-rules/{file}.json")


def _minutes(slo: Slo) -> int:
    """Return the shortest window of Sentry's that is not below the objective's; its longest is a day."""
    return next((minutes for minutes in MINUTES if minutes * 60 >= slo.window), MINUTES[-1])


# -- issue alerts ----------------------------------------------------------------------------------------------


def _issue_rules(service: Service) -> list[Request]:
    seen = "sentry.rules.conditions.first_seen_event.FirstSeenEventCondition"
    regressed = "sentry.rules.conditions.regression_event.RegressionEventCondition"
    every = "sentry.rules.conditions.every_event.EveryEventCondition"
    breached = {
        "id": "sentry.rules.filters.tagged_event.TaggedEventFilter",
        "key": "slo_state",
        "match": "eq",
        "value": "breached",
    }
    minutes = max(5, min((_minutes(slo) for slo in service.slos), default=60))
    return [
        _issue_rule(f"{service.name}: new issue", "new-issue", seen, 30),
        _issue_rule(f"{service.name}: regression", "regression", regressed, 5),
        _issue_rule(f"{service.name}: error budget breached", "budget", every, minutes, breached),
    ]


def _issue_rule(name: str, file: str, condition: str, frequency: int, *filters: Mapping[str, Any]) -> Request:
    body = {
        "name": name,
        "actionMatch": "any",
        "filterMatch": "all",
        "frequency": frequency,
        "conditions": [{"id": condition}],
        "filters": list(filters),
        "actions": [
            {
                "id": "sentry.mail.actions.NotifyEmailAction",
                "targetType": "IssueOwners",
                "fallthroughType": "ActiveMembers",
            }
        ],
        "environment": None,
    }
    return Request(name, ISSUE_RULES, body, f"issue-rules/{file}.json")


# -- dashboard: error rate, users affected, what breaks, and when a budget was breached ------------------------


def _dashboard(service: Service) -> dict[str, Any]:
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


# -- selections: what Sentry's search cannot say is refused, not dropped ---------------------------------------


class NotInSentryError(ValueError):
    """The selection has a part that Sentry's search cannot express."""


def search(slo: Slo) -> str:
    """Return the search for an objective's transactions.

    Raises:
        NotInSentryError: the objective counts by something that Sentry does not hold, with the reason.

    >>> from slotel.config.slo import Selection
    >>> search(Slo("pay", 0.01, 0.99, latency=0.3, select=Selection(include={"http.route": ("/pay*",)}, exclude={})))
    'transaction:"* /pay*"'
    """
    if slo.queries is not None:
        raise NotInSentryError("it is given as PromQL")
    if slo.bad.attributes:
        raise NotInSentryError(f"what is bad is told by attributes ({', '.join(slo.bad.attributes)})")
    if slo.slices is not None:
        raise NotInSentryError("it counts slices of time")
    parts = [*_terms(slo.select.include, ""), *_terms(slo.select.exclude, "!")]
    if slo.latency is None:
        parts.append(f"!transaction.status:[{', '.join(CLIENT_FAULTS)}]")
    return " ".join(parts)


def _terms(selection: Mapping[str, tuple[str, ...]], sign: str) -> list[str]:
    found = []
    for key, values in selection.items():
        if key == _ROUTE:
            # A transaction's name is method and route.
            terms = [f'{sign}transaction:"* {_quoted(value)}"' for value in values]
        else:
            terms = [f'{sign}{_FIELDS.get(key, key)}:"{_quoted(value)}"' for value in values]
        if sign or len(terms) == 1:
            found += terms
        else:
            found.append(f"({' OR '.join(terms)})")
    return found


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
