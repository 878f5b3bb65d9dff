"""collector/otel-collector.yaml on a real collector: one beside the service."""

import re

from launch import wait_until
from otelcol import Collector
from otlp import OtlpSink, Sent, post, request

CALLS = "traces_span_metrics_calls_total"


def collector(otelcol, tmp_path, sink, *configs, **env):
    return Collector(
        otelcol,
        tmp_path / "state",
        "otel-collector.yaml",
        *configs,
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
