"""What sentry-sdk's own integrations do beside capturing errors, slotel does too: beside plain sentry-sdk."""

import json
import subprocess
import sys

import pytest
import sentry_sdk

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, clean_environ, launched_by

pytestmark = pytest.mark.skipif(
    not sentry_sdk.consts.VERSION.startswith("2."), reason="sentry-sdk 3 has other options"
)


def run(how, *more):
    with SentrySink() as sink:
        env = clean_environ(
            SENTRY_DSN=sink.dsn(7), OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none",
            SENTRY_TRACES_SAMPLE_RATE="1",
        )  # fmt: skip
        launcher = launched_by(how, "flask", "django", "starlette")
        done = subprocess.run(
            [*launcher, sys.executable, "integrations_do.py", how, *more],
            env=env, cwd=APPS / "errors", timeout=170, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        methods = sorted(
            each["request"]["method"] for each in sink.payloads("transaction") if "request" in each
        )
        (event,) = sink.payloads("event")
        return json.loads(done.stdout), methods, event["request"]


@pytest.fixture(scope="module")
def both():
    return run("slotel"), run("plain")


def test_templates_know_the_trace(both):
    (slotel, _, _), (plain, _, _) = both
    assert slotel == plain == {"flask": True, "starlette": True, "django": True}


def test_head_and_options_are_no_transactions(both):
    (_, slotel, _), (_, plain, _) = both
    assert slotel == plain == ["GET", "GET"]


def test_a_query_that_the_app_keeps_back_is_in_no_event(both):
    (_, _, sent), _ = both
    assert "query_string" in sent
    if "data_collection" not in sentry_sdk.consts.DEFAULT_OPTIONS:
        pytest.skip("this sentry-sdk has no data_collection")
    for how in ("slotel", "plain"):
        _, _, request = run(how, "private")
        assert "query_string" not in request, how
        assert "of-the-query" not in json.dumps(request), how
