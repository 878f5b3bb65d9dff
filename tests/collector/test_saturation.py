"""More than a collector can hold: it refuses, the refused is counted, the accepted is counted exactly, and it recovers."""

import json
import subprocess
import sys

import psutil

from launch import clean_environ, wait_until
from otelcol import ROOT, Collector
from otlp import OtlpSink

MIB = 2**20


def load(endpoint, **options):
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, str(ROOT / "bench/otlp_load.py"), endpoint, *arguments]
    run = subprocess.run(
        command, env=clean_environ(), capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(run.stdout)


def test_at_its_memory_limit_a_gateway_refuses_counts_what_it_refuses_and_recovers(otelcol, tmp_path):
    """It holds every trace until its decision: more than fits come in before that."""
    env = {
        "OTELCOL_MEMORY_MIB": "100",
        "OTELCOL_MEMORY_SPIKE_MIB": "20",
        "TAIL_WAIT": "6s",
        "TAIL_BASELINE_PERCENT": "0",
    }
    with OtlpSink() as sink:
        env |= {"SENTRY_OTLP_TRACES_URL": sink.url}
        with Collector(otelcol, tmp_path / "state", "gateway.yaml", env=env) as running:
            sent, accepted, refused = 0, 0, 0
            for _ in range(10):
                tally = load(running.otlp, rate=0, seconds=2, threads=2, spans=1000, errors=0)
                sent, accepted, refused = (
                    sent + tally["sent"],
                    accepted + tally["accepted"],
                    refused + tally["refused"],
                )
                assert tally["failed"] == 0
                if refused:
                    break
            assert refused
            assert sent == accepted + refused
            assert psutil.Process(running.pid).memory_info().rss < 300 * MIB
            assert running.metric("otelcol_receiver_accepted_spans_total", own=True) == accepted
            assert running.metric("otelcol_processor_memory_limiter_refused_spans_total", own=True) == refused

            def recovered():
                return load(running.otlp, rate=1000, seconds=1, spans=100)["refused"] == 0

            wait_until(recovered, "it takes spans again", 60)
