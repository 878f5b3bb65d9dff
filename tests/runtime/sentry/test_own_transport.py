"""A transport of the app's own is given what plain sentry-sdk gives it: errors and transactions, each once."""

import json

import pytest
import sentry_sdk

from slotel.cli.sink.envelope import parse_envelope
from support.sentry_app import run_app

pytestmark = pytest.mark.skipif(
    not hasattr(sentry_sdk, "start_transaction"), reason="sentry-sdk 3 has no start_transaction"
)


def given(way, how):
    ran = run_app(
        how, "own_transport.py", way, how,
        addresses={"SENTRY_DSN": "{dsn}/7", "APP_DSN": "{dsn}/8"}, SENTRY_TRACES_SAMPLE_RATE="1", SENTRY_RELEASE="r",
    )  # fmt: skip
    assert not ran.envelopes
    return json.loads(ran.stdout)


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
    addresses = {"STREAM": "{url}/stream"} | ({} if project is None else {"SENTRY_DSN": f"{{dsn}}/{project}"})
    ran = run_app(how, "-c", SPOTLIGHT, uses=["flask"], addresses=addresses, SENTRY_TRACES_SAMPLE_RATE="1")
    shown = [
        header["type"]
        for request in ran.others
        if request.target == "/stream"
        for header, _ in parse_envelope(request.body).items
    ]
    assert sorted(kind for kind in shown if kind in ("event", "transaction")) == ["event", "transaction"]
    assert len(ran.payloads("transaction")) == len(ran.payloads("event")) == (project is not None)
