"""Names that users see: metrics, labels, attributes, environment variables."""

from typing import Final

# Environment: the contract of the earlier Sentry set-up, kept as it was.
SENTRY_DSN: Final = "SENTRY_DSN"
SENTRY_ENVIRONMENT: Final = "SENTRY_ENVIRONMENT"
SENTRY_RELEASE: Final = "SENTRY_RELEASE"
SENTRY_PROJECT: Final = "SENTRY_PROJECT"
SENTRY_TRACES_SAMPLE_RATE: Final = "SENTRY_TRACES_SAMPLE_RATE"
ERROR_BUDGET_LIMIT: Final = "ERROR_BUDGET_LIMIT"
ERROR_BUDGET_WINDOW: Final = "ERROR_BUDGET_WINDOW"

# Environment: slotel's own variables; variables.py describes them.
SLOTEL_CONFIG: Final = "SLOTEL_CONFIG"
SLOTEL_SENTRY_MODE: Final = "SLOTEL_SENTRY_MODE"
SLOTEL_SENTRY_LATE_WAIT: Final = "SLOTEL_SENTRY_LATE_WAIT"
SLOTEL_MAX_SERIES: Final = "SLOTEL_MAX_SERIES"
SLOTEL_ASGI_SPANS: Final = "SLOTEL_ASGI_SPANS"
SLOTEL_HANDLE_SIGTERM: Final = "SLOTEL_HANDLE_SIGTERM"
SLOTEL_RUN_DIR: Final = "SLOTEL_RUN_DIR"
SLOTEL_PAGE: Final = "SLOTEL_PAGE"
SLOTEL_METRICS_HOSTS: Final = "SLOTEL_METRICS_HOSTS"
SLOTEL_METRICS_TOKEN_FILE: Final = "SLOTEL_METRICS_TOKEN_FILE"  # noqa: S105 a name of a variable
SLOTEL_METRICS_WEB_CONFIG: Final = "SLOTEL_METRICS_WEB_CONFIG"
SLOTEL_HTTP_METRICS: Final = "SLOTEL_HTTP_METRICS"

# Span metrics, as the collector's span_metrics connector names them (Prometheus form, without suffix).
SPAN_CALLS: Final = "traces_span_metrics_calls"
"""Counter of ended spans; exposed with `_total`."""
SPAN_DURATION: Final = "traces_span_metrics_duration_seconds"
"""Histogram of span durations, in seconds."""
SPAN_BOUNDS: Final = (
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 2.5, 5.0, 10.0, 15.0
)  # fmt: skip
"""Seconds; upper bounds of its buckets, in a service and in the collector. Objectives' thresholds are added, so that
each is an edge."""
LABEL_SERVICE: Final = "service_name"
LABEL_SPAN_NAME: Final = "span_name"
LABEL_SPAN_KIND: Final = "span_kind"
LABEL_STATUS: Final = "status_code"
STATUS_ERROR: Final = "STATUS_CODE_ERROR"
LABEL_ROUTE: Final = "http_route"
LABEL_HTTP_STATUS: Final = "http_response_status_code"
LABEL_OVERFLOW: Final = "otel_metric_overflow"
SPAN_LABELS: Final = frozenset({
    LABEL_SERVICE, LABEL_SPAN_NAME, LABEL_SPAN_KIND, LABEL_STATUS, LABEL_ROUTE, LABEL_HTTP_STATUS, LABEL_OVERFLOW,
    "le", "quantile",
})  # fmt: skip
"""Labels of the span metrics, and names with a meaning for Prometheus: no tag can be a label of that name."""

# The service map, as Tempo and the collector's service graph connector name it.
GRAPH_CALLS: Final = "traces_service_graph_request"
"""Counter of calls between services; exposed with `_total`."""
GRAPH_FAILED: Final = "traces_service_graph_request_failed"
LABEL_CLIENT: Final = "client"
LABEL_SERVER: Final = "server"
LABEL_CONNECTION: Final = "connection_type"

# SLO events and the error budget.
SLO_EVENTS: Final = "slo_events"
"""Counter of SLO events; exposed with `_total`; labels service_name, slo_name, slo_outcome."""
LABEL_SLO: Final = "slo_name"
LABEL_OUTCOME: Final = "slo_outcome"
LABEL_WINDOW: Final = "window"
GOOD: Final = "good"
BAD: Final = "bad"
EXCLUDED: Final = "excluded"
OUTCOMES: Final = (GOOD, BAD, EXCLUDED)
BUDGET_LIMIT: Final = "error_budget_limit_ratio"
BUDGET_ERROR: Final = "error_budget_error_ratio"
BUDGET_BURN: Final = "error_budget_burn_rate"
BUDGET_REMAINING: Final = "error_budget_remaining_ratio"
BUDGET_EXHAUSTION: Final = "error_budget_exhaustion_seconds"

# Errors handed to Sentry, and slotel about itself (counters are exposed with `_total`).
SENTRY_ERRORS: Final = "sentry_errors"
LABEL_PROJECT: Final = "project"
"""Name of the Sentry project, or its number where no name is configured."""
LABEL_PROJECT_ID: Final = "project_id"
"""Number of the Sentry project, as in the DSN."""
LABEL_ENVIRONMENT: Final = "environment"
LABEL_REASON: Final = "reason"
DROPPED: Final = "slotel_dropped"
"""Labels signal (traces, errors, metrics, …) and reason."""
STAGE_ERRORS: Final = "slotel_stage_errors"
TAG_VIOLATIONS: Final = "slotel_tag_violations"
"""Labels tag and action (default, unknown, redact, truncate, remove)."""
SERIES_OVERFLOW: Final = "slotel_series_overflow"
BUILD_INFO: Final = "slotel_build_info"

# The processes of a service. The label `worker` is the lowest free number, so that recycling makes no new series.
WORKERS: Final = "slotel_workers"
"""Gauge: processes of the service that live."""
WORKER_EXITS: Final = "slotel_worker_exits"
"""Counter with the label reason: `exited` or `killed`."""
UNSENT: Final = "slotel_unsent"
"""Only in the store: no page shows it."""
EXITED: Final = "exited"
KILLED: Final = "killed"
WORKER_REQUESTS: Final = "slotel_worker_requests"
WORKER_ERRORS: Final = "slotel_worker_errors"
WORKER_BUSY: Final = "slotel_worker_busy_seconds"
"""Counter: seconds that requests took; its rate is how many were served at once."""
WORKER_CPU: Final = "slotel_worker_cpu_seconds"
WORKER_MEMORY: Final = "slotel_worker_resident_memory_bytes"
LABEL_WORKER: Final = "worker"
MAIN: Final = "main"
"""Value of the label `worker` for the process that the others descend from."""

# Span attributes that slotel itself reads or writes.
ATTR_OUTCOME: Final = "slo.outcome"
"""good, bad or excluded: set in code, it beats every rule."""

# Dashboards: uids that links may rely on.
DASHBOARD_SLO_LIST: Final = "slotel-slo-list"
DASHBOARD_SLO_DETAIL: Final = "slotel-slo-detail"
"""Takes the variables `service` and `slo`."""
DASHBOARD_SERVICE: Final = "slotel-service"
DASHBOARD_PIPELINE: Final = "slotel-pipeline"

REDACTED: Final = "[Filtered]"
"""Replaces a redacted value; Sentry's own scrubbing writes the same."""
UNKNOWN: Final = "unknown"
"""Value of a required tag that is missing or not allowed, when no default is given."""
