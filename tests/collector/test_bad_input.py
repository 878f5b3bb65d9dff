"""What a collector is sent that it should not be: it goes on, leaks nothing, and says so in a metric or a line."""

import json
import os

import pytest

from support.kept import run_kept
from support.launch import wait_until
from support.otelcol import CONFIGS, WITHOUT_POLICY, Collector
from support.otlp import OtlpSink, Sent, post, request

CALLS = "traces_span_metrics_calls_total"


@pytest.fixture(scope="module")
def running(otelcol, sink, tmp_path_factory):
    state = tmp_path_factory.mktemp("bad") / "state"
    env = {"SENTRY_OTLP_TRACES_URL": sink.url, "SPAN_METRICS_LIMIT": "200"}
    with Collector(otelcol, state, "otel-collector.yaml", env=env) as running:
        yield running


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"\x00\xff garbage " * 50, "application/x-protobuf", 400),
        (b"{]", "application/json", 400),
        (request([Sent()])[:-7], "application/x-protobuf", 400),
        (b"<xml/>", "text/xml", 415),
        (b"", "application/x-protobuf", 200),
    ],
)
def test_garbage_is_refused_and_the_collector_goes_on(running, body, content_type, status):
    assert post(running.otlp, body, content_type) == status
    assert running.healthy()


def test_an_oversized_payload_is_refused(running):
    body = request([Sent(attributes={"blob": "x" * 1_000_000}) for _ in range(9)])
    assert post(running.otlp, body) in {400, 413}
    assert running.healthy()


def test_a_span_without_a_service_is_counted_under_a_name(running):
    assert post(running.otlp, request([Sent(name="orphan"), Sent(name="orphan")], {"host.name": "h"})) == 200
    wait_until(
        lambda: running.metric(CALLS, span_name="orphan", service_name="unknown_service") == 2, "both counted"
    )


@pytest.mark.parametrize("age", [10 * 365 * 86400.0, -10 * 365 * 86400.0, 3 * 86400.0])
def test_a_span_from_the_past_or_the_future_is_counted_once_and_breaks_no_scrape(running, sink, age):
    name = f"age {age}"
    assert post(running.otlp, request([Sent(name=name, age=age)])) == 200
    wait_until(lambda: running.metric(CALLS, span_name=name) == 1, "it is counted")
    wait_until(lambda: any(span.name == name for span in sink.spans), "it is shipped")


def test_a_span_that_ends_before_it_starts_is_counted_as_lasting_nothing(running):
    assert post(running.otlp, request([Sent(name="backwards", seconds=-5.0)])) == 200
    wait_until(lambda: running.metric(CALLS, span_name="backwards") == 1, "it is counted")
    assert running.metric("traces_span_metrics_duration_seconds_sum", span_name="backwards") == 0


def test_twenty_thousand_routes_stay_within_the_limit_and_every_span_is_counted(running):
    resource = {"service.name": "crawled"}
    for start in range(0, 20_000, 5000):
        spans = [
            Sent(name=f"GET /{number}", attributes={"http.route": f"/{number}"})
            for number in range(start, start + 5000)
        ]
        assert post(running.otlp, request(spans, resource)) == 200

    def counted():
        found = running.samples(CALLS)
        mine = [
            (labels, value)
            for labels, value in found
            if "otel_metric_overflow" in labels or labels.get("service_name") == "crawled"
        ]
        return mine if sum(value for _, value in mine) >= 20_000 else None

    series = wait_until(counted, "every span counted", 60)
    assert len(series) <= 201
    assert sum(value for _, value in series) == 20_000
    assert any(labels.get("otel_metric_overflow") == "true" for labels, _ in series)
    assert running.healthy()


def test_secrets_in_attributes_leave_neither_for_the_sink_nor_for_the_log(running, sink):
    secrets = {
        "password": "hunter2-a",
        "http.request.header.Authorization": ["Bearer hunter2-b"],
        "db.password": 424242,
        "url.full": "https://me:hunter2-c@shop.test/?%74oken=hunter2-d&page=2",
        "X-Api-Key": "hunter2-e",
    }
    sent = Sent(name="secretive", attributes=secrets, events=[("login", {"user_token": "hunter2-f"})])
    assert post(running.otlp, request([sent], {"service.name": "s", "client_secret": "hunter2-g"})) == 200
    [span] = wait_until(lambda: [span for span in sink.spans if span.name == "secretive"], "it is shipped")
    shown = (
        json.dumps([span.attributes, span.events]) + running.log + running.scrape() + running.scrape(own=True)
    )
    assert "hunter2" not in shown
    assert span.attributes == {
        "password": "[Filtered]",
        "http.request.header.Authorization": "[Filtered]",
        "db.password": "[Filtered]",
        "url.full": "https://[Filtered]@shop.test/?%74oken=[Filtered]&page=2",
        "X-Api-Key": "[Filtered]",
    }
    assert span.events == [("login", {"user_token": "[Filtered]"})]


def test_a_wrong_key_is_said_in_the_log_and_counted_and_stays_secret(otelcol, tmp_path):
    with OtlpSink(key="right") as sink:
        env = {"SENTRY_OTLP_TRACES_URL": sink.url, "SENTRY_PUBLIC_KEY": "wrong-hunter2"}
        with Collector(
            otelcol, tmp_path / "state", "otel-collector.yaml", WITHOUT_POLICY, env=env
        ) as running:
            assert post(running.otlp, request([Sent() for _ in range(3)])) == 200
            failed = "otelcol_exporter_send_failed_spans_total"
            wait_until(lambda: running.metric(failed, own=True) == 3, "three spans failed")
            wait_until(lambda: running.metric(CALLS) == 3, "they are counted all the same")
            assert running.said("Exporting failed") and running.said("403")
            assert "hunter2" not in running.log


def test_without_sentrys_address_the_start_ends_with_the_reason(otelcol, tmp_path):
    environ = {"PATH": os.environ["PATH"], "OTELCOL_STATE": str(tmp_path)}
    command = [otelcol, "validate", f"--config={CONFIGS / 'otel-collector.yaml'}"]
    run = run_kept(command, env=environ, elsewhere=tmp_path)
    assert run.returncode != 0
    assert "exporters::otlp_http/sentry: at least one endpoint" in run.stderr


def test_a_dsn_in_place_of_the_address_is_said_in_the_log_and_counted(otelcol, tmp_path):
    with OtlpSink() as sink:
        env = {"SENTRY_OTLP_TRACES_URL": f"http://public@127.0.0.1:{sink.port}/7"}
        with Collector(
            otelcol, tmp_path / "state", "otel-collector.yaml", WITHOUT_POLICY, env=env
        ) as running:
            assert post(running.otlp, request([Sent() for _ in range(3)])) == 200
            failed = "otelcol_exporter_send_failed_spans_total"
            wait_until(lambda: running.metric(failed, own=True) == 3, "three spans failed")
            assert running.said(f"127.0.0.1:{sink.port}/7 responded with HTTP Status Code 404")


def test_an_address_that_is_none_is_said_in_the_log_and_nothing_is_thrown_away(otelcol, tmp_path):
    env = {"SENTRY_OTLP_TRACES_URL": "https//no url"}
    with Collector(otelcol, tmp_path / "state", "otel-collector.yaml", WITHOUT_POLICY, env=env) as running:
        assert post(running.otlp, request([Sent() for _ in range(3)])) == 200
        wait_until(lambda: running.metric("otelcol_exporter_queue_size", own=True) > 0, "the queue keeps it")
        assert running.said("Exporting failed") and running.said("https//no")
