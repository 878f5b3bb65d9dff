"""What reaches Sentry from a launched service: errors and transactions that belong together, with enforced tags."""

import json
import sys
import time

import psutil
import pytest
import sentry_relay.processing as relay

from slotel.cli.sink.server import SentrySink
from slotel.runtime.process.ticker import INTERVAL
from support.launch import Launched, wait_until
from support.sentry_route import make_certificate, serving_tls


def errors(sink, text):
    return [
        event
        for event in sink.payloads("event")
        if event.get("exception") and text in json.dumps(event["exception"])
    ]


def transactions(sink, name):
    return [sent for sent in sink.payloads("transaction") if sent.get("transaction") == name]


def tags(event):
    return dict(event.get("tags") or {})


def test_an_error_and_its_transaction_share_trace_release_environment_and_tags(sink, flask_service):
    assert flask_service.get("/tagged-error/search")[0] == 500
    (error,) = wait_until(lambda: errors(sink, "failed for a team"), "the error arrives")
    (sent,) = wait_until(lambda: transactions(sink, "GET /tagged-error/<team>"), "the transaction arrives")
    assert error["contexts"]["trace"]["trace_id"] == sent["contexts"]["trace"]["trace_id"]
    assert error["transaction"] == sent["transaction"]
    for event in (error, sent):
        assert (event["release"], event["environment"]) == ("shop@1.2.3", "test")
        assert {key: tags(event)[key] for key in ("service", "team", "tier", "region")} == {
            "service": "shop", "team": "search", "tier": "unknown", "region": "eu-west-1",
        }  # fmt: skip


def test_each_error_handed_to_sentry_is_counted_under_its_project(sink, flask_service):
    def counted():
        return flask_service.sample("sentry_errors_total", project="42", environment="test")

    def arrived():
        return [
            event for each in list(sink.envelopes) if each.project == "42" for event in each.of_type("event")
        ]

    before = len(arrived())
    for _ in range(3):
        flask_service.get("/error")
    wait_until(lambda: len(arrived()) >= before + 3, "three errors arrive")
    # the ticker may report a breached budget meanwhile: that is an event, too
    wait_until(lambda: len(arrived()) == counted(), "as many are counted")


def test_no_secret_leaves(sink, flask_service):
    flask_service.get("/secret?token=tops3cret&page=2")
    wait_until(lambda: errors(sink, "with a secret beside it"), "the error arrives")
    wait_until(lambda: transactions(sink, "GET /secret"), "the transaction arrives")
    everything = json.dumps([sink.payloads("event"), sink.payloads("transaction")])
    assert "hunter2" not in everything
    assert "tops3cret" not in everything
    assert "tops3cret" not in flask_service.scrape()


def test_sentrys_server_accepts_every_payload_as_it_is(sink, flask_service, fastapi_service):
    for service in (flask_service, fastapi_service):
        for path in ("/items/1", "/error", "/tags/search"):
            service.get(path)
    wait_until(lambda: transactions(sink, "GET /items/{number}"), "the last service's transactions arrive")
    for event in (*sink.payloads("event"), *sink.payloads("transaction")):
        normalized = relay.StoreNormalizer(max_secs_in_past=None).normalize_event(dict(event))
        assert "errors" not in normalized, normalized["errors"]
        assert "_meta" not in normalized, normalized["_meta"]


def test_the_unhandled_error_of_fastapi_has_the_trace_of_its_span(sink, fastapi_service):
    def traces(events):
        own = [
            event
            for event in events
            if event.get("transaction") == "GET /error" and event["environment"] != "test"
        ]
        return {event["contexts"]["trace"]["trace_id"] for event in own}

    before = traces(sink.payloads("event"))
    fastapi_service.get("/error")
    wait_until(lambda: traces(sink.payloads("event")) > before, "the error arrives")
    wait_until(
        lambda: traces(sink.payloads("event")) == traces(sink.payloads("transaction")), "each has its trace"
    )


@pytest.mark.parametrize("conventions", ["", "http", "http/dup"])
def test_requests_to_sentry_itself_are_never_traced(conventions):
    with SentrySink() as sink:
        env = {"SENTRY_DSN": sink.dsn(1), "OTEL_SEMCONV_STABILITY_OPT_IN": conventions}
        with Launched(sys.executable, "flask_app.py", env=env) as service:
            service.wait_ready()
            for _ in range(5):
                service.get("/error")
            # the ticker may report a breached budget meanwhile: that is an event, too
            wait_until(lambda: len(errors(sink, "")) == 5 and sink.transactions >= 5, "all arrives")
            names = {labels["span_name"] for labels, _ in service.samples("traces_span_metrics_calls_total")}
        kinds = [json.dumps(sent) for sent in sink.payloads("transaction")]
    assert names == {"GET /error", "GET /healthz"}
    assert not [sent for sent in kinds if "/envelope/" in sent]


