"""collector/otel-collector.yaml on a real collector: one beside the service."""

import re
import time
from contextlib import ExitStack

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from support.launch import wait_until
from support.otelcol import ROOT, WITHOUT_POLICY, Collector
from support.otlp import Endpoint, OtlpSink, Sent, pairs, post, request
from support.prom import Prometheus

CALLS = "traces_span_metrics_calls_total"


def collector(otelcol, tmp_path, sink, *configs, policy=False, **env):
    return Collector(
        otelcol,
        tmp_path / "state",
        "otel-collector.yaml",
        *configs,
        *([] if policy else [WITHOUT_POLICY]),
        env={"SENTRY_OTLP_TRACES_URL": sink.url, **env},
    )


def exemplars_of(running):
    page = running.scrape(headers={"Accept": "application/openmetrics-text"})
    return set(re.findall(r'# \{[^}]*trace_id="([0-9a-f]{32})"', page))


def test_spans_reach_sentry_and_those_of_other_languages_are_counted_under_slotels_names(otelcol, tmp_path):
    flush = {"SPAN_METRICS_FLUSH": "1s"}  # an exemplar is shown from one flush to the next
    with OtlpSink() as sink, collector(otelcol, tmp_path, sink, **flush) as running:
        spans = [
            Sent(attributes={"http.route": "/items", "http.response.status_code": 200}, seconds=0.015)
            for _ in range(40)
        ]
        spans += [
            Sent(attributes={"http.route": "/items", "http.status_code": 500}, error=True, seconds=0.35)
            for _ in range(2)
        ]
        assert post(running.otlp, request(spans)) == 200
        exemplars = wait_until(lambda: exemplars_of(running), "exemplars beside the buckets")
        wait_until(lambda: len(sink.spans) == 42, "all spans at the sink")
        wait_until(lambda: running.metric(CALLS) == 42, "all spans counted")
        errors = running.samples(CALLS, status_code="STATUS_CODE_ERROR")
        buckets = running.samples("traces_span_metrics_duration_seconds_bucket", le="0.5")

    assert errors == [
        (
            {
                "service_name": "legacy",
                "span_name": "GET /items",
                "span_kind": "SPAN_KIND_SERVER",
                "status_code": "STATUS_CODE_ERROR",
                "http_route": "/items",
                "http_response_status_code": "500",
            },
            2.0,
        )
    ]
    assert sum(value for _, value in buckets) == 42
    assert exemplars <= {span.trace_id.hex() for span in spans}
    assert sink.doubled() == 0


def test_prometheus_takes_the_exemplars(otelcol, tmp_path):
    with (
        OtlpSink() as sink,
        collector(otelcol, tmp_path, sink, SPAN_METRICS_FLUSH="1s") as running,
        Prometheus(tmp_path / "prometheus", {"spans": [f"127.0.0.1:{running.prometheus_port}"]}) as store,
    ):
        spans = [Sent(name="exemplary", error=True) for _ in range(3)]

        def taken():
            assert post(running.otlp, request(spans)) == 200
            return store.exemplars('traces_span_metrics_duration_seconds_bucket{span_name="exemplary"}')

        found = wait_until(taken, "an exemplar in Prometheus")
        assert found <= {span.trace_id.hex() for span in spans}


def test_every_bucket_that_is_hit_in_an_interval_has_an_exemplar(otelcol, tmp_path):
    seconds = {0.004: "0.005", 0.09: "0.1", 0.4: "0.5", 4.0: "5.0"}
    with OtlpSink() as sink, collector(otelcol, tmp_path, sink, SPAN_METRICS_FLUSH="2s") as running:
        spans = [Sent(name="mixed", seconds=0.004) for _ in range(97)]
        slow = {
            edge: Sent(name="mixed", seconds=second) for second, edge in seconds.items() if second > 0.004
        }
        assert post(running.otlp, request([*spans, *slow.values()])) == 200

        def shown():
            page = running.scrape(headers={"Accept": "application/openmetrics-text"})
            found = re.findall(r'_bucket\{[^}]*le="([^"]+)"[^}]*\} \S+ # \{[^}]*trace_id="([0-9a-f]+)"', page)
            return dict(found) if len(found) >= len(seconds) else None

        exemplars = wait_until(shown, "an exemplar for each bucket that is hit")
    assert set(exemplars) == set(seconds.values())
    assert all(exemplars[edge] == span.trace_id.hex() for edge, span in slow.items())


def test_services_under_slotel_are_shipped_and_not_counted_again(otelcol, tmp_path):
    with OtlpSink() as sink, collector(otelcol, tmp_path, sink) as running:
        own = {"service.name": "checkout", "telemetry.distro.name": "slotel"}
        assert post(running.otlp, request([Sent() for _ in range(5)], own)) == 200
        assert post(running.otlp, request([Sent() for _ in range(7)])) == 200
        wait_until(lambda: len(sink.spans) == 12, "all spans at the sink")
        wait_until(lambda: running.metric(CALLS) == 7, "the other service's spans counted")
        assert running.metric(CALLS, service_name="checkout") == 0


