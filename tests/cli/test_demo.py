"""`slotel demo` proves its own numbers."""

import json
import subprocess
import sys
from pathlib import Path

from support.launch import clean_environ

SLOTEL = str(Path(sys.executable).with_name("slotel"))


def demo(*options, **variables):
    return subprocess.run(
        [SLOTEL, "demo", *options], env=clean_environ(**variables), capture_output=True, text=True
    )


def test_what_is_sent_is_counted_and_what_is_raised_is_an_issue():
    done = demo("--headless", "--seconds", "8", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stderr.startswith("status page: http://127.0.0.1:")
    numbers = json.loads(done.stdout)
    assert numbers["exact"] is True
    assert numbers["requests_sent"] == numbers["requests_counted"] > 40
    assert numbers["good"] + numbers["bad"] + numbers["excluded"] == numbers["requests_sent"]
    assert numbers["errors_raised"] == numbers["sentry_issues"] > 0
    assert numbers["sentry_transactions"] >= numbers["errors_raised"]


def test_a_service_that_is_not_counted_fails_the_demo():
    """With the SDK disabled slotel is off, and the demo must say so."""
    done = demo("--headless", "--seconds", "2", "--json", OTEL_SDK_DISABLED="true")
    assert done.returncode == 1
    assert "the service's metrics do not answer" in done.stderr and "off: OTEL_SDK_DISABLED" in done.stderr
