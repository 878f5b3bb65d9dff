"""Panels on the Python processes of a service, side by side and each alone, and on its versions.

slotel exposes process_* and python_gc_* as prometheus_client names them; services in other languages, and those that
measure by OpenTelemetry's system-metrics instrumentation, have OpenTelemetry's names. Both spellings are asked for.
"""

from __future__ import annotations

from typing import Any, Final

from slotel.compile.grafana import panels as p
from slotel.compile.grafana.panels import Query
from slotel.config import names

OF: Final = 'job=~"$job",instance=~"$instance"'
NO_RUNTIME: Final = "No process metrics of this service (they need /proc: Linux)"
GOOD: Final = f'slo_events_total{{{OF},slo_outcome="good"}}'
VERSIONS: Final = f"count by (service_version) (target_info{{{OF}}})"
ONE_PROCESS: Final = "Each instance is one process: there are no workers to compare."
NO_WORKERS: Final = "No instance of slotel with these filters"
MOST: Final = 20
"""Workers in a chart: those with most requests in the shown time."""
BY: Final = f"instance, {names.LABEL_WORKER}"
NAME: Final = f"{{{{instance}}}} / {{{{{names.LABEL_WORKER}}}}}"


def worker_panels() -> tuple[Any, ...]:
    """Return what each worker does and uses, how many live, and how they ended."""
    requests, busy = f"{names.WORKER_REQUESTS}_total", f"{names.WORKER_BUSY}_total"
    busiest = f"and on ({BY}) topk({MOST}, sum by ({BY}) (increase({requests}{{{OF}}}[$__range] @ end())))"

    def rate(metric: str) -> Query:
        return Query(f"sum by ({BY}) (rate({metric}{{{OF}}}[$__rate_interval])) {busiest}", NAME)

    exits = f"sum by (reason) (increase({names.WORKER_EXITS}_total{{{OF}}}[$__rate_interval]))"
    return (
        p.series_panel("Requests by worker", f"Entry spans a second of the {MOST} busiest workers. A recycled "
                       "worker's number goes to the next one.",
                       rate(requests), unit=p.PER_SECOND, no_value=ONE_PROCESS),
        p.series_panel("Requests at once, by worker", "How many requests a worker serves at a time, on average: a sync "
                       "worker at 1 is full.", rate(busy), no_value=ONE_PROCESS),
        p.series_panel("Memory by worker", "Resident memory. A line that only rises, until the worker is recycled, is "
                       "a leak.", Query(f"sum by ({BY}) ({names.WORKER_MEMORY}{{{OF}}})", NAME), unit=p.BYTES,
                       no_value=ONE_PROCESS),
        p.series_panel("Workers", "Processes that live and may serve requests.",
                       Query(f"sum by (instance) ({names.WORKERS}{{{OF}}})", "{{instance}}"), unit=p.COUNT, decimals=0,
                       width=6, no_value=NO_WORKERS),
        p.series_panel("Workers that ended", "Exited: recycled, or stopped. Killed: SIGKILL, out of memory, a crash.",
                       Query(exits, "{{reason}}"), unit=p.COUNT, decimals=0, width=6, no_value=NO_WORKERS,
                       overrides=(p.colored(names.EXITED, p.BLUE), p.colored(names.KILLED, p.RED))),
    )  # fmt: skip


def runtime_panels() -> tuple[Any, ...]:
    """Return CPU, memory, threads, files and garbage collection by instance."""
    return (
        _panel("CPU", "Cores in use by the process.", "rate", "process_cpu_time_seconds_total",
               "process_cpu_seconds_total", unit=p.NUMBER),
        _panel("Memory", "Resident memory of the process.", "", "process_memory_usage_bytes",
               "process_resident_memory_bytes", unit=p.BYTES),
        _panel("Garbage collections", "Collections a second, all generations.", "rate", "cpython_gc_collections_total",
               "python_gc_collections_total", unit="ops"),
        _panel("Open files", "Open file descriptors: sockets count.", "", "process_open_file_descriptor_count",
               "process_open_fds", unit=p.COUNT),
    )  # fmt: skip


def deploy_panels() -> tuple[Any, ...]:
    """Return which version ran when, and restarts."""
    return (
        p.series_panel("Instances by version", "Instances that run each service.version.",
                       Query(VERSIONS, "{{service_version}}"), unit=p.COUNT, width=16, stacked=True,
                       no_value="No target_info: set service.version in OTEL_RESOURCE_ATTRIBUTES"),
        p.series_panel("Restarts", "Times that an instance's counters began anew, in an hour.",
                       Query(f"max by (instance) (resets({GOOD}[1h]))", "{{instance}}"),
                       unit=p.COUNT, width=8, no_value="No counters of this service"),
    )  # fmt: skip


def _panel(title: str, description: str, function: str, otel: str, client: str, *, unit: str) -> Any:
    def each(name: str) -> str:
        series = f"{name}{{{OF}}}"
        return f"sum by (instance) ({f'rate({series}[$__rate_interval])' if function else series})"

    return p.series_panel(
        title, description, Query(f"{each(otel)} or {each(client)}", "{{instance}}"), unit=unit, width=6,
        no_value=NO_RUNTIME,
    )  # fmt: skip
