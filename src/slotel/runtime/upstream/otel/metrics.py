"""Private names of OpenTelemetry's meter providers and metric readers."""

from __future__ import annotations

import functools
import gc
import threading
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.sdk.metrics import Counter, MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)

from slotel.runtime.upstream.probe import SLOWER, Probe

_PROVIDER: Final = "opentelemetry.sdk.metrics:MeterProvider"
_READER: Final = "opentelemetry.sdk.metrics.export:MetricReader"
_PERIODIC: Final = "opentelemetry.sdk.metrics.export:PeriodicExportingMetricReader"
_CONSUMER: Final = "opentelemetry.sdk.metrics._internal.measurement_consumer:SynchronousMeasurementConsumer"
_REPEATS: Final = "forked children repeat the app's own metrics of their parent by OTLP; /metrics is exact"

_READERS: Final = Probe(
    _PROVIDER, "_metric_readers",
    why="the readers of the environment's exporters export slotel's metrics, too",
    without="the readers are looked for among all objects, once",
    level=SLOWER,
)  # fmt: skip
_CONFIG: Final = Probe(
    _PROVIDER, "_sdk_config",
    why="asks for views and the exemplar filter: without any, slotel adds up the http.server.* metrics itself",
    without="the SDK adds up the http.server.* metrics, which costs more",
    level=SLOWER,
)  # fmt: skip
_CALLBACK: Final = Probe(
    _READER, "_set_collect_callback",
    why="the SDK has no MetricProducer (1.45): slotel's metrics join what a reader collects, and all is redacted",
    without="the app's metrics are redacted where they are exported; slotel's own join them only when the app has some",
)  # fmt: skip
_COLLECT: Final = Probe(
    _READER, "_collect", why="the same: what the callback did before", without=_CALLBACK.without
)
_EXPORTER: Final = Probe(
    _PERIODIC, "_exporter",
    why="the exporter says which temporality it prefers; what it delivered is noted",
    without="the reader's one attribute that is an exporter is taken",
    level=SLOWER,
)  # fmt: skip
_TEMPORALITY: Final = Probe(
    "opentelemetry.sdk.metrics.export:MetricExporter", "_preferred_temporality",
    why="a backend that prefers differences gets differences",
    without="slotel's metrics are sent as cumulative",
)  # fmt: skip
_repeating: Final = functools.partial(Probe, without=_REPEATS)
_MEASURES: Final = _repeating(
    _PROVIDER, "_measurement_consumer", why="a child of a fork counts the app's metrics from zero"
)
_STORAGES: Final = _repeating(_CONSUMER, "_reader_storages", why="the same: where the counts are")
_CONSUMER_CONFIG, _BY_TEMPORALITY, _BY_AGGREGATION = (
    _repeating(where, name, why="the same: what a new storage is made with")
    for where, name in (
        (_CONSUMER, "_sdk_config"),
        (_READER, "_instrument_class_temporality"),
        (_READER, "_instrument_class_aggregation"),
    )
)
_CONSUMER_LOCK: Final = Probe(
    _CONSUMER, "_lock",
    why="the same: a thread of the parent may hold it",
    without="a child whose parent was counting when it forked may wait for ever at its first export",
)  # fmt: skip
_EXPORT_LOCK: Final = Probe(
    _PERIODIC, "_export_lock",
    why="the same: held while the parent's thread exports",
    without="a child whose parent was exporting when it forked exports nothing by OTLP",
)  # fmt: skip

_LOCKS: Final = tuple(
    Probe(
        f"opentelemetry.sdk.metrics._internal.{module}", "Lock",
        why="a signal handler or a finalizer that records a metric may have interrupted the recording of one",
        without="an app that records metrics in signal handlers or finalizers may hang in the SDK's lock",
    )
    for module in ("_view_instrument_match", "aggregation", "exemplar.exemplar_reservoir")
)  # fmt: skip
"""What an SDK's instrument waits for at each measurement; none of it runs foreign code while it holds one."""


def make_locks_reentrant() -> None:
    """Give the instruments that are made from now on locks that the thread which holds them can take again."""
    for probe in _LOCKS:
        if probe.load() is not None:
            probe.put(probe.owner(), threading.RLock)


