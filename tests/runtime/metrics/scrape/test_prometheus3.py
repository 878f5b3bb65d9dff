"""The endpoint, scraped by a real Prometheus 3 with each protocol that it can ask for; run by `make promtool3`."""

import sys

import pytest

from support.launch import Launched, wait_until
from support.prom import Prometheus, is_version_2

PROTOCOLS = {
    "default": {},
    "text": {"scrape_protocols": ["PrometheusText0.0.4"]},
    "text 1": {"scrape_protocols": ["PrometheusText1.0.0"]},
    "OpenMetrics": {"scrape_protocols": ["OpenMetricsText1.0.0"]},
    "protobuf, else text": {"scrape_protocols": ["PrometheusProto", "PrometheusText0.0.4"]},
    "protobuf alone": {"scrape_protocols": ["PrometheusProto"]},
    "native histograms": {"scrape_native_histograms": True},
    "converted histograms": {
        "convert_classic_histograms_to_nhcb": True,
        "always_scrape_classic_histograms": True,
    },
}
GOOD, BAD = 20, 5
WITH_START = ["--enable-feature=exemplar-storage,created-timestamp-zero-ingestion"]
"""It takes `_created` for a sample of 0 at that time."""


@pytest.mark.real
@pytest.mark.parametrize("flags", [(), WITH_START], ids=["", "with created timestamps"])
def test_whatever_protocol_is_asked_for_counts_are_right_and_classic_buckets_are_there(tmp_path, flags):
    if is_version_2():
        pytest.skip("this Prometheus is older than 3: make promtool3")
    with Launched(sys.executable, "flask_app.py", env={"OTEL_TRACES_SAMPLER": "always_on"}) as shop:
        shop.wait_ready()
        jobs = {job: [f"127.0.0.1:{shop.metrics_port}"] for job in PROTOCOLS}
        with Prometheus(tmp_path, jobs, scrape=PROTOCOLS, flags=flags) as prometheus:
            wait_until(lambda: len(prometheus.query("up == 1")) == len(PROTOCOLS), "all are scraped", 60)
            for path, times in (("/ok", GOOD), ("/error", BAD)):
                for _ in range(times):
                    shop.get(path)
            for outcome, number in (("good", GOOD), ("bad", BAD)):
                of_each = f'count by (job) (slo_events_total{{slo_outcome="{outcome}"}} == {number})'
                wait_until(
                    lambda of_each=of_each: len(prometheus.query(of_each)) == len(PROTOCOLS), of_each, 60
                )
            buckets = "count by (job) (traces_span_metrics_duration_seconds_bucket)"
            assert len(prometheus.query(buckets)) == len(PROTOCOLS)
            assert (
                prometheus.value('increase(slo_events_total{slo_outcome="bad",job="OpenMetrics"}[1h])')
                < 2 * BAD
            )
            assert prometheus.exemplars("traces_span_metrics_duration_seconds_bucket")
