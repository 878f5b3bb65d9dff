"""A transport of the app's own is given what plain sentry-sdk gives it: errors and transactions, each once."""

import json
import subprocess
import sys

import pytest
import sentry_sdk

from slotel.cli.sink.envelope import parse_envelope
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


SPOTLIGHT = """
import os, sentry_sdk
sentry_sdk.init(spotlight=os.environ["STREAM"], traces_sample_rate=1.0)
import flask
app = flask.Flask("spotlight")
app.add_url_rule("/", view_func=lambda: sentry_sdk.capture_message("said"))
app.test_client().get("/")
sentry_sdk.flush(10)
"""


@pytest.mark.parametrize("project", [7, None])
@pytest.mark.parametrize("how", ["plain", "slotel"])
def test_spotlight_shows_errors_and_transactions_with_and_without_a_dsn(how, project):
    with SentrySink() as sink:
        env = clean_environ(
            STREAM=f"{sink.url}/stream", OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none", SENTRY_TRACES_SAMPLE_RATE="1",
        )  # fmt: skip
        if project is not None:
            env["SENTRY_DSN"] = sink.dsn(project)
        command = [*launched_by(how, "flask"), sys.executable, "-c", SPOTLIGHT]
        subprocess.run(command, env=env, check=True, timeout=170, capture_output=True)
        shown = [
            header["type"]
            for request in sink.others
            if request.target == "/stream"
            for header, _ in parse_envelope(request.body).items
        ]
        assert sorted(kind for kind in shown if kind in ("event", "transaction")) == ["event", "transaction"]
        assert sink.transactions == sink.events == (project is not None)
