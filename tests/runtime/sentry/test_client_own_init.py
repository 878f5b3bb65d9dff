"""An app that calls sentry_sdk.init itself: nothing is traced twice, slotel's tags and trace ids are on its events."""

import json
import sys

import pytest

from launch import APPS, Launched, wait_until
from slotel.cli.sink import SentrySink

YAML = "version: 1\ntags: {required: {team: {default: payments}}}\n"


class Own:
    def __init__(self, sink, service, way):
        self.sink = sink
        self.service = service
        self.way = way

    def events(self, path):
        return [each for each in self.sink.payloads("event") if each["request"]["url"].endswith(path)]

    def transactions(self, path):
        return [each for each in self.sink.payloads("transaction") if each["transaction"].endswith(path)]


@pytest.fixture(scope="module", params=["none", "before", "after", "late"])
def own(request, tmp_path_factory):
    config = tmp_path_factory.mktemp("slotel") / "slotel.yaml"
    config.write_text(YAML)
    way = request.param
    with SentrySink() as sink:
        dsn = sink.dsn(7)
        env = {"SLOTEL_CONFIG": str(config), "APP_DSN": dsn, **({} if way == "late" else {"SENTRY_DSN": dsn})}
        command = (sys.executable, "own_init.py", way)
        with Launched(*command, env=env, cwd=APPS / "errors", launcher=way != "before") as service:
            service.wait_ready()
            yield Own(sink, service, way)


def test_an_error_is_one_event_with_the_trace_and_the_tags(own):
    own.service.get("/error")
    own.service.get("/plain")
    wait_until(lambda: own.events("/plain"), "the events")
    (event,) = own.events("/error")
    trace = event["contexts"]["trace"]
    assert event["exception"]["values"][-1]["value"] == f"{trace['trace_id']}-{trace['span_id']}"
    assert event["transaction"] == "GET /error"
    assert event["tags"]["team"] == "payments"
    assert own.service.sample("sentry_errors_total", project="7") == len(own.sink.payloads("event"))


def test_the_apps_options_stay_in_force(own):
    if own.way == "none":
        pytest.skip("the app has none")
    own.service.get("/error")
    own.service.get("/unwanted")
    own.service.get("/plain")
    wait_until(lambda: own.events("/plain"), "the events")
    event = own.events("/error")[-1]
    assert (event["release"], event["environment"]) == ("app-1", "live")
    assert event["tags"]["seen"] == "by the app"
    assert own.events("/unwanted") == []
    wait_until(
        lambda: own.service.sample("slotel_dropped_total", signal="errors", reason="before_send") == 1,
        "the dropped event is counted",
    )
    assert own.service.sample("sentry_errors_total", environment="live") == len(own.sink.payloads("event"))


def test_a_request_is_one_transaction_of_slotel(own):
    own.service.get("/headers")
    wait_until(lambda: own.transactions("/headers"), "the transaction")
    own.service.get("/out")
    wait_until(lambda: own.transactions("/out"), "the transaction")
    traces = [each["contexts"]["trace"]["trace_id"] for each in own.sink.payloads("transaction")]
    requests = [path for path in ("/headers", "/out") for _ in own.transactions(path)]
    assert requests.count("/out") == 1
    assert requests.count("/headers") == 2
    assert len(traces) - len(set(traces)) == 1  # /out and the /headers that it called


def test_an_outgoing_request_carries_each_trace_header_once_and_of_one_trace(own):
    answer = json.loads(own.service.get("/out")[1])
    headers = [
        (name, value)
        for name, value in answer["headers"]
        if name in ("traceparent", "sentry-trace", "baggage")
    ]
    assert sorted(name for name, _ in headers) == ["baggage", "sentry-trace", "traceparent"]
    told = dict(headers)
    _, trace_id, span_id, _ = told["traceparent"].split("-")
    assert trace_id == answer["trace"]
    assert told["sentry-trace"] == f"{trace_id}-{span_id}-1"
    assert f"sentry-trace_id={trace_id}" in told["baggage"]
    assert "sentry-public_key=" in told["baggage"]


def test_the_log_says_once_what_slotel_did(own):
    said = [line for line in own.service.log.splitlines() if "sentry_sdk.init" in line]
    assert len(said) == (0 if own.way == "none" else 1)
    assert all("SENTRY_TRACES_SAMPLE_RATE=1.0" in line for line in said)
