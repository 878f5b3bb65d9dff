"""Dashboard "Service": errors, budget, latency; by operation, release and instance; outbound calls, runtime."""

from __future__ import annotations

from typing import Any, Final

from slotel.compile import conventions as at
from slotel.compile.grafana import panels as p
from slotel.compile.grafana import service_rows as rows
from slotel.compile.grafana.board import ANY, Row, choice, environments, tags, to_json
from slotel.compile.grafana.links import alert_marks, deploy_marks, operation_links, sentry_links
from slotel.compile.grafana.panels import Query
from slotel.compile.grafana.shapes import CALL_RATES, column, heat_panel, table_panel
from slotel.config import names
from slotel.config.service import Service

CALLS: Final = f"{names.SPAN_CALLS}_total"
BUCKETS: Final = f"{names.SPAN_DURATION}_bucket"
SUM: Final = f"{names.SPAN_DURATION}_sum"
OF: Final = f'environment=~"$environment",{p.chosen("service_name", "service")}'
OBJECTIVES: Final = f'environment=~"$environment",{p.chosen("sloth_service", "service")}'
IN: Final = f'{OF},span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER",span_name=~"$operation"'
OUT: Final = f'{OF},span_kind=~"SPAN_KIND_CLIENT|SPAN_KIND_PRODUCER"'
TARGETS: Final = (
    f"present_over_time(target_info{{{p.chosen('service_name', 'service')}}}[$__range]) "
    f'or present_over_time(target_info{{service_name="",{p.chosen("job", "service", before="([^/]+/)?")}}}[$__range])'
)
"""The service's instances: as slotel exposes them, and as OTLP names them (job is the service, after its namespace)."""
FAILED: Final = 'status_code="STATUS_CODE_ERROR"'
PASSED: Final = 'status_code!="STATUS_CODE_ERROR"'
IN_FAILED: Final = f"{IN},{FAILED}"
SENTRY: Final = f'{names.SENTRY_ERRORS}_total{{project=~"$project",job=~"$job",instance=~"$instance"}}'

RELEASE: Final = (
    'topk by (job, instance) (1, target_info{job=~"$job",instance=~"$instance",service_version!=""})'
)
"""The version that each instance runs: one, also while a new one replaces the old."""
ALIVE: Final = f"count({CALLS}{{{OF}}})"
"""Instances of the service that run now; nothing once it is dead, even while a rate still has a value."""

NO_SPANS: Final = "No spans now. Check the filters, that the service runs and that its /metrics is scraped."
NO_SENTRY: Final = "No error counter. Check the filters, and that the service has a SENTRY_DSN."
NO_CALLS: Final = "No outbound spans with these filters"
NO_RELEASE: Final = "No releases: set service.version in OTEL_RESOURCE_ATTRIBUTES."
NO_OBJECTIVES: Final = "No objectives with these filters"
NO_BUDGET: Final = (
    "No SLO events in the last hour. Check that the service runs under slotel and the rules are loaded."
)
QUANTILES: Final = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
SLOW: Final = ((None, p.GREEN), (0.5, p.ORANGE), (1.0, p.RED))
RATES: Final = (*CALL_RATES, column("p95", unit=p.SECONDS, cell_mode="color-text", thresholds=SLOW))
"""How tables show the columns of `_rates`."""


