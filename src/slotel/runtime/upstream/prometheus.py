"""Private names of the Prometheus client and of OpenTelemetry's exporter for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from opentelemetry.sdk.metrics.export import MetricsData

from slotel.runtime.upstream.probe import Probe

_CALLBACK: Final = Probe(
    "opentelemetry.exporter.prometheus:PrometheusMetricReader", "_set_collect_callback",
    why="the exporter names the app's own instruments, one series at a time",
    without="the app's own instruments are missing on /metrics, counted as not_representable; requests are counted",
)  # fmt: skip
_COLLECTORS: Final = Probe(
    "prometheus_client:CollectorRegistry", "_collector_to_names",
    why="before a fork the client's own instruments are read, without the app's collectors, which may take long",
    without="a forked child repeats what its parent counted with prometheus_client",
)  # fmt: skip


def naming_exporter() -> Callable[[MetricsData], Iterable[Any]]:
    """Return the stock exporter as a function; it registers with a registry of its own only.

    Raises:
        LookupError: this release of the exporter cannot be asked.
    """
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry(auto_describe=False)
    reader = PrometheusMetricReader(disable_target_info=True, registry=registry)
    given: list[MetricsData] = []
    set_callback = _CALLBACK.of(reader)
    if set_callback is None:
        raise LookupError(_CALLBACK.without)
    set_callback(lambda *_, **__: given.pop())

    def ask(data: MetricsData) -> Iterable[Any]:
        given[:] = [data]
        return registry.collect()

    return ask


def collectors_of(registry: Any) -> list[Any]:
    """Return what is registered."""
    return list(_COLLECTORS.of(registry) or ())
