"""Dashboard "Service": rate, errors, latency by operation; what comes in and goes out; runtime; deploys."""

from __future__ import annotations

from typing import Any, Final

from slotel.compile.grafana import panels as p
from slotel.compile.grafana.board import ANY, Board, Row, choice, environments, sentry_links, tags
from slotel.compile.grafana.charts import heat_panel
from slotel.compile.grafana.panels import Query
from slotel.compile.grafana.runtime import deploy_annotation, deploy_panels, runtime_panels
from slotel.compile.grafana.tables import column, table_panel, threshold_value
from slotel.config import names
from slotel.config.service import Service

CALLS: Final = f"{names.SPAN_CALLS}_total"
BUCKETS: Final = f"{names.SPAN_DURATION}_bucket"
SUM: Final = f"{names.SPAN_DURATION}_sum"
OF: Final = 'environment=~"$environment",service_name="$service"'
IN: Final = f'{OF},span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER",span_name=~"$operation"'
OUT: Final = f'{OF},span_kind=~"SPAN_KIND_CLIENT|SPAN_KIND_PRODUCER"'
TARGETS: Final = (
    'present_over_time(target_info{service_name="$service"}[$__range]) '
    'or present_over_time(target_info{job=~"(.+/)?$service"}[$__range])'
)
"""The service's instances: as slotel exposes them, and as a collector names them (job is the service)."""
FAILED: Final = 'status_code="STATUS_CODE_ERROR"'
PASSED: Final = 'status_code!="STATUS_CODE_ERROR"'
IN_FAILED: Final = f"{IN},{FAILED}"
SENTRY: Final = f'{names.SENTRY_ERRORS}_total{{project=~"$project",job=~"$job",instance=~"$instance"}}'

NO_SPANS: Final = "No spans of this service: is its /metrics scraped?"
NO_SENTRY: Final = "No error counter: has the service a SENTRY_DSN?"
QUANTILES: Final = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
SLOW: Final = ((None, p.GREEN), (0.5, p.ORANGE), (1.0, p.RED))
FAULTY: Final = ((None, p.GREEN), (0.01, p.ORANGE), (0.05, p.RED))


def board(service: Service) -> Board:
    """Return the dashboard; of the service it takes the address of Sentry."""
    return Board(
        uid=names.DASHBOARD_SERVICE,
        description="Requests, errors, latency, by operation. Counted from every span, sampled or not.",
        variables=(
            environments(CALLS),
            choice("service", "Service", f'label_values({CALLS}{{environment=~"$environment"}}, service_name)',
                   description="service.name of the spans."),
            choice("operation", "Operation",
                   f'label_values({CALLS}{{{OF},span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"}}, span_name)',
                   description="Name of the entry span: method and route.", every=ANY, multi=True),
            choice("instance", "Instance", f"query_result(count by (instance) ({TARGETS}))",
                   description="Scraped address, or service.instance.id of what came by OTLP.", every="", multi=True,
                   regex='/instance="([^"]+)"/'),
            choice("job", "Job", f"query_result(count by (job) ({TARGETS}))",
                   description="Jobs of the service.", every="", multi=True, hidden=True, regex='/job="([^"]+)"/'),
            choice("project", "Sentry project",
                   f'label_values({names.SENTRY_ERRORS}_total{{job=~"$job",instance=~"$instance"}}, project)',
                   description="Project that the errors went to.", every=ANY, multi=True),
            tags(),
        ),
        rows=(
            Row("Now", _now()),
            Row("Traffic and errors", _traffic()),
            Row("Latency", _latency()),
            Row("Operations", (_operations(service),)),
            Row("Outbound", _outbound()),
            Row("Runtime", runtime_panels()),
            Row("Deploys", deploy_panels()),
        ),
        links=sentry_links(service),
        annotations=(deploy_annotation(),),
    )  # fmt: skip


