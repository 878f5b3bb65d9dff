"""A transport of the app's own is given what plain sentry-sdk gives it: errors and transactions, each once."""

import json
import subprocess
import sys

import pytest
import sentry_sdk

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, clean_environ, launched_by

pytestmark = pytest.mark.skipif(
    not hasattr(sentry_sdk, "start_transaction"), reason="sentry-sdk 3 has no start_transaction"
)


def given(way, how):
    with SentrySink() as sink:
        env = clean_environ(
            SENTRY_DSN=sink.dsn(7), APP_DSN=sink.dsn(8), OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none",
            SENTRY_TRACES_SAMPLE_RATE="1", SENTRY_RELEASE="r",
        )  # fmt: skip
        launcher = launched_by(how)
        done = subprocess.run(
            [*launcher, sys.executable, "own_transport.py", way, how],
            env=env, cwd=APPS / "errors", timeout=170, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not sink.envelopes
        return json.loads(done.stdout)


@pytest.mark.parametrize("way", ["options", "mapping", "by-hand"])
def test_a_transport_of_the_apps_own_is_given_errors_and_transactions(way):
    expected = [["event", "said", "r"], ["transaction", "done", "r"]]
    assert given(way, "slotel") == expected
    if way == "options":
        assert given(way, "plain") == expected
