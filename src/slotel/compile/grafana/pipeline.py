"""Dashboard "Pipeline": is the telemetry itself whole? slotel's own drops and faults, the collector's queues."""

from __future__ import annotations

from typing import Any, Final

from slotel.compile.grafana import panels as p
from slotel.compile.grafana.board import ANY, Row, choice, to_json
from slotel.compile.grafana.links import alert_marks, deploy_marks
from slotel.compile.grafana.panels import Query
from slotel.config import names
from slotel.config.drops import DROPS
from slotel.config.service import Service

OWN: Final = 'job=~"$job",instance=~"$instance"'
COLLECTOR: Final = 'instance=~"$collector"'
ANY_COLLECTOR: Final = '{__name__=~"otelcol_process_uptime(_seconds)?(_total)?"}'
NO_SLOTEL: Final = "No instance of slotel is scraped"
NO_COLLECTOR: Final = "No collector is scraped: add its telemetry port (8888) to Prometheus"
ZERO_IS_GOOD: Final = ((None, p.GREEN), (1, p.RED))


def board(_: Service) -> str:
    """Return the dashboard's JSON; it is the same for every service."""
    build = names.BUILD_INFO
    return to_json(
        uid=names.DASHBOARD_PIPELINE,
        description="Whether what the other dashboards show is whole: every drop has a reason, every queue a length.",
        variables=(
            choice("job", "Job", f"label_values({build}, job)", description="Scrape job.", every=ANY),
            choice("instance", "Instance", f'label_values({build}{{job=~"$job"}}, instance)',
                   description="Scraped instance of a service under slotel.", every=ANY),
            choice("collector", "Collector", f"label_values({ANY_COLLECTOR}, instance)",
                   description="Scraped instance of the OpenTelemetry Collector.", every=ANY),
        ),
        rows=(
            Row("slotel, in the services", _stats()),
            Row("What was lost, and why", _losses()),
            Row("Collector", (*_collector_flow(), *_collector_state())),
            Row("Prometheus", _scrapes()),
        ),
        annotations=(
            deploy_marks('job=~"$job",instance=~"$instance"'),
            alert_marks('alertname!=""'),
        ),
        carried={},
    )  # fmt: skip


def _total(name: str) -> str:
    return f"{name}_total{{{OWN}}}"


def _stats() -> tuple[Any, ...]:
    zero = f"or 0 * count({names.BUILD_INFO}{{{OWN}}})"
    wanted = "|".join(reason for reason, each in DROPS.items() if each.is_wanted)

    def lost(
        title: str, description: str, name: str, steps: tuple[Any, ...] = ZERO_IS_GOOD, which: str = OWN
    ) -> Any:
        expr = f"sum(increase({name}_total{{{which}}}[$__range])) {zero}"
        return p.stat_panel(title, description, Query(expr), width=5, decimals=0,
                            thresholds=steps, no_value=NO_SLOTEL)  # fmt: skip

    return (
        p.stat_panel("Instances by version", "Scraped instances, by slotel's version.",
                     Query(f"count by (version) ({names.BUILD_INFO}{{{OWN}}})", "{{version}}"), named=True,
                     no_value=NO_SLOTEL),
        lost("Dropped", "Spans, errors and metrics lost in the shown time. What the app or its configuration asked to "
             "drop is only in the chart below.", names.DROPPED, which=f'{OWN},reason!~"{wanted}"'),
        lost("Stage errors", "Faults inside slotel: the stage was skipped, the service went on.", names.STAGE_ERRORS),
        lost("Tags repaired", "Tags that broke the policy, or were redacted.", names.TAG_VIOLATIONS,
             ((None, p.BLUE),)),
        lost("Series over the bound", "Label sets folded into one series with otel_metric_overflow.",
             names.SERIES_OVERFLOW),
    )  # fmt: skip