def rate(metric: str, which: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Return the summed rate of a counter."""
    grouped = f"sum by ({by}) " if by else "sum "
    return f"{grouped}(rate({metric}{{{which}}}[{window}]))"


def share(which: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Return the share of failed calls: 0 while none failed, no sample while there is no traffic; never NaN."""
    total = rate(CALLS, which, by=by, window=window)
    failed = rate(CALLS, f"{which},{FAILED}", by=by, window=window)
    return f"({failed} or 0 * {total}) / ({total} > 0)"


def quantile(q: float, which: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Return a quantile of durations in seconds; `>= 0` leaves out the NaN of a time without traffic."""
    kept = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, {rate(BUCKETS, which, by=kept, window=window)}) >= 0"


def _now() -> tuple[Any, ...]:
    return (
        p.stat_panel("Requests", "Entry spans (SERVER, CONSUMER) a second.", Query(rate(CALLS, IN)), unit=p.PER_SECOND,
                     sparkline=True, no_value=NO_SPANS),
        p.stat_panel("Errors", "Share of entry spans with status ERROR.", Query(share(IN)), unit=p.PERCENT, decimals=2,
                     sparkline=True, thresholds=p.steps(*FAULTY), no_value=NO_SPANS),
        p.stat_panel("p95", "95 of 100 entry spans are faster.", Query(quantile(0.95, IN)), unit=p.SECONDS,
                     sparkline=True, thresholds=p.steps(*SLOW), no_value=NO_SPANS),
        p.stat_panel("Errors sent to Sentry", "Error events handed to Sentry in the shown time.",
                     Query(f"sum(increase({SENTRY}[$__range]))"), decimals=0, no_value=NO_SENTRY),
        p.stat_panel("Instances", "Scraped instances that count spans.",
                     Query(f"count(count by (instance) ({CALLS}{{{OF}}}))"), no_value=NO_SPANS),
        p.stat_panel("Budget left, least", "The objective of this service that has least budget left.",
                     Query('min(slo:period_error_budget_remaining:ratio{environment=~"$environment",'
                           'sloth_service="$service"})'),
                     unit=p.PERCENT, decimals=1, thresholds=p.steps((None, p.RED), (0, p.ORANGE), (0.25, p.GREEN)),
                     no_value="No objectives"),
    )  # fmt: skip


def _traffic() -> tuple[Any, ...]:
    return (
        p.series_panel("Requests by status", "Entry spans a second by span status.",
                       Query(rate(CALLS, f"{IN},{PASSED}"), "ok"),
                       Query(f"{rate(CALLS, IN_FAILED)} or 0 * {rate(CALLS, IN)}", "error"),
                       unit=p.PER_SECOND, width=8, stacked=True,
                       overrides=(p.colored("ok", p.GREEN), p.colored("error", p.RED)), no_value=NO_SPANS),
        p.series_panel("Errors by operation", "Share of entry spans with status ERROR, by operation.",
                       Query(share(IN), "all"), Query(f"topk(5, {share(IN, by='span_name')} > 0)", "{{span_name}}"),
                       unit=p.PERCENT, width=8, overrides=(p.dashed("all", p.RED),), no_value=NO_SPANS),
        p.series_panel("Errors sent to Sentry by project", "Error events a minute handed to Sentry; each is in the "
                       "project's issues.",
                       Query(f"sum by (project, environment) (rate({SENTRY}[$__rate_interval])) * 60",
                             "project {{project}} {{environment}}"),
                       unit="cpm", width=8, no_value=NO_SENTRY),
    )  # fmt: skip


def _latency() -> tuple[Any, ...]:
    return (
        p.series_panel(
            "Latency",
            "Duration of entry spans. The dots are exemplars: single requests, each a link to its trace.",
            *(Query(quantile(q, IN), name, exemplar=name == "p95") for q, name in QUANTILES),
            unit=p.SECONDS, width=8, height=9, no_value=NO_SPANS,
        ),
        heat_panel("Durations", "How many entry spans took how long.",
                     Query(f"sum by (le) (increase({BUCKETS}{{{IN}}}[$__rate_interval]))", "{{le}}"), width=8),
        p.series_panel("p95 by operation", "The ten slowest operations.",
                       Query(f"topk(10, {quantile(0.95, IN, by='span_name')})", "{{span_name}}"),
                       unit=p.SECONDS, width=8, height=9, no_value=NO_SPANS),
    )  # fmt: skip


def _operations(service: Service) -> Any:
    over, by = "$__range", "span_name"
    worked = rate(SUM, IN, window=over)
    columns = {
        "Rate": Query(f"{rate(CALLS, IN, by=by, window=over)} > 0"),
        "Errors": Query(share(IN, by=by, window=over)),
        "p95": Query(quantile(0.95, IN, by=by, window=over)),
        "Impact": Query(f"{rate(SUM, IN, by=by, window=over)} / on () group_left () ({worked} > 0)"),
    }
    overrides = (
        column("Rate", unit=p.PER_SECOND, decimals=2),
        column(
            "Errors",
            unit=p.PERCENT,
            decimals=2,
            cell_mode="color-text",
            thresholds=threshold_value(*FAULTY),
        ),
        column("p95", unit=p.SECONDS, cell_mode="color-text", thresholds=threshold_value(*SLOW)),
        column("Impact", unit=p.PERCENT, decimals=1, min=0, max=1, cell_mode="gauge"),
        column("Operation", links=_operation_links(service)),
    )
    return table_panel(
        "Operations",
        "By rate, errors, p95 and impact: the operation's share of all the time that the service works.",
        columns,
        labels={by: "Operation"},
        overrides=overrides,
        sort_by="Impact",
        no_value=NO_SPANS,
    )


def _operation_links(service: Service) -> list[dict[str, Any]]:
    chosen = (
        f"/d/{names.DASHBOARD_SERVICE}?var-operation=${{__value.text:percentencode}}&${{datasource:queryparam}}"
        "&${environment:queryparam}&${service:queryparam}&${__url_time_range}"
    )
    links: list[dict[str, Any]] = [{"title": "Only this operation", "url": chosen}]
    base = service.monitoring.sentry_url
    if base:
        query = "is:unresolved+transaction:%22${__value.text:percentencode}%22"
        links.append(
            {"title": "Issues in Sentry", "url": f"{base}/issues/?query={query}", "targetBlank": True}
        )
    return links


def _outbound() -> tuple[Any, ...]:
    by = "span_name"
    return (
        p.series_panel("Calls", "CLIENT and PRODUCER spans a second, the ten most frequent.",
                       Query(f"topk(10, {rate(CALLS, OUT, by=by)})", "{{span_name}}"),
                       unit=p.PER_SECOND, width=8, no_value="No outbound spans"),
        p.series_panel("Failed calls", "Share of outbound spans with status ERROR.",
                       Query(share(OUT, by=by), "{{span_name}}"), unit=p.PERCENT, width=8,
                       no_value="No outbound spans"),
        p.series_panel("p95 of calls", "Duration of outbound spans, the ten slowest.",
                       Query(f"topk(10, {quantile(0.95, OUT, by=by)})", "{{span_name}}"),
                       unit=p.SECONDS, width=8, no_value="No outbound spans"),
    )  # fmt: skip
