"""What is sent to Sentry is bounded by bytes: no receiver's limit loses a batch, and what cannot be split is counted."""

import pytest

from support.launch import wait_until
from support.otelcol import WITHOUT_POLICY, Collector
from support.otlp import Log, OtlpSink, Sent, log_request, post, request

LIMIT = 1_000_000
"""Bytes: what a proxy before Sentry takes by default."""


@pytest.fixture(
    scope="module",
    params=[("otel-collector.yaml", "logs.yaml"), ("gateway.yaml", "gateway-logs.yaml")],
    ids="+".join,
)
def running(request, otelcol, tmp_path_factory):
    """A collector and its sink; a gateway keeps spans with an error."""
    with OtlpSink(most_bytes=LIMIT) as sink:
        env = {"SENTRY_OTLP_TRACES_URL": sink.url, "SENTRY_OTLP_LOGS_URL": sink.logs_url}
        with Collector(otelcol, tmp_path_factory.mktemp("payloads"), *request.param, env=env) as running:
            yield running, sink


def sent(running, sink, spans):
    """Send spans in one request, and wait until each is at the sink."""
    assert post(running.otlp, request(spans)) == 200
    expected = {span.span_id for span in spans}
    wait_until(lambda: {span.span_id for span in sink.spans} >= expected, "all spans at the sink")


def test_a_thousand_large_spans_arrive_behind_a_limit_of_bytes(running):
    collector, sink = running
    sent(collector, sink, [Sent(attributes={"blob": "x" * 5000}, error=True) for _ in range(1000)])
    assert not sink.refused
    assert sink.doubled() == 0


PLACES = {
    "an attribute": {"attributes": {"blob": "x" * (LIMIT + 1)}},
    "many attributes": {"attributes": {f"blob {number}": "x" * 200_000 for number in range(20)}},
    "hundreds of attributes": {"attributes": {f"blob {number}": "x" * 30_000 for number in range(250)}},
    "a hundred events": {"events": [("e", {"exception.stacktrace": "x" * 30_000, "b": "x" * 30_000})] * 100},
    "an event": {"events": [("e", {"blob": "x" * (LIMIT + 1)})]},
    "a thousand events": {"events": [("e" * 3000, {"blob": "x" * 3000})] * 1000},
    "an event's name": {"events": [("x" * (LIMIT + 1), {})]},
    "a list": {"attributes": {"blob": ["x" * (LIMIT + 1)]}},
    "a map": {"attributes": {"blob": {"within": ["x" * (LIMIT + 1)]}}},
    "its name": {"name": "x" * (LIMIT + 1)},
    "its status": {"status": "x" * (LIMIT + 1)},
    "its name, cut within a letter": {"name": "x" + "é" * LIMIT},
    "its status, cut within a letter": {"status": "x" + "é" * LIMIT},
}
AROUND = {
    "the resource": ({"service.name": "legacy", "blob": "x" * (LIMIT + 1)}, {}),
    "a list of the resource": ({"service.name": "legacy", "blob": ["x" * (LIMIT + 1)]}, {}),
    "the scope": (None, {"blob": "x" * (LIMIT + 1)}),
}
LOGS = {
    "its body": {"body": "x" * (LIMIT + 1)},
    "its body, cut within a letter": {"body": "x" + "é" * LIMIT},
    "a map as its body": {"body": {"blob": {"within": "x" * (LIMIT + 1)}}},
    "an attribute": {"attributes": {"blob": "x" * (LIMIT + 1)}},
    "hundreds of attributes": {"attributes": {f"blob {number}": "x" * 30_000 for number in range(250)}},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_huge_value_is_cut_and_loses_neither_its_span_nor_its_neighbours(running, place):
    collector, sink = running
    small = [Sent(attributes={"blob": "x" * 5000}, error=True) for _ in range(100)]
    huge = Sent(**{"error": True, **PLACES[place]})
    sent(collector, sink, [*small[:50], huge, *small[50:]])
    assert "Failed to split" not in collector.log
    assert sink.doubled() == 0


@pytest.mark.parametrize("place", AROUND)
def test_what_is_huge_around_the_spans_is_cut(running, place):
    collector, sink = running
    spans = [Sent(error=True) for _ in range(20)]
    assert post(collector.otlp, request(spans, *AROUND[place])) == 200
    expected = {span.span_id for span in spans}
    wait_until(lambda: {span.span_id for span in sink.spans} >= expected, "all spans at the sink")


@pytest.mark.parametrize("place", LOGS)
def test_a_huge_log_record_is_cut_and_loses_neither_itself_nor_its_neighbours(running, place):
    collector, sink = running
    small = [Log(f"{place} {number}") for number in range(100)]
    huge = Log(**{"body": f"{place}, huge", **LOGS[place]})
    before = len(sink.logs)
    body = log_request([*small[:50], huge, *small[50:]], {"service.name": "legacy"})
    assert post(collector.otlp, body, path="/v1/logs") == 200
    wait_until(lambda: len(sink.logs) - before == 101, "all log records at the sink")


def failed(running):
    return running.metric("otelcol_exporter_send_failed_spans_total", own=True) + running.metric(
        "otelcol_exporter_enqueue_failed_spans_total", own=True
    )


def test_a_batch_that_is_refused_for_its_size_is_counted_and_a_smaller_bound_avoids_it(otelcol, tmp_path):
    spans = [Sent(attributes={"blob": "x" * 5000}) for _ in range(200)]
    for bound, lost in (("900000", True), ("100000", False)):
        with OtlpSink(most_bytes=200_000) as sink:
            env = {"SENTRY_OTLP_TRACES_URL": sink.url, "OTELCOL_PAYLOAD_BYTES": bound}
            files = ("otel-collector.yaml", WITHOUT_POLICY)
            with Collector(otelcol, tmp_path / bound, *files, env=env) as running:
                assert post(running.otlp, request(spans)) == 200
                wait_until(
                    lambda: failed(running) + len(sink.spans) == len(spans), "every span is there or counted"
                )
                assert (failed(running) > 0) is lost
                assert (sink.refused[413] > 0) is lost
