"""`sentry_sdk.flush()` and then no exit hook, as workers of job queues and functions in the cloud end."""

import subprocess
import sys

import pytest

from slotel.cli.sink.server import SentrySink
from support.launch import LAUNCHER, clean_environ

JOB = """
import os, sentry_sdk
from opentelemetry import trace
{init}
with trace.get_tracer("queue").start_as_current_span("job", kind=trace.SpanKind.CONSUMER):
    sentry_sdk.capture_message("at work")
{flush}
os._exit(0)
"""
INIT = "sentry_sdk.init(traces_sample_rate=1.0)"


@pytest.mark.parametrize(
    ("init", "flush"),
    [
        pytest.param("", "sentry_sdk.flush()", id="DSN alone"),
        pytest.param(INIT, "sentry_sdk.flush(timeout=5)", id="own init"),
        pytest.param(f"{INIT}\n{INIT}", "sentry_sdk.get_client().flush()", id="own init, twice"),
        pytest.param("", "sentry_sdk.get_client().close()", id="closed"),
    ],
)
def test_a_flush_sends_the_transaction_of_a_process_that_ends_without_exit_hooks(init, flush):
    with SentrySink() as sentry:
        env = clean_environ(SENTRY_DSN=sentry.dsn(), OTEL_SERVICE_NAME="jobs", OTEL_METRICS_EXPORTER="none")
        code = JOB.format(init=init, flush=flush)
        done = subprocess.run(
            [LAUNCHER, sys.executable, "-c", code],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert [event["transaction"] for event in sentry.payloads("transaction")] == ["job"], done.stderr
        assert [event["message"] for event in sentry.payloads("event")] == ["at work"]