def board(service: Service) -> str:
    """Return the dashboard's JSON; of the service it takes the address of Sentry."""
    return to_json(
        uid=names.DASHBOARD_SERVICE,
        description="Requests, errors, latency, by operation. Counted from every span, sampled or not.",
        variables=(
            environments(CALLS),
            choice("service", "Service", f'label_values({CALLS}{{environment=~"$environment"}}, service_name)',
                   description="service.name of the spans."),
            choice("operation", "Operation",
                   f'label_values({CALLS}{{{OF},span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"}}, span_name)',
                   description="Name of the entry span: method and route.", every=ANY),
            choice("instance", "Instance", f"query_result(count by (instance) ({TARGETS}))",
                   description="Scraped address, or service.instance.id of what came by OTLP.", every="",
                   regex='/instance="([^"]+)"/'),
            choice("job", "Job", f"query_result(count by (job) ({TARGETS}))",
                   description="Jobs of the service.", every="", hidden=True, regex='/job="([^"]+)"/'),
            choice("project", "Sentry project",
                   f'label_values({names.SENTRY_ERRORS}_total{{job=~"$job",instance=~"$instance"}}, project)',
                   description="Project that the errors went to.", every=ANY),
            *rows.sentry_variables(service),
            tags(),
        ),
        rows=(
            Row("At a glance: errors, budget, latency", _glance()),
            Row("Now", _now()),
            Row("Traffic and errors", _traffic()),
            Row("Latency", _latency()),
            Row("Operations", (_operations(service),)),
            Row("By release and by instance", (*_by_release(), *_by_instance())),
            Row("By worker", rows.worker_panels()),
            Row("Outbound calls", _outbound()),
            Row("Who calls whom: all services of the environment", rows.map_panels()),
            Row("Runtime", rows.runtime_panels()),
            Row("Deploys", rows.deploy_panels()),
            *rows.sentry_rows(service),
        ),
        links=sentry_links(service),
        annotations=(
            deploy_marks('job=~"$job",instance=~"$instance"'),
            alert_marks(p.chosen("service", "service")),
        ),
    )  # fmt: skip


