"""The store's metrics leave by OTLP with the values of the scrape, encoded by the real exporter, sent over a real socket."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from slotel.config import names
from slotel.runtime.metrics.instruments import otlp_metrics
from slotel.runtime.metrics.instruments.fork_reset import count_from_zero_after_fork
from slotel.runtime.metrics.instruments.otlp_metrics import export_store
from slotel.runtime.metrics.store.store import Family, Store
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.otel.exports import connect_anew_after_fork
from support.launch import wait_until
from support.metrics_sink import Sink

LABELS = (names.LABEL_SERVICE, names.LABEL_SPAN_NAME, "team")
RESOURCE = Resource({"service.name": "shop", "service.instance.id": "worker-7"})


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _own_connections() -> None:
    connect_anew_after_fork()


def counted() -> Store:
    store = Store(clock=lambda: 1_700_000_000.0)
    duration = store.histogram(
        names.SPAN_DURATION,
        help="Duration.",
        unit="seconds",
        label_names=LABELS,
        bounds=(0.1, 1.0),
        count_name=names.SPAN_CALLS,
    )
    events = store.counter(
        names.SLO_EVENTS, help="Events.", label_names=(names.LABEL_SLO, names.LABEL_OUTCOME)
    )
    good = events.slot(("availability", "good"))
    for seconds in (0.05, 0.5, 0.5, 3.0):
        duration.observe(duration.slot(("shop", "GET /", "")), seconds, (good,))
    return store


def exported(sink: Sink, provider: MeterProvider, source, **exporter) -> dict:
    """What one flush sends: name to metric, and the resource's attributes under ''."""
    reader = provider._metric_readers[0]
    assert export_store(provider, source, lambda: RESOURCE)
    reader.force_flush()
    return unpacked(sink.received[-1])


def unpacked(request: ExportMetricsServiceRequest) -> dict:
    (resource,) = request.resource_metrics
    found = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    found[""] = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    return found


def provider_to(sink: Sink, **kwargs) -> MeterProvider:
    exporter = OTLPMetricExporter(endpoint=sink.address, timeout=5, **kwargs)
    return MeterProvider(
        [PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)], resource=RESOURCE
    )


def attributes(point) -> dict:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in point.attributes}


def test_values_names_and_start_are_those_of_the_store(sink):
    provider = provider_to(sink)
    found = exported(sink, provider, counted().snapshot)
    provider.shutdown()
    histogram = found["traces.span.metrics.duration"]
    (point,) = histogram.histogram.data_points
    assert (histogram.unit, histogram.histogram.aggregation_temporality) == ("s", 2)
    assert (list(point.bucket_counts), list(point.explicit_bounds), point.count, point.sum) == (
        [1, 2, 1],
        [0.1, 1.0],
        4,
        4.05,
    )
    assert attributes(point) == {"service.name": "shop", "span.name": "GET /"}
    assert point.start_time_unix_nano == 1_700_000_000 * 10**9
    assert abs(point.time_unix_nano / 1e9 - time.time()) < 60
    (calls,) = found["traces.span.metrics.calls"].sum.data_points
    assert (calls.as_int, found["traces.span.metrics.calls"].sum.is_monotonic) == (4, True)
    (good,) = found[names.SLO_EVENTS].sum.data_points
    assert (good.as_int, attributes(good)) == (4, {"slo_name": "availability", "slo_outcome": "good"})
    assert found[""]["service.instance.id"] == "worker-7"


def test_the_apps_own_metrics_stand_beside_them(sink):
    provider = provider_to(sink)
    provider.get_meter("shop").create_counter("orders").add(3)
    found = exported(sink, provider, counted().snapshot)
    provider.shutdown()
    assert found["orders"].sum.data_points[0].as_int == 3
    assert "traces.span.metrics.calls" in found


def test_the_last_export_is_made_at_shutdown(sink):
    store = counted()
    provider = provider_to(sink)
    exported(sink, provider, store.snapshot)
    provider.shutdown()
    assert len(sink.received) == 2
    assert unpacked(sink.received[-1])["traces.span.metrics.calls"].sum.data_points[0].as_int == 4


def test_a_store_that_fails_takes_nothing_from_the_apps_metrics(sink):
    provider = provider_to(sink)
    provider.get_meter("shop").create_counter("orders").add(3)
    found = exported(sink, provider, lambda: 1 / 0)
    provider.shutdown()
    assert set(found) == {"orders", ""}


def test_who_asked_for_differences_gets_them(sink):
    delta = AggregationTemporality.DELTA
    provider = provider_to(sink, preferred_temporality={Counter: delta, Histogram: delta})
    store = Store(clock=lambda: 1_700_000_000.0)
    orders = store.counter("orders", help="", label_names=("team",))
    slot = orders.slot(("a",))
    orders.add(slot, 5)
    first = exported(sink, provider, store.snapshot)["orders"].sum
    orders.add(slot, 2)
    orders.add(orders.slot(("b",)), 1)
    provider.force_flush()
    second = unpacked(sink.received[-1])["orders"].sum
    provider.shutdown()
    assert [(attributes(p)["team"], p.as_int) for p in first.data_points] == [("a", 5)]
    assert [(attributes(p)["team"], p.as_int) for p in second.data_points] == [("a", 2), ("b", 1)]
    assert second.aggregation_temporality == 1
    assert second.data_points[0].start_time_unix_nano == first.data_points[0].time_unix_nano


