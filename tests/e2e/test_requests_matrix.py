"""Every way in which a request can go, over real servers, beside plain sentry-sdk. `make requests` runs all services."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from slotel.cli.sink.server import SentrySink
from support.kept import kept
from support.launch import clean_environ, wait_until
from support.requests_cases import FOLDER, SERVICES
from support.requests_matrix import APPS_BIN, apps_installed, launch, run

applications = pytest.mark.skipif(
    not (APPS_BIN / "opentelemetry-instrument").exists() and os.environ.get("REQUIRE_REAL") != "1",
    reason="the applications are not installed: make apps",
)
QUICK = ("Flask, gunicorn gthread", "bare ASGI, uvicorn")
"""What `make test` has time for."""


@applications
@pytest.mark.parametrize("service", [service for service in SERVICES if service.name in QUICK], ids=QUICK)
def test_each_request_is_answered_counted_named_and_reported_as_the_table_says(service):
    ran = run(service)
    assert len(ran.cells) > 5
    assert ran.faults(service) == []


BREAK = (
    "/raises",
    "/stream-breaks",
    "/stream-fails",
    "/sized-stream-breaks",
    "/file-breaks",
    "/too-short",
    "/teardown-raises",
)
FEW = {
    "Tornado": (
        "/items/7",
        "/handled",
        "/stream-breaks",
        "/sized-stream-breaks",
        "/unfinished",
        "/raises-after",
        "/prepare-raises",
        "/finish-raises",
        "/error-fails",
        "/endless",
    ),
    "FastAPI's own telemetry, uvicorn": ("/socket", "/socket-fails", "/missing.php"),
    "Flask, uwsgi": (*BREAK, "/endless"),
    "Django, uwsgi": ("/raises", "/stream-breaks", "/too-short", "/upload"),
    "Flask, werkzeug's debugger": BREAK,
    "bare WSGI, granian": ("/begun-raises", "/raises"),
    "Starlette, uvicorn": ("/socket", "/after", "/stream-fails", "/file-gone", "/refused-header"),
}
"""Of services that `make requests` asks whole."""


@applications
@pytest.mark.parametrize("name", FEW)
def test_a_few_requests_are_answered_counted_named_and_reported_as_the_table_says(name):
    service = next(each for each in SERVICES if each.name == name)
    ran = run(service, FEW[name])
    assert {case.path for case, _, _ in ran.cells} == set(FEW[name])
    assert ran.faults(service) == []


SENT_BY_AIOHTTP = (
    "/ok", "/raises", "/stream-breaks", "/too-short", "/sub/ok", "/body-breaks", "/database-breaks", "/body-endless", "/refused-header",
    "/end-fails", "/signal-fails",
)  # fmt: skip


@applications
@pytest.mark.parametrize("name", ["aiohttp", "aiohttp uninstrumented"])
def test_an_answer_of_aiohttp_that_fails_after_its_middlewares_fails_its_request(name):
    service = next(each for each in SERVICES if each.name == name)
    ran = run(service, SENT_BY_AIOHTTP)
    assert len(ran.cells) >= len(SENT_BY_AIOHTTP) - 1
    assert ran.faults(service) == []


@applications
@pytest.mark.parametrize("name", ["aiohttp", "aiohttp uninstrumented"])
def test_a_file_that_aiohttp_sends_has_the_status_that_its_client_gets(name):
    service = next(each for each in SERVICES if each.name == name)
    asked = [
        ("/file", {}), ("/file", {"Range": "bytes=0-3"}), ("/file", {"Range": "bytes=9999999-"}), ("/no-file", {}),
        ("/file", {"If-None-Match": "*"}), ("/file", {"If-Match": '"other"'}),
    ]  # fmt: skip
    labels = "http_response_status_code"
    with SentrySink() as sink:
        env = {"SENTRY_DSN": sink.dsn("1"), "SENTRY_TRACES_SAMPLE_RATE": "1"}
        with launch(service, launcher=True, **env).wait_ready("/no-file") as running:
            got = ["404"] * running.requests + [str(running.get(*each)[0]) for each in asked]
            assert set(got) == {"200", "206", "416", "404", "304", "412"}
            for metric in ("traces_span_metrics_calls_total", "http_server_request_duration_seconds_count"):
                if name == "aiohttp" or metric.startswith("traces"):
                    wait_until(
                        lambda metric=metric: sum(value for _, value in running.samples(metric)) == len(got),
                        "each request is counted",
                    )
                    told = {found[labels]: value for found, value in running.samples(metric)}
                    assert told == Counter(got)
            sink.wait_for(lambda sink: len(sink.payloads("transaction")) == len(got), 60)
            sent = [
                each["contexts"]["trace"]["data"]["http.response.status_code"]
                for each in sink.payloads("transaction")
            ]
            assert sorted(map(str, sent)) == sorted(got)


INSTRUMENTATION = "opentelemetry.instrumentation"
ALL = {"/ok": "good", "/raises": "bad", "/database-breaks": "bad", "/body-breaks": "bad"}
UNSEEN = {"/database-breaks": "good", "/body-breaks": "good"}
WITHOUT = {
    "aiohttp.web_protocol.RequestHandler._handle_request": ("aiohttp", {**ALL, **UNSEEN}),
    "aiohttp.web_protocol.RequestHandler.log_access": ("aiohttp", {**ALL, "/database-breaks": "excluded"}),
    "aiohttp.web_response.StreamResponse.prepare": ("aiohttp", ALL),
    "aiohttp.web_response.StreamResponse.write_eof": ("aiohttp", ALL),
    "aiohttp.web_server.Server.__init__": ("aiohttp", {**ALL, **UNSEEN}),
    f"{INSTRUMENTATION}.aiohttp_server._excluded_urls": ("aiohttp", ALL),
    f"{INSTRUMENTATION}.aiohttp_server.duration_histogram_new": ("aiohttp", ALL),
    **dict.fromkeys(
        (f"{INSTRUMENTATION}.tornado._finish_span", f"{INSTRUMENTATION}.tornado._HANDLER_CONTEXT_KEY",
         "tornado.web.RequestHandler._handle_request_exception"),
        ("Tornado", {"/ok": "good", "/raises": "bad", "/handled": "bad"}),
    ),
}  # fmt: skip
"""Name of a probe → service, and how its paths count without the name."""


@applications
@pytest.mark.parametrize("gone", WITHOUT)
def test_without_a_name_of_a_framework_it_serves_on_counts_and_says_so(gone):
    name, expected = WITHOUT[gone]
    service = next(each for each in SERVICES if each.name == name)
    with launch(service, launcher=True, GONE=gone).wait_ready("/ok") as running:
        assert running.said(f"{gone}_gone is gone in this release")
        got = Counter(good=running.requests)
        for path, outcome in expected.items():
            with contextlib.suppress(http.client.IncompleteRead):
                running.get(path)
            got[outcome] += 1
            wait_until(
                lambda: (
                    {
                        found["slo_outcome"]: value
                        for found, value in running.samples("slo_events_total")
                        if value
                    }
                    == got
                ),
                f"{got} are counted",
            )


@applications
@pytest.mark.parametrize("name", ["Falcon, gunicorn sync", "Pyramid, waitress"])
def test_a_clients_own_word_for_a_method_is_no_name(name):
    service = next(each for each in SERVICES if each.name == name)
    with launch(service, launcher=True).wait_ready("/ok") as running:
        for method, path in (("BREW", "/ok"), ("XYZ", "/ok"), ("BREW", "/missing.php")):
            with contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
            ) as asking:
                asking.request(method, path)
                asking.getresponse().read()
        calls = "traces_span_metrics_calls_total"
        wait_until(lambda: sum(value for _, value in running.samples(calls)) == 4, "all are counted")
        named = {labels["span_name"]: value for labels, value in running.samples(calls)}
        assert named == {"GET /ok": 1, "HTTP /ok": 2, "HTTP": 1}


def services_of(pid):
    """The processes that the threads of a process have started."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in threads for child in each.read_text().split()]