def _losses() -> tuple[Any, ...]:
    def by(labels: str, name: str) -> Query:
        legend = " / ".join(f"{{{{{label.strip()}}}}}" for label in labels.split(","))
        return Query(f"sum by ({labels}) (rate({_total(name)}[$__rate_interval])) * 60", legend)

    return (
        p.series_panel("Dropped by reason", "A minute, by signal and reason.", by("signal, reason", names.DROPPED),
                       unit="cpm", no_value="Nothing was ever dropped"),
        p.series_panel("Stage errors by stage", "A minute, by stage; the service's log has the first of each minute.",
                       by("stage", names.STAGE_ERRORS), unit="cpm", no_value="No stage ever failed"),
        p.series_panel("Tags by action", "A minute, by tag and what was done.",
                       by("tag, action", names.TAG_VIOLATIONS), unit="cpm",
                       no_value="No tag ever broke the policy"),
        p.series_panel("Over the bound by metric", "A minute, by metric: raise SLOTEL_MAX_SERIES or use fewer labels.",
                       by("metric", names.SERIES_OVERFLOW), unit="cpm", no_value="The bound was never met"),
    )  # fmt: skip


def collector(name: str) -> str:
    """Return the selector of a collector's counter, with or without the suffix that its telemetry settings may add.

    Args:
        name: without `otelcol_` and `_total`.
    """
    return f'{{__name__=~"otelcol_{name}(_total)?",{COLLECTOR}}}'


def _collector_flow() -> tuple[Any, ...]:
    both = (("accepted_spans", "spans"), ("accepted_metric_points", "metric points"))
    refused = (("refused_spans", "spans"), ("refused_metric_points", "metric points"))
    sent = (("sent_spans", "spans"), ("sent_metric_points", "metric points"))
    failed = (
        ("send_failed_spans", "spans not sent"),
        ("send_failed_metric_points", "metric points not sent"),
        ("enqueue_failed_spans", "spans: queue full"),
    )

    def panel(title: str, description: str, part: str, counters: tuple[tuple[str, str], ...]) -> Any:
        queries = (
            Query(
                f"sum by ({part}) (rate({collector(f'{part}_{name}')}[$__rate_interval]))",
                f"{{{{{part}}}}} {what}",
            )
            for name, what in counters
        )
        return p.series_panel(title, description, *queries, unit="ops", no_value=NO_COLLECTOR)

    return (
        panel("Received", "Accepted a second, by receiver.", "receiver", both),
        panel("Refused", "Refused a second: the sender is told, and tries again or drops.", "receiver",
              refused),
        panel("Sent", "Exported a second, by exporter.", "exporter", sent),
        panel("Failed", "Not exported a second, by exporter.", "exporter", failed),
    )  # fmt: skip


def _collector_state() -> tuple[Any, ...]:
    size, capacity = (f"otelcol_exporter_queue_{what}{{{COLLECTOR}}}" for what in ("size", "capacity"))
    by = "max by (instance, exporter, data_type)"
    return (
        p.series_panel("Queue in use", "Share of each exporter's queue; at 100 % what comes is lost.",
                       Query(f"{by} ({size}) / {by} ({capacity} > 0)", "{{exporter}} {{data_type}} {{instance}}"),
                       unit=p.PERCENT, width=8, maximum=1, thresholds=((None, "transparent"), (0.8, p.ORANGE)),
                       no_value=NO_COLLECTOR),
        p.series_panel("Memory", "Resident memory of each collector.",
                       Query(f'max by (instance) ({{__name__=~"otelcol_process_memory_rss(_bytes)?",{COLLECTOR}}})',
                             "{{instance}}"), unit=p.BYTES, width=8, no_value=NO_COLLECTOR),
        p.series_panel("CPU", "Cores in use by each collector.",
                       Query("sum by (instance) (rate("
                             f'{{__name__=~"otelcol_process_cpu_seconds(_total)?",{COLLECTOR}}}[$__rate_interval]))',
                             "{{instance}}"), width=8, no_value=NO_COLLECTOR),
    )  # fmt: skip


def _scrapes() -> tuple[Any, ...]:
    return (
        p.series_panel("Targets up", "1 while an instance answers its scrape.", Query(f"up{{{OWN}}}", "{{instance}}"),
                       width=8, maximum=1, no_value=NO_SLOTEL),
        p.series_panel("Scrape duration", "How long an instance takes to answer.",
                       Query(f"scrape_duration_seconds{{{OWN}}}", "{{instance}}"), unit=p.SECONDS, width=8,
                       no_value=NO_SLOTEL),
        p.series_panel("Samples in a scrape", "Series of an instance after relabelling: what it costs Prometheus.",
                       Query(f"scrape_samples_post_metric_relabeling{{{OWN}}}", "{{instance}}"), width=8,
                       no_value=NO_SLOTEL),
    )  # fmt: skip
