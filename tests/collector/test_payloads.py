"""What is sent to Sentry is bounded by bytes: no receiver's limit loses a batch, and what cannot be split is counted."""

import pytest

from support.launch import wait_until
from support.otelcol import Collector
from support.otlp import OtlpSink, Sent, post, request

LIMIT = 1_000_000
"""Bytes: what a proxy before Sentry takes by default."""


@pytest.mark.parametrize(("config", "error"), [("otel-collector.yaml", False), ("gateway.yaml", True)])
def test_a_thousand_large_spans_arrive_behind_a_limit_of_bytes(otelcol, tmp_path, config, error):
    with OtlpSink(most_bytes=LIMIT) as sink:
        env = {"SENTRY_OTLP_TRACES_URL": sink.url}
        with Collector(otelcol, tmp_path / "state", config, env=env) as running:
            spans = [Sent(attributes={"blob": "x" * 5000}, error=error) for _ in range(1000)]
            assert post(running.otlp, request(spans)) == 200
            wait_until(lambda: len(sink.spans) == len(spans), "all spans at the sink")
            assert not sink.refused
            assert sink.doubled() == 0


PLACES = {
    "an attribute": {"attributes": {"blob": "x" * (LIMIT + 1)}},
    "many attributes": {"attributes": {f"blob {number}": "x" * 200_000 for number in range(20)}},
    "hundreds of attributes": {"attributes": {f"blob {number}": "x" * 30_000 for number in range(250)}},
    "a hundred events": {"events": [("e", {"exception.stacktrace": "x" * 30_000, "b": "x" * 30_000})] * 100},
    "an event": {"events": [("e", {"blob": "x" * (LIMIT + 1)})]},
    "its name": {"name": "x" * (LIMIT + 1)},
    "its status": {"status": "x" * (LIMIT + 1)},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("config", "error"), [("otel-collector.yaml", False), ("gateway.yaml", True)])
def test_a_huge_value_is_cut_and_loses_neither_its_span_nor_its_neighbours(
    otelcol, tmp_path, config, error, place
):
    with OtlpSink(most_bytes=LIMIT) as sink:
        env = {"SENTRY_OTLP_TRACES_URL": sink.url}
        with Collector(otelcol, tmp_path / "state", config, env=env) as running:
            small = [Sent(attributes={"blob": "x" * 5000}, error=error) for _ in range(100)]
            huge = Sent(**{"error": error, **PLACES[place]})
            assert post(running.otlp, request([*small[:50], huge, *small[50:]])) == 200
            wait_until(lambda: len(sink.spans) == len(small) + 1, "all spans at the sink")
            assert "Failed to split" not in running.log


def failed(running):
    return running.metric("otelcol_exporter_send_failed_spans_total", own=True) + running.metric(
        "otelcol_exporter_enqueue_failed_spans_total", own=True
    )


def test_a_batch_that_is_refused_for_its_size_is_counted_and_a_smaller_bound_avoids_it(otelcol, tmp_path):
    spans = [Sent(attributes={"blob": "x" * 5000}) for _ in range(200)]
    for bound, lost in (("900000", True), ("100000", False)):
        with OtlpSink(most_bytes=200_000) as sink:
            env = {"SENTRY_OTLP_TRACES_URL": sink.url, "OTELCOL_PAYLOAD_BYTES": bound}
            with Collector(otelcol, tmp_path / bound, "otel-collector.yaml", env=env) as running:
                assert post(running.otlp, request(spans)) == 200
                wait_until(
                    lambda: failed(running) + len(sink.spans) == len(spans), "every span is there or counted"
                )
                assert (failed(running) > 0) is lost
                assert (sink.refused[413] > 0) is lost
