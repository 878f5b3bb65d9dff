"""More than a collector can hold: it refuses, the refused is counted, the accepted is counted exactly, and it recovers."""

import json
import subprocess
import sys
from pathlib import Path

from support.launch import clean_environ, wait_until
from support.otelcol import ROOT, Collector
from support.otlp import OtlpSink


def load(endpoint, **options):
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, str(ROOT / "bench/otlp_load.py"), endpoint, *arguments]
    run = subprocess.run(
        command, env=clean_environ(), capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(run.stdout)


def peak(pid):
    """The most memory that a container's limit would have counted against it, in MiB.

    That is the highest resident size, without the pages of files (the binary, its queue): the kernel takes those back
    before it kills. No file of /proc keeps the highest value of the rest alone.
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return (int(status["VmHWM"].split()[0]) - int(status["RssFile"].split()[0])) / 1024


def test_at_its_memory_limit_a_gateway_refuses_counts_what_it_refuses_and_recovers(otelcol, tmp_path):
    """It holds every trace until its decision: more than fits come in before that. Sizes as in deploy/compose."""
    env = {
        "OTELCOL_MEMORY_MIB": "200",
        "GOMEMLIMIT": "200MiB",
        "TAIL_WAIT": "15s",
        "TAIL_TRACES": "1000000",
        "TAIL_BASELINE_PERCENT": "0",
    }
    with OtlpSink() as sink:
        env |= {"SENTRY_OTLP_TRACES_URL": sink.url}
        with Collector(otelcol, tmp_path / "state", "gateway.yaml", env=env) as running:
            sent, accepted, refused = 0, 0, 0
            for _ in range(12):
                tally = load(running.otlp, rate=0, seconds=4, threads=2, spans=1000, errors=0)
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
            assert peak(running.pid) < 256  # as deploy/compose gives it
            assert running.metric("otelcol_receiver_accepted_spans_total", own=True) == accepted
            assert running.metric("otelcol_processor_memory_limiter_refused_spans_total", own=True) == refused

            def recovered():
                return load(running.otlp, rate=1000, seconds=1, spans=100)["refused"] == 0

            wait_until(recovered, "it takes spans again", 60)