def readers_of(provider: MeterProvider) -> list[MetricReader]:
    """Return the metric readers of a provider."""
    known = _READERS.of(provider)
    if known is not None:
        return list(known)
    return [each for each in gc.get_objects() if issubclass(type(each), MetricReader)]


def aggregates_by_default(provider: MeterProvider) -> bool:
    """Return whether nothing changes what the SDK would add up: no reader, no view, exemplars of sampled spans."""
    config = _CONFIG.of(provider)
    return (
        config is not None
        and isinstance(getattr(config, "exemplar_filter", None), TraceBasedExemplarFilter)
        and not getattr(config, "views", True)
        and not readers_of(provider)
    )


def before_collecting(reader: PeriodicExportingMetricReader, call: Callable[[], object]) -> None:
    """Call something before each collection of a reader, on the thread that collects."""

    def called_before(collect: Callable[[], MetricsData | None]) -> MetricsData | None:
        call()
        return collect()

    _put_around_collecting(reader, called_before)


def _put_around_collecting(
    reader: PeriodicExportingMetricReader,
    around: Callable[[Callable[[], MetricsData | None]], MetricsData | None],
) -> bool:
    """Have a reader collect by a function that is given how it did so before; return whether it does."""
    collect, set_callback = _COLLECT.of(reader), _CALLBACK.of(reader)
    if collect is None or set_callback is None:
        return False

    def collected(asking: Any, timeout_millis: float = 10_000) -> MetricsData | None:
        return around(lambda: collect(asking, timeout_millis=timeout_millis))

    set_callback(collected)
    return True


def change_collected(
    reader: PeriodicExportingMetricReader, change: Callable[[MetricsData | None], MetricsData | None]
) -> None:
    """Change what a reader exports: also where it collected nothing, which the fallback cannot."""
    if _put_around_collecting(reader, lambda collect: change(collect())):
        return
    exporter = exporter_of(reader)
    if exporter is None:
        reader.shutdown()  # what cannot be redacted is not exported
        return
    export = exporter.export

    def exported(data: MetricsData, *args: Any, **kwargs: Any) -> Any:
        return export(change(data), *args, **kwargs)  # type: ignore[arg-type]  # data of something stays data

    exporter.export = exported  # type: ignore[method-assign,assignment]  # its one way out


def prefers_delta(reader: PeriodicExportingMetricReader) -> bool:
    """Return whether a reader's exporter wants counters as the difference to the last export."""
    exporter = exporter_of(reader)
    preferred = _TEMPORALITY.of(exporter) if exporter is not None else None
    return (preferred or {}).get(Counter) is AggregationTemporality.DELTA


def exporter_of(reader: Any) -> MetricExporter | None:
    """Return what a periodic reader exports by."""
    found: MetricExporter | None = _EXPORTER.of(reader)
    if found is None:
        held = [each for each in vars(reader).values() if isinstance(each, MetricExporter)]
        found = held[0] if len(held) == 1 else None
    return found


def measurement_consumer(provider: MeterProvider) -> Any | None:
    """Return what a provider's instruments hand their measurements to; None where a child cannot count from zero."""
    consumer = _MEASURES.of(provider)
    if consumer is None or _STORAGES.of(consumer) is None or _CONSUMER_CONFIG.of(consumer) is None:
        return None
    return consumer


def reset_readers(consumer: Any) -> None:
    """Give each reader of a measurement consumer a new storage and new locks.

    Instruments stay: they know only the consumer. A new storage's points start at their first measurement.
    """
    _CONSUMER_LOCK.put(consumer, threading.Lock())
    storages = _STORAGES.of(consumer)
    _STORAGES.put(
        consumer, {reader: _emptied(consumer, reader, storage) for reader, storage in storages.items()}
    )
    for reader in storages:
        if isinstance(reader, PeriodicExportingMetricReader):
            _EXPORT_LOCK.put(reader, threading.Lock())


def _emptied(consumer: Any, reader: Any, storage: Any) -> Any:
    temporality, aggregation = _BY_TEMPORALITY.of(reader), _BY_AGGREGATION.of(reader)
    if temporality is None or aggregation is None:
        return storage
    return type(storage)(_CONSUMER_CONFIG.of(consumer), temporality, aggregation)