def test_a_breached_budget_is_one_warning_and_one_sentry_event():
    with SentrySink() as sink:
        env = {"SENTRY_DSN": sink.dsn(1), "ERROR_BUDGET_LIMIT": "5%", "SENTRY_TRACES_SAMPLE_RATE": "0"}
        with Launched(sys.executable, "flask_app.py", env=env) as service:
            service.wait_ready()
            for _ in range(10):
                service.get("/error")
            wait_until(lambda: "error budget breached: 'availability'" in service.log, "the warning")

            def said():
                return [
                    e
                    for e in sink.payloads("event")
                    if "error budget breached: 'availability' " in json.dumps(e)
                ]

            wait_until(said, "the event")
            time.sleep(
                2 * INTERVAL + 1
            )  # more looks: the limit and every tier are breached, and it is one incident
            (event,) = said()
            assert event["fingerprint"] == ["slotel", "error-budget", "shop", "availability"]
            assert "limit of 5% in 1h" in event["message"]
            assert (event["level"], event["tags"]["slo_severity"]) == ("error", "page")
            (line,) = [line for line in service.log.splitlines() if "error budget breached" in line]
            assert "page at 6× in 6h" in line
            assert "limit of 5% in 1h" in line
            assert service.sample("slo_events_total", slo_outcome="bad") == 10


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["loaded by the worker", "preloaded"])
def test_sending_never_stops_a_gevent_worker(preload, tmp_path):
    """gevent patches a worker after its fork; what waits by a primitive of before would stop every greenlet.

    Over TLS: urllib3's class of before the patching could not be set up.
    """
    folder = make_certificate(tmp_path)
    command = ("gunicorn", "-k", "gevent", *preload, "--bind", "127.0.0.1:{port}", "flask_app:app")
    with (
        SentrySink(tls=serving_tls(folder)) as sink,
        Launched(
            *command, env={"SENTRY_DSN": sink.dsn("44"), "SSL_CERT_FILE": str(folder / "cert.pem")}
        ) as service,
    ):
        service.wait_ready()
        for _ in range(4):
            assert service.get("/error")[0] == 500
            assert service.get("/ok")[0] == 200
            # the sender has sent and sleeps: the next request is answered only if that stops nobody
            wait_until(lambda: transactions(sink, "GET /ok"), "transactions arrive", 20)
        wait_until(lambda: len(errors(sink, "no such order")) == 4, "each error arrives", 20)
        wait_until(lambda: len(transactions(sink, "GET /ok")) == 4, "each transaction arrives", 20)


def test_what_killed_workers_had_not_sent_is_counted_as_lost():
    """Sentry is away: events and transactions wait in the workers, and go with them; their requests are counted."""
    command = ("gunicorn", "-w", "2", "--bind", "127.0.0.1:{port}", "flask_app:app")
    limit = {"ERROR_BUDGET_LIMIT": "45%"}  # a breached one would be an event, too
    with SentrySink() as sink, Launched(*command, env={"SENTRY_DSN": sink.dsn("45"), **limit}) as service:
        service.wait_ready()
        calls = {"name": "traces_span_metrics_calls_total", "span_kind": "SPAN_KIND_SERVER"}
        wait_until(lambda: 0 < sink.transactions == service.sample(**calls), "the first transactions arrive")
        sink.set_fault("refuse")
        sent = sink.transactions
        for number in range(40):
            service.get("/error" if number % 10 == 0 else "/ok")
        for worker in psutil.Process(service.pid).children():
            worker.kill()

        def lost(signal):
            try:
                return service.sample("slotel_dropped_total", signal=signal, reason="killed")
            except OSError:
                return 0

        def all_counted():  # one of before that arrived, whose answer the fault cut off, is not known to have arrived
            return 40 <= lost("traces") <= 40 + sent and lost("errors") == 4

        wait_until(all_counted, "all that waited is counted")
        assert sink.transactions == sent
        assert service.sample("slo_events_total", slo_outcome="bad") == 4
