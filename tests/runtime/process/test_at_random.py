"""Requests, signal handlers, forks and finalizers that all use telemetry, at random: nothing hangs, and all is counted."""

import json
import os
import subprocess
import sys
from pathlib import Path

APP = Path(__file__).parents[2] / "apps/at_random.py"
SECONDS = "60" if os.environ.get("LONG") == "1" else "3"


def test_telemetry_from_handlers_forks_and_finalizers_at_random_hangs_nothing_and_counts_every_request():
    """The Sentry server is away; children that fail would be waited for, and the app's dump of its threads would say where."""
    environ = {
        **os.environ,
        "OTEL_SERVICE_NAME": "random",
        "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
        "SENTRY_DSN": "http://k@127.0.0.1:9/1",
        "SENTRY_TRACES_SAMPLE_RATE": "0.2",
    }
    instrument = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    done = subprocess.run(
        [instrument, sys.executable, str(APP), SECONDS],
        env=environ,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["counted"] == report["sent"]
    assert report["faults"] == []
    assert min(report["handled"], report["forked"], report["sent"]) > 5