def rate(metric: str, which: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Return PromQL of a counter's increase a second, summed over all series or over those of equal labels.

    Args:
        which: matchers, without braces; also of the functions below.
        by: names of labels, with commas between; '' sums all.
        window: a PromQL duration, as `5m`.
    """
    grouped = f"sum by ({by}) " if by else "sum "
    return f"{grouped}(rate({metric}{{{which}}}[{window}]))"


def share(which: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Return PromQL of the share of failed calls, in [0, 1]; no sample while there is no traffic, and never NaN."""
    total = rate(CALLS, which, by=by, window=window)
    failed = rate(CALLS, f"{which},{FAILED}", by=by, window=window)
    return f"({failed} or 0 * {total}) / ({total} > 0)"


def quantile(q: float, which: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Return PromQL of a quantile of durations, in seconds; `>= 0` leaves out the NaN of a time without traffic.

    Args:
        q: in [0, 1].
    """
    kept = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, {rate(BUCKETS, which, by=kept, window=window)}) >= 0"


def now(expr: str) -> str:
    """Return a value while the service is there; nothing once it is dead."""
    return f"({expr}) and on () {ALIVE}"


def leading(by: str, ranked: str) -> str:
    """Return what an `and` keeps of a chart: the five series that lead by a query over the whole shown time.

    Args:
        by: names of labels that tell the series apart, with commas between.
        ranked: PromQL over `$__range`; it has these labels.
    """
    return f"on ({by}) topk(5, {ranked})"


def _glance() -> tuple[Any, ...]:
    events = f"{names.SLO_EVENTS}_total{{{OF}"
    bad = f'sum by (slo_name) (increase({events},slo_outcome="bad"}}[1h]))'
    all_ = f'sum by (slo_name) (increase({events},slo_outcome=~"good|bad"}}[1h]))'
    live = f'max by (slo_name) ({names.BUDGET_LIMIT}{{job=~"$job",instance=~"$instance"}})'
    # gauges do not leave by OTLP: there the limit is the one that the rules record
    limit = f"({live} or {_recorded(at.BUDGET)})"
    # what the rules record holds for each kind of objective, time slices too; without rules it is the events' share
    rate_1h = f"({_recorded(at.ratio('1h'))} or ({bad} or 0 * {all_}) / ({all_} > 0))"
    return (
        p.series_panel("Error rate by Sentry project", "Error events a minute handed to Sentry: "
                       'sentry_errors_total{project="…"}. Each is in the project\'s issues.',
                       Query(f"sum by (project) (rate({SENTRY}[$__rate_interval])) * 60", "{{project}}"),
                       unit="cpm", width=8, overrides=(), no_value=NO_SENTRY),
        p.gauge_panel("Error budget: rate against limit", "Share of bad events in the last hour, in percent of each "
                      "objective's limit: from 100 % on the budget does not last.",
                      Query(f"{rate_1h} / on (slo_name) {limit}", "{{slo_name}}"),
                      width=8, no_value=NO_BUDGET),
        p.series_panel("Latency", "Duration of entry spans. A dot is one request (exemplar), a link to its "
                       "trace.",
                       *(Query(quantile(q, IN), name, exemplar=True) for q, name in QUANTILES),
                       unit=p.SECONDS, width=8, no_value=NO_SPANS),
    )  # fmt: skip


def _recorded(name: str) -> str:
    """Return a record of the service's objectives by the label that their counters have; of groups the worst."""
    return f'max by (slo_name) (label_join({name}{{{OBJECTIVES}}}, "slo_name", "", "sloth_slo"))'


def _now() -> tuple[Any, ...]:
    left = f"min({at.REMAINING}{{{OBJECTIVES}}})"
    return (
        p.stat_panel("Requests", "Entry spans (SERVER, CONSUMER) a second.", Query(now(rate(CALLS, IN))),
                     unit=p.PER_SECOND, decimals=2, no_value=NO_SPANS),
        p.stat_panel("Errors", "Share of entry spans with status ERROR.", Query(now(share(IN))), unit=p.PERCENT,
                     decimals=2, thresholds=p.FAULTY, no_value=NO_SPANS),
        p.stat_panel("p95", "95 of 100 entry spans are faster.", Query(now(quantile(0.95, IN))), unit=p.SECONDS,
                     thresholds=SLOW, no_value=NO_SPANS),
        p.stat_panel("Errors sent to Sentry", "Error events handed to Sentry in the shown time.",
                     Query(f"sum(increase({SENTRY}[$__range]))"), no_value=NO_SENTRY),
        p.stat_panel("Instances", "Instances that count spans now; none is red.",
                     Query(f"count(count by (instance) ({CALLS}{{{OF}}})) or 0 * count({TARGETS})"),
                     thresholds=((None, p.RED), (1, p.GREEN)), words={"0": ("none: dead?", p.RED)},
                     no_value=NO_SPANS),
        p.stat_panel("Budget left, least", "The objective of this service that has least budget left.", Query(left),
                     unit=p.PERCENT, decimals=1, thresholds=((None, p.RED), (0, p.ORANGE), (0.25, p.GREEN)),
                     no_value=NO_OBJECTIVES),
    )  # fmt: skip


def _traffic() -> tuple[Any, ...]:
    failures = f"sum by (span_name) (increase({CALLS}{{{IN_FAILED}}}[$__range] @ end()))"
    return (
        p.series_panel("Requests by status", "Entry spans a second by span status.",
                       Query(f"{rate(CALLS, IN_FAILED)} or 0 * {rate(CALLS, IN)}", "error"),
                       Query(rate(CALLS, f"{IN},{PASSED}"), "ok"),
                       unit=p.PER_SECOND, stacked=True,
                       overrides=(p.colored("ok", p.GREEN), p.colored("error", p.RED)), no_value=NO_SPANS),
        p.series_panel("Errors by operation", "Share of entry spans with status ERROR: all, and the five operations "
                       "that failed most often in the shown time.",
                       Query(share(IN), "all"),
                       Query(f"{share(IN, by='span_name')} and {leading('span_name', failures)}", "{{span_name}}"),
                       unit=p.PERCENT, decimals=2, overrides=(p.dashed("all", p.RED),), no_value=NO_SPANS),
    )  # fmt: skip


def _latency() -> tuple[Any, ...]:
    worked = f"sum by (span_name) (increase({SUM}{{{IN}}}[$__range] @ end()))"
    return (
        heat_panel("Durations", "How many entry spans took how long.",
                   Query(f"sum by (le) (increase({BUCKETS}{{{IN}}}[$__rate_interval]))", "{{le}}"), NO_SPANS),
        p.series_panel("p95 by operation", "Of the five operations that the service worked longest for.",
                       Query(f"({quantile(0.95, IN, by='span_name')}) and {leading('span_name', worked)}",
                             "{{span_name}}", exemplar=True),
                       unit=p.SECONDS, height=9, no_value=NO_SPANS),
    )  # fmt: skip


def _rates(which: str, by: str) -> dict[str, Query]:
    """Return the columns of a table that has rate, errors and p95 of the shown time."""
    over = "$__range"
    return {
        "Rate": Query(f"{rate(CALLS, which, by=by, window=over)} > 0"),
        "Errors": Query(share(which, by=by, window=over)),
        "p95": Query(quantile(0.95, which, by=by, window=over)),
    }


def _operations(service: Service) -> Any:
    over, by = "$__range", "span_name"
    share_of_time = (
        f"{rate(SUM, IN, by=by, window=over)} / on () group_left () ({rate(SUM, IN, window=over)} > 0)"
    )
    return table_panel(
        "Operations",
        "By rate, errors, p95 and impact: the operation's share of all the time that the service works.",
        {**_rates(IN, by), "Impact": Query(share_of_time)},
        labels={by: "Operation"},
        overrides=(
            *RATES,
            column("Impact", unit=p.PERCENT, decimals=1, min=0, max=1, cell_mode="gauge", width=240),
            column("Operation", links=operation_links(service)),
        ),
        sort_by="Impact",
        no_value=NO_SPANS,
    )


def _of_release(metric: str, which: str, *, more: str = "") -> str:
    """Return the rate of a counter by the release that its instance runs."""
    by = f"service_version{more}"
    each = f"sum by (job, instance{more}) (rate({metric}{{{which}}}[$__rate_interval]))"
    return f"sum by ({by}) ({each} * on (job, instance) group_left (service_version) {RELEASE})"


def _by_release() -> tuple[Any, ...]:
    total, failed = _of_release(CALLS, IN), _of_release(CALLS, IN_FAILED)
    slow = f"histogram_quantile(0.95, {_of_release(BUCKETS, IN, more=', le')}) >= 0"
    return (
        p.series_panel("Errors by release", "Share of entry spans with status ERROR: since which release?",
                       Query(f"({failed} or 0 * {total}) / ({total} > 0)", "{{service_version}}"),
                       unit=p.PERCENT, decimals=2, no_value=NO_RELEASE),
        p.series_panel("p95 by release", "Duration of entry spans by release.", Query(slow, "{{service_version}}"),
                       unit=p.SECONDS, no_value=NO_RELEASE),
    )  # fmt: skip


def _by_instance() -> tuple[Any, ...]:
    return (
        p.series_panel("Requests by instance", "Entry spans a second of each scraped instance; its workers are one.",
                       Query(rate(CALLS, IN, by="instance"), "{{instance}}"), unit=p.PER_SECOND, width=8,
                       no_value=NO_SPANS),
        p.series_panel("Errors by instance", "Share of entry spans with status ERROR: is it one instance?",
                       Query(share(IN, by="instance"), "{{instance}}"), unit=p.PERCENT, decimals=2, width=8,
                       no_value=NO_SPANS),
        p.series_panel("p95 by instance", "Duration of entry spans by instance.",
                       Query(quantile(0.95, IN, by="instance"), "{{instance}}"), unit=p.SECONDS, width=8,
                       no_value=NO_SPANS),
    )  # fmt: skip


def _outbound() -> tuple[Any, ...]:
    by = "span_name"
    chosen = leading(by, f"sum by (span_name) (increase({CALLS}{{{OUT}}}[$__range] @ end()))")
    return (
        table_panel("What the service calls", "CLIENT and PRODUCER spans in the shown time: databases, queues, other "
                    "services.", _rates(OUT, by), labels={by: "Call"}, overrides=RATES, sort_by="Rate", width=12,
                    height=8, no_value=NO_CALLS),
        p.series_panel("Failed calls", "Share of outbound spans with status ERROR, of the five most frequent.",
                       Query(f"{share(OUT, by=by)} and {chosen}", "{{span_name}}"), unit=p.PERCENT, decimals=2,
                       no_value=NO_CALLS),
        p.series_panel("Calls", "Outbound spans a second, of the five most frequent.",
                       Query(f"{rate(CALLS, OUT, by=by)} and {chosen}", "{{span_name}}"), unit=p.PER_SECOND,
                       no_value=NO_CALLS),
        p.series_panel("p95 of calls", "Duration of outbound spans, of the five most frequent.",
                       Query(f"({quantile(0.95, OUT, by=by)}) and {chosen}", "{{span_name}}"), unit=p.SECONDS,
                       no_value=NO_CALLS),
    )  # fmt: skip
