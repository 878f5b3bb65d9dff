"""The JSON schema of slotel.yaml for editors, generated from the types that read it.

It accepts every valid file. `slotel validate` also checks what JSON schema cannot express, such as regular expressions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from slotel.config import value_types
from slotel.config.file.schema import Document
from slotel.config.redaction.values import VALUE_NAMES
from slotel.config.sampling import Keep
from slotel.config.slo import SPAN_KINDS, Period

Schema = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Final = {"type": ["string", "number", "boolean"]}
"""YAML's types of a plain word or number; slotel reads each as text."""
_NUMBER_OR_TEXT: Final = {"type": ["string", "number"]}

_SHAPES: Final = {"enum": ["default", "all", "none", *VALUE_NAMES]}

VALUES: Final[Mapping[Any, Schema]] = {
    value_types.Objective: {**_NUMBER_OR_TEXT, "examples": ["99.9%", "0.999"]},
    value_types.Limit: {**_NUMBER_OR_TEXT, "examples": ["0.1%", "1/1000", "500ppm"]},
    value_types.Ratio: {**_NUMBER_OR_TEXT, "examples": ["5%", 0.05]},
    value_types.Seconds: {**_NUMBER_OR_TEXT, "examples": ["300ms", "1.5s"]},
    value_types.Window: {**_NUMBER_OR_TEXT, "examples": ["1h", "6h"]},
    value_types.SliceLength: {**_NUMBER_OR_TEXT, "examples": ["1m"]},
    value_types.Name: {**_TEXT, "examples": ["availability"]},
    value_types.Pattern: {**_TEXT, "examples": ["[a-z0-9-]{1,40}"]},
    value_types.Values: {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
    value_types.Kinds: {
        "anyOf": [
            {"enum": list(SPAN_KINDS)},
            {"type": "array", "items": {"enum": list(SPAN_KINDS)}, "minItems": 1},
        ]
    },
    value_types.Url: {**_TEXT, "examples": ["https://sentry.example.com"]},
    value_types.Tag: _TEXT,
    value_types.MetricLabel: _TEXT,
    value_types.Count: {"type": "integer", "minimum": 0},
    value_types.Version: {"const": 1},
    value_types.Shapes: {"anyOf": [_SHAPES, {"type": "array", "items": _SHAPES, "minItems": 1}]},
    value_types.ScrapeInterval: {**_NUMBER_OR_TEXT, "examples": ["15s", "1m"]},
    value_types.LateWait: {**_NUMBER_OR_TEXT, "examples": ["200ms"]},
    value_types.Label: {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
    Period: {**_NUMBER_OR_TEXT, "examples": ["30d", "month", "quarter"]},
    Keep: {"type": "string", "examples": ["errors", "slow>1s"]},
    str: _TEXT,
    bool: {"type": "boolean"},
}
"""JSON schema of each single value, for the kinds of `slotel.config.file.schema.PARSERS`."""

MEANINGS: Final[Mapping[str, str]] = {
    "version": "Version of this format.",
    "service": "Name of the service. OTEL_SERVICE_NAME overrides it.",
    "tags": "Attributes that are set, required or redacted on spans, metrics and Sentry events alike.",
    "tags.set": "Attributes that every span, metric and event carries.",
    "tags.required": "Attributes that every request must have; what is missing or not allowed is replaced.",
    "tags.required.*.default": "Value where the tag is missing or not allowed; without it: `unknown`.",
    "tags.required.*.allowed": "The values that are allowed.",
    "tags.required.*.pattern": "A regular expression that the whole value must match.",
    "tags.redact": "Keys whose values are redacted, besides passwords, tokens and cookies; `*` matches any text.",
    "tags.metric_labels": "Only the tags listed here become metric labels.",
    "redaction": "What is redacted in addition to the keys of `tags.redact`.",
    "redaction.values": "Formats of values that are redacted in any place, such as card numbers and tokens.",
    "redaction.sql": "`parameterise` replaces the literals of SQL statements by `?`.",
    "redaction.argv": "The command line in Sentry's events: each argument redacted, all dropped, or all kept.",
    "slos": "Service level objectives.",
    "slos.name": "Name of the objective, as metrics and alerts carry it.",
    "slos.objective": "Share of good events, such as 99.9%. Give this or error_budget.",
    "slos.error_budget": "Largest share of bad events, such as 0.1%. Give this or objective.",
    "slos.latency": "Requests that take longer are bad. Must be a bucket of the duration histogram.",
    "slos.period": "Time over which the objective holds: a duration of at least 1d, `month` or `quarter`.",
    "slos.window": "Time over which the live error rate is compared with the limit.",
    "slos.kinds": "Kinds of local root spans that are counted.",
    "slos.include": "Only events with these attributes are counted.",
    "slos.exclude": "Events with these attributes are not counted; health checks never are.",
    "slos.bad": "What makes an event bad.",
    "slos.bad.status_error": "A span with status ERROR is bad.",
    "slos.bad.http_5xx": "An answer of 500 or above is bad.",
    "slos.bad.attributes": "An event with these attributes is bad.",
    "slos.time_slices": "Count minutes, not requests: a slice is bad when its share of bad events exceeds the limit.",
    "slos.time_slices.length": "Length of a slice.",
    "slos.time_slices.limit": "Share of bad events above which a slice is bad.",
    "slos.description": "What the objective is for; shown in dashboards and alerts.",
    "slos.runbook": "Address of the runbook of this objective's alerts.",
    "spans": "Which spans slotel processes.",
    "spans.drop": "Spans that are neither counted nor exported, with everything below them.",
    "spans.drop.route": "Requests to this route: `/healthz`, `/users/{id}`, `/static/*`.",
    "spans.drop.name": "Spans of this name; `*` stands for any text.",
    "sentry": "What is sent to Sentry.",
    "sentry.traces_sample_rate": "Share of requests that become transactions. Counts are exact at any rate.",
    "sentry.mode": "How spans reach Sentry.",
    "sentry.sample": "Sample rates of single routes, for requests that begin a trace; the first match decides.",
    "sentry.sample.route": "`/healthz`, `/users/{id}` or `/checkout/*`.",
    "sentry.sample.rate": "From 0 to 1.",
    "sentry.keep": "Requests that are sent although they were not sampled: `errors`, `slow>1s`.",
    "sentry.keep_per_minute": "Largest number of requests a minute that `keep` adds.",
    "sentry.late_wait": "How long a transaction waits for spans that end after its root; at most 10s.",
    "sentry.error_detail": "`adaptive` leaves out source lines and variables in an error storm; `full` never.",
    "sentry.roots": "Which local roots become transactions: `requests`, or `all`.",
    "sentry.transaction_names": "`route` names a transaction by its route, `native` as sentry-sdk does.",
    "sentry.logs": "Send log records to Sentry.",
    "sentry.project": "Name of the project, as metrics and dashboards show it. SENTRY_PROJECT overrides it.",
    "monitoring": "What the generated rules and dashboards refer to.",
    "monitoring.source": "The series that the rules count.",
    "monitoring.match": "Labels that select the service's series, such as {cluster: eu}.",
    "monitoring.scrape_interval": "How often Prometheus scrapes; the shortest windows follow from it.",
    "monitoring.sentry_url": "Address of Sentry, for links.",
    "monitoring.grafana_url": "Address of Grafana, for links.",
    "monitoring.runbook_url": "Address of the runbooks, for links.",
}
"""Key of slotel.yaml → what it means. `*` stands for a name that the user chooses."""


def json_schema() -> Schema:
    """Return the schema of slotel.yaml."""
    return {
        "$schema": DRAFT,
        "$id": "urn:slotel:slotel.yaml:1",
        "title": "slotel.yaml",
        **_of(Document, ""),
    }


def _of(kind: Any, path: str) -> Schema:
    if kind in VALUES:
        return dict(VALUES[kind])
    if hasattr(kind, "_fields"):
        return _object(kind, path)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0], path)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        found: Schema = {"type": "object", "additionalProperties": _of(arguments[1], f"{path}.*")}
        names = _of(arguments[0], path)
        return {**found, "propertyNames": {"pattern": names["pattern"]}} if "pattern" in names else found
    inner = _of(next(each for each in arguments if each is not type(None)), path)
    return {"anyOf": [inner, {"type": "null"}]}


def _object(kind: Any, path: str) -> Schema:
    properties = {}
    kinds = get_type_hints(kind, include_extras=True)
    for key, each in kinds.items():
        where = f"{path}.{key}".lstrip(".")
        made = _of(each, where)
        if where in MEANINGS:
            made["description"] = MEANINGS[where]
        default = kind._field_defaults.get(key)
        if isinstance(default, (bool, int, float, str)) and default != "":
            made["default"] = default
        properties[key] = made
    required = [key for key in kinds if key not in kind._field_defaults]
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        found["required"] = required
    return found