def test_the_instances_of_a_service_add_up_in_one_series(otelcol, tmp_path):
    with OtlpSink() as sink, collector(otelcol, tmp_path, sink) as running:
        for instance in range(5):
            resource = {
                "service.name": "cart",
                "service.instance.id": f"i-{instance}",
                "process.pid": instance,
            }
            assert post(running.otlp, request([Sent() for _ in range(3)], resource)) == 200
        wait_until(lambda: running.metric(CALLS) == 15, "all instances' spans counted")
        assert [value for _, value in running.samples(CALLS)] == [15]


def test_a_queue_on_disk_outlives_the_collector_and_nothing_is_doubled(otelcol, tmp_path):
    with OtlpSink() as sink, collector(otelcol, tmp_path, sink) as running:
        sink.down()
        spans = [Sent() for _ in range(100)]
        assert post(running.otlp, request(spans)) == 200
        wait_until(lambda: running.metric("otelcol_exporter_queue_size", own=True) > 0, "the queue has it")
        running.stop()
        sink.up()
        running.start()
        wait_until(lambda: len(sink.spans) >= 100, "the spans at the sink")
        assert {span.span_id for span in sink.spans} == {span.span_id for span in spans}
        assert sink.doubled() == 0


def test_metrics_leave_by_remote_write_and_each_collectors_series_are_its_own(otelcol, tmp_path):
    with OtlpSink() as sink, Prometheus(tmp_path / "prometheus", {}) as store, ExitStack() as stack:
        files = ("otel-collector.yaml", "remote-write.yaml", WITHOUT_POLICY)
        running = [
            stack.enter_context(
                Collector(
                    otelcol,
                    tmp_path / name,
                    *files,
                    env={
                        "SENTRY_OTLP_TRACES_URL": sink.url,
                        "REMOTE_WRITE_URL": f"{store.url}/api/v1/write",
                        "OTELCOL_NAME": name,
                        "SPAN_METRICS_FLUSH": "1s",
                    },
                )
            )
            for name in ("one", "two")
        ]
        for collector, count in zip(running, (3, 4), strict=True):
            assert post(collector.otlp, request([Sent() for _ in range(count)])) == 200
        store.wait(f"sum({CALLS})", 7)
        assert {series["metric"]["collector"]: series["value"][1] for series in store.query(CALLS)} == {
            "one": "3",
            "two": "4",
        }


def test_traces_reach_any_otlp_backend_beside_sentry_and_one_that_is_down_holds_up_none(otelcol, tmp_path):
    with OtlpSink() as sink, Endpoint() as backend:
        env = {"BACKEND_OTLP_URL": backend.base}
        with collector(otelcol, tmp_path, sink, "backend.yaml", **env) as running:
            sink.down()
            spans = [Sent() for _ in range(10)]
            assert post(running.otlp, request(spans)) == 200
            wait_until(lambda: len(backend.spans) == 10, "the backend has them while Sentry is down")
            sink.up()
            wait_until(lambda: len(sink.spans) == 10, "Sentry has them afterwards")
            assert backend.doubled() == sink.doubled() == 0


def test_traces_reach_another_backend_instead_of_sentry(otelcol, tmp_path):
    """As docs/collector.md shows it: for GlitchTip, which has no OTLP endpoint, beside Tempo or Jaeger."""
    [only] = re.findall(r"--config '(yaml:[^']+)'", (ROOT / "docs" / "collector.md").read_text())
    with OtlpSink() as sink, Endpoint() as backend:
        files, env = ("no-sentry.yaml", "backend.yaml", only), {"BACKEND_OTLP_URL": backend.base}
        with collector(otelcol, tmp_path, sink, *files, **env) as running:
            assert post(running.otlp, request([Sent() for _ in range(5)])) == 200
            wait_until(lambda: len(backend.spans) == 5, "the backend has them")
            wait_until(lambda: running.metric(CALLS) == 5, "all spans counted")
            assert running.metric("otelcol_exporter_queue_size", own=True, exporter="otlp_http/sentry") == 0
            assert sink.spans == []


def test_without_sentry_spans_are_counted_and_kept_nowhere(otelcol, tmp_path):
    with OtlpSink() as sink, collector(otelcol, tmp_path, sink, "no-sentry.yaml") as running:
        assert post(running.otlp, request([Sent() for _ in range(5)])) == 200
        wait_until(lambda: running.metric(CALLS) == 5, "all spans counted")
        assert running.metric("otelcol_exporter_queue_size", own=True) == 0
        assert sink.spans == []


def test_metrics_that_come_by_otlp_are_exposed_with_their_service_and_without_their_secrets(
    otelcol, tmp_path
):
    message = ExportMetricsServiceRequest()
    group = message.resource_metrics.add()
    group.resource.attributes.extend(pairs({"service.name": "cart", "service.instance.id": "i-1"}))
    metric = group.scope_metrics.add().metrics.add(name="orders", unit="1")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = 2
    now = time.time_ns()
    metric.sum.data_points.add(
        as_int=7,
        start_time_unix_nano=now - 10**9,
        time_unix_nano=now,
        attributes=pairs({"kind": "book", "api_key": "hunter2"}),
    )
    with OtlpSink() as sink, collector(otelcol, tmp_path, sink, policy=True) as running:
        assert post(running.otlp, message.SerializeToString(), path="/v1/metrics") == 200
        found = wait_until(lambda: running.samples("orders_total"), "the metric is exposed")
        assert found == [({"job": "cart", "instance": "i-1", "kind": "book", "api_key": "[Filtered]"}, 7)]
