"""A request whose host Django does not allow is answered as without slotel: OpenTelemetry's instrumentation asks for its URL."""

import json
import subprocess
import sys

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, LAUNCHER, clean_environ

pytestmark = pytest.mark.process


def run(*launcher, **variables):
    done = subprocess.run(
        [*launcher, sys.executable, "hosts.py"],
        env=clean_environ(OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none", **variables),
        cwd=APPS / "errors", timeout=170, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_host_that_is_not_allowed_is_for_the_app_to_refuse():
    with SentrySink() as sink:
        slotel = run(str(LAUNCHER), SENTRY_DSN=sink.dsn(7), SENTRY_TRACES_SAMPLE_RATE="1")
        names = sorted(event["transaction"] for event in sink.payloads("transaction"))
    assert slotel == run() == [200, 200, 400, 200, 500, 500]
    assert names == [*["GET asks/<number>"] * 2, *["GET fails/<number>"] * 2, *["GET quiet/<number>"] * 2]
