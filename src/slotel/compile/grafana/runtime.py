"""Panels on the Python processes of a service and on its versions.

slotel exposes process_* and python_gc_* as prometheus_client names them; services in other languages, and those that
measure by OpenTelemetry's system-metrics instrumentation, have OpenTelemetry's names. Both spellings are asked for.
"""

from __future__ import annotations

from typing import Any, Final

from slotel.compile.grafana import panels as p
from slotel.compile.grafana.panels import Query

OF: Final = 'job=~"$job",instance=~"$instance"'
NO_RUNTIME: Final = "No process metrics of this service (they need /proc: Linux)"
GOOD: Final = f'slo_events_total{{{OF},slo_outcome="good"}}'
VERSIONS: Final = f"count by (service_version) (target_info{{{OF}}})"


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