def test_exemplars_and_what_found_no_place_leave_too(sink):
    family = Family(
        "orders",
        "counter",
        "",
        "",
        ("team", names.LABEL_OVERFLOW),
        (),
        {("", "true"): (2.0,), ("a", ""): (1.0,)},
        {("a", ""): {0: (0xABC, 0xDEF, 1.0, 1.7e9)}},
        1.7e9,
    )
    provider = provider_to(sink)
    lost, one = exported(sink, provider, lambda: [family])["orders"].sum.data_points
    provider.shutdown()
    assert attributes(lost) == {"otel.metric.overflow": True}
    (exemplar,) = one.exemplars
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (f"{0xABC:032x}", f"{0xDEF:016x}")


def test_each_process_exports_at_its_first_tick_so_that_what_it_counts_is_an_increase(sink):
    """Nothing is an increase of what is first seen after a reader's first interval: a minute, or the life of a worker."""
    store = Store(clock=lambda: 1_700_000_000.0)
    events = store.counter(names.SLO_EVENTS, help="", label_names=(names.LABEL_OUTCOME,))
    good = events.slot(("good",))
    provider = provider_to(sink)
    assert export_store(provider, store.snapshot, lambda: RESOURCE)
    # the child is killed: its connection must not be this process's, too
    assert count_from_zero_after_fork(provider)
    PROCESS.tick()
    wait_until(lambda: len(sink.received) == 1, "the first export")
    child = os.fork()
    if child == 0:
        PROCESS.tick()
        signal.pause()
    try:
        wait_until(lambda: len(sink.received) == 2, "the child's first export")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    events.add(good, 3)
    PROCESS.tick()  # it has exported: the next export is the reader's
    provider.force_flush()
    provider.shutdown()
    seen = [unpacked(each)[names.SLO_EVENTS].sum.data_points[0].as_int for each in sink.received]
    assert seen == [0, 0, 3, 3]


def test_a_tick_does_not_wait_for_the_first_export(monkeypatch):
    """A fork waits for the tick that is under way: a collector that is silent would hold it up."""
    monkeypatch.setattr(otlp_metrics, "LAST_SECONDS", 3600.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/metrics"
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=address, timeout=3600), 3_600_000)
        provider = MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False)
        assert export_store(provider, counted().snapshot, lambda: RESOURCE)
        PROCESS.tick()
        asked, _ = silent.accept()
        assert asked.recv(1)  # it is being exported, and nobody answers
        asked.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        asked.close()


def test_who_asked_for_differences_needs_no_first_export(sink):
    delta = AggregationTemporality.DELTA
    provider = provider_to(sink, preferred_temporality={Counter: delta, Histogram: delta})
    assert export_store(provider, counted().snapshot, lambda: RESOURCE)
    PROCESS.tick()
    assert sink.received == []
    provider.shutdown()


def test_a_reader_that_does_not_push_is_left_alone():
    provider = MeterProvider([InMemoryMetricReader()])
    assert not export_store(provider, list, lambda: RESOURCE)
    provider.shutdown()


def test_a_collection_that_is_before_the_childs_own_callback_begins_anew_too(monkeypatch):
    """The SDK starts a reader's thread in a child first; on a busy machine it collected the parent's counts."""
    exporter = Kept()
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], resource=RESOURCE)
    assert count_from_zero_after_fork(provider)
    orders = provider.get_meter("shop").create_counter("orders")
    orders.add(30)
    reader.collect()
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)  # as in a child before its callbacks
    reader.collect()
    orders.add(1)
    reader.collect()
    provider.shutdown()
    values = [
        point.value
        for data in exporter.kept
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    ]
    assert values == [30, 1, 1], "the last is the shutdown's"


class Kept(MetricExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[MetricsData] = []

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object
    ) -> MetricExportResult:
        self.kept.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        pass


def test_a_forked_child_speaks_over_a_connection_of_its_own(sink):
    """A connection that both keep would carry one's request in the middle of the other's."""
    provider = provider_to(sink)
    assert count_from_zero_after_fork(provider)
    (reader,) = provider._metric_readers
    orders = provider.get_meter("shop").create_counter("orders")

    def push(times: int) -> None:
        for _ in range(times):
            orders.add(1)
            reader.collect()

    push(1)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            push(50)
            os._exit(0)
        children.append(child)
    push(50)
    for child in children:
        os.waitpid(child, 0)
    provider.shutdown()
    assert (len(sink.received), sink.garbled) == (1 + 4 * 50 + 1, 0)
    counts = [unpacked(request)["orders"].sum.data_points[0].as_int for request in sink.received]
    assert sorted(counts) == sorted([1, *range(2, 52), 51, *(list(range(1, 51)) * 3)])