@applications
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_ends_its_services(number):
    script = Path(__file__).parents[1] / "support" / "requests_matrix.py"
    driver = subprocess.Popen(
        [sys.executable, script, "flask, gunicorn gthread"], env=clean_environ(), stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: len(services_of(driver.pid)) == 2, "a service runs with slotel, and one without")
        services = services_of(driver.pid)
        driver.send_signal(number)
        assert driver.wait(60) == 128 + number
        wait_until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in services),
            "their parent has waited for them",
        )
    finally:
        driver.kill()
        driver.wait()


def told_by(*command):
    """Run a script that prints what was counted; return that, and the types of the exceptions that were sent."""
    with SentrySink() as sink:
        done = subprocess.run(
            [str(APPS_BIN / "opentelemetry-instrument"), str(APPS_BIN / "python"), *command],
            cwd=FOLDER,
            env=clean_environ(OTEL_SERVICE_NAME="shop", OTEL_METRICS_EXPORTER="none", SENTRY_DSN=sink.dsn("1")),
            capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        events = [
            event["exception"]["values"][-1]["type"]
            for event in sink.payloads("event")
            if "exception" in event
        ]
    return json.loads(done.stdout.splitlines()[-1]), sorted(events)


GOOD, BAD, EXCLUDED = {"good": 1.0}, {"bad": 1.0}, {"excluded": 1.0}


@applications
def test_a_job_of_celery_is_judged_by_what_its_task_says_and_control_flow_is_no_event():
    counted, events = told_by("celery_jobs.py")
    assert counted == {
        "succeeds": GOOD, "fails": BAD, "expected": GOOD, "expected_unpickled": GOOD, "ignored": EXCLUDED, "rejected": EXCLUDED,
        "retried": {**BAD, **EXCLUDED},
    }  # fmt: skip
    assert events == ["ValueError", "ValueError"]  # of `fails`, and the last of `retried`


CALLS = {
    "ok": GOOD, "raises": BAD, "raises_bare": BAD, "rich_status": BAD, "rich_refusal": GOOD, "not_found": GOOD, "internal": BAD, "data_loss": BAD, "stream_breaks": BAD,
    "gives_none": BAD, "stream_number": BAD, "no_such_method": BAD, "no_such_other": BAD, "interceptor_raises": BAD,
    "ok unreadable": BAD, "takes_unreadable": BAD, "leaves": EXCLUDED, "late": BAD, "stream_late": BAD,
}  # fmt: skip
CALLS_OF = {
    "sync": {"stream_text": BAD, "uncompressed": GOOD, "late_refusal": BAD, "late_raises": BAD},
    "aio": {
        "stream_text": GOOD, "synchronous_none": BAD, "stream_written": GOOD, "stream_written_breaks": BAD, "synchronous": GOOD,
        "synchronous_raises": BAD, "synchronous_not_found": GOOD, "synchronous_stream": GOOD,
    },
}  # fmt: skip


def called_alone(server):
    return subprocess.run(
        [str(APPS_BIN / "python"), "grpc_calls.py", server, "alone"],
        cwd=FOLDER, env=clean_environ(), capture_output=True, text=True, timeout=300, check=True,
    ).stdout  # fmt: skip


@applications
@pytest.mark.parametrize(("server", "types", "values"), [("sync", 5, 4), ("aio", 5, 5)])
def test_a_call_of_grpc_is_answered_as_without_slotel_and_judged_by_the_code_that_its_client_gets(
    server, types, values
):
    alone = kept(f"grpc_calls.py {server}".encode() + apps_installed(), lambda: called_alone(server))
    codes = {name: told[0] for name, told in json.loads(alone.splitlines()[-1]).items() if told}
    counted, events = told_by("grpc_calls.py", server)
    names = counted.pop("names")
    assert {name: code for name, (code, _) in counted.items()} == codes
    expected = CALLS | CALLS_OF[server]
    assert {name: outcomes for name, (_, outcomes) in counted.items()} == expected
    bad = {name for name, outcomes in expected.items() if outcomes == BAD}
    assert {name.removeprefix("/shop.Shop/") for name in names} <= {*counted, "grpc"}
    assert not [name for name in names if "no_such" in name]  # a client's own word has no bound
    failed = {name for name, status in names.items() if status == "ERROR"}
    assert failed == {f"/shop.Shop/{name}" for name in bad if f"/shop.Shop/{name}" in names} | {"grpc"}
    assert events == ["Exception"] + ["TypeError"] * types + ["ValueError"] * values
