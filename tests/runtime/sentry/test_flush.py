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


SLOW_TO_READ = """
import sys, time, types
import sentry_sdk

class Slow:
    def get_source(self, name):
        time.sleep(0.5)
        return SOURCE

SOURCE = "def fail():\\n    raise ValueError(__name__)\\n"
sentry_sdk.init(shutdown_timeout=3)
for number in range(8):
    module = sys.modules[f"slow{number}"] = types.ModuleType(f"slow{number}")
    module.__loader__ = Slow()
    exec(compile(SOURCE, f"/slow/{number}.py", "exec"), vars(module))
    try:
        module.fail()
    except ValueError:
        sentry_sdk.capture_exception()
"""


def test_what_computing_takes_at_an_exit_is_no_part_of_the_time_to_send_as_under_plain_sentry_sdk():
    """Plain sentry-sdk has read the source lines before the exit."""
    for launcher in ((), (LAUNCHER,)):
        with SentrySink() as sentry:
            env = clean_environ(SENTRY_DSN=sentry.dsn(), OTEL_METRICS_EXPORTER="none")
            subprocess.run([*launcher, sys.executable, "-c", SLOW_TO_READ], env=env, check=True, timeout=120)
            values = [event["exception"]["values"][0] for event in sentry.payloads("event")]
        assert sorted(value["value"] for value in values) == [f"slow{number}" for number in range(8)]
        assert {value["stacktrace"]["frames"][-1]["context_line"].strip() for value in values} == {
            "raise ValueError(__name__)"
        }
