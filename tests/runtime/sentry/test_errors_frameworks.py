"""Errors in real frameworks, under real auto-instrumentation: one event each, with the span, the name and the tags of it."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
import sentry_relay.processing as relay

from slotel.cli.sink.server import SentrySink
from support.launch import APPS, LAUNCHER, Launched, clean_environ, wait_until

CWD = APPS / "errors"
YAML = """\
version: 1
tags:
  set: {region: eu-west-1}
  required:
    team: {default: payments}
  redact: [user_card]
"""
RESOURCE = "service.version=1.2/3,deployment.environment.name=stage/x,host.name=box-1"
_PROJECT = count(os.getpid() * 1000)  # no straggler of another run speaks for ours


class Failing:
    """A failing service and what Sentry got of it."""

    def __init__(self, sink: SentrySink, project: str, service: Launched) -> None:
        self.sink = sink
        self.project = project
        self.service = service

    def events(self, path: str) -> list[dict]:
        """Events of the requests to a path; slotel tells no two services of one sink apart but by their project."""
        return [each for each in self.all() if each.get("request", {}).get("url", "").endswith(path)]

    def all(self) -> list[dict]:
        found = []
        for envelope in list(self.sink.envelopes):
            if envelope.project == self.project:
                found += envelope.of_type("event")
        return found

    def fail(self, path: str, status: int = 500, headers: dict | None = None) -> dict:
        """Return the one event of a request, once the next request's event has come too."""
        assert self.service.get(path, headers)[0] == status
        wait_until(lambda: self.events(path), f"an event of {path}")
        self.settle()
        (event,) = self.events(path)
        return event

    def settle(self) -> None:
        """Let one more error pass: what was sent before it has arrived."""
        before = len(self.events("/plain"))
        self.service.get("/plain")
        wait_until(lambda: len(self.events("/plain")) > before, "the next error")


@pytest.fixture(scope="session")
def sink():
    with SentrySink() as started:
        yield started


@pytest.fixture(scope="session")
def environ(tmp_path_factory):
    path = tmp_path_factory.mktemp("slotel") / "slotel.yaml"
    path.write_text(YAML)
    return {"SLOTEL_CONFIG": str(path), "OTEL_RESOURCE_ATTRIBUTES": RESOURCE}


def serve(sink, environ, *command, **more):
    project = str(next(_PROJECT))
    env = {**environ, "SENTRY_DSN": sink.dsn(project), **more}
    with Launched(sys.executable, *command, env=env, cwd=CWD) as service:
        service.wait_ready()
        yield Failing(sink, project, service)


@pytest.fixture(scope="session")
def flask(sink, environ):
    yield from serve(sink, environ, "flask_app.py")


@pytest.fixture(scope="session")
def fastapi(sink, environ):
    yield from serve(sink, environ, "fastapi_app.py")


@pytest.fixture(scope="session")
def django(sink, environ):
    yield from serve(sink, environ, "django_app.py", DJANGO_SETTINGS_MODULE="django_settings")


@pytest.fixture(scope="session")
def django_asgi(sink, environ):
    yield from serve(sink, environ, "django_app.py", "asgi", DJANGO_SETTINGS_MODULE="django_settings")


@pytest.fixture
def failing(request):
    return request.getfixturevalue(request.param)


def span_of(event):
    trace = event["contexts"]["trace"]
    return f"{trace['trace_id']}-{trace['span_id']}"


def message_of(event):
    return event["exception"]["values"][-1]["value"]


TABLE = [
    ("flask", "/error/red", "GET /error/<team>"),
    ("django", "/error/red", "GET error/<str:team>"),
    ("django_asgi", "/error/red", "GET error/<str:team>"),
    ("django_asgi", "/later/red", "GET later/<str:team>"),
    ("fastapi", "/error/red", "GET /error/{team}"),
    ("fastapi", "/sync/red", "GET /sync/{team}"),
]


@pytest.mark.parametrize(("failing", "path", "name"), TABLE, indirect=["failing"])
def test_an_unhandled_error_is_one_event_with_the_span_the_route_and_the_tags(failing, path, name):
    event = failing.fail(path)
    assert message_of(event) == span_of(event)
    assert event["transaction"] == name
    assert event["transaction_info"] == {"source": "route"}
    assert event["tags"] == {"service": "shop", "team": "red", "region": "eu-west-1"}
    assert event["exception"]["values"][-1]["mechanism"]["handled"] is False
    assert event["release"] == "1.2-3"
    assert event["environment"] == "stage-x"
    assert event["server_name"] == "box-1"
    assert event["request"]["method"] == "GET"
    assert {name.lower() for name in event["request"]["headers"]} >= {"host", "user-agent"}


WAYS = (
    "chained", "while_handling", "group", "captured", "logged", "logged_as_argument", "through_spans", "raised_again",
)  # fmt: skip
"""Of tests/apps/errors/ways.py."""
_PLACES = [
    ("flask", "/way"), ("django", "/way"), ("django_asgi", "/way"), ("django_asgi", "/later-way"),
    ("fastapi", "/way"), ("fastapi", "/sync-way"),
]  # fmt: skip


@pytest.mark.parametrize(("failing", "path"), _PLACES, indirect=["failing"])
def test_an_exception_is_one_event_however_it_is_chained_grouped_captured_logged_and_raised_again(
    failing, path
):
    for way in WAYS:
        assert failing.service.get(f"{path}/{way}")[0] == 500
    wait_until(lambda: all(failing.events(f"{path}/{way}") for way in WAYS), "an event of each")
    failing.settle()
    for way in WAYS:
        (event,) = failing.events(f"{path}/{way}")
        assert message_of(event).startswith(span_of(event)), way


@pytest.mark.parametrize("failing", ["flask", "django", "django_asgi", "fastapi"], indirect=True)
def test_the_event_names_the_innermost_span_that_failed(failing):
    event = failing.fail("/inner")
    assert message_of(event) == span_of(event)
    assert event["transaction"].endswith("inner")


@pytest.mark.parametrize("failing", ["flask", "django", "django_asgi", "fastapi"], indirect=True)
def test_tags_of_one_request_are_not_on_the_next(failing):
    failing.fail("/error/leaking")
    event = failing.events("/plain")[-1]
    assert event["tags"] == {"service": "shop", "team": "payments", "region": "eu-west-1"}
    assert "id" not in event.get("user", {})


@pytest.mark.parametrize("failing", ["flask", "django", "django_asgi", "fastapi"], indirect=True)
def test_an_incoming_traceparent_or_a_sentry_trace_alone_is_continued(failing):
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    path = "/error/continued"
    failing.service.get(
        path,
        {
            "traceparent": f"00-{trace_id}-b7ad6b7169203331-01",
            "sentry-trace": "f" * 32 + "-" + "e" * 16 + "-1",
        },
    )
    failing.service.get(path, {"sentry-trace": f"{trace_id}-b7ad6b7169203331-0"})
    wait_until(lambda: len(failing.events(path)) == 2, "both errors")
    assert [each["contexts"]["trace"]["trace_id"] for each in failing.events(path)] == [trace_id, trace_id]
    ids = {each["event_id"] for each in failing.events(path)}
    sent = [
        each
        for each in failing.sink.envelopes
        if ids & {event["event_id"] for event in each.of_type("event")}
    ]
    # the service that began the trace has said nothing of its sampling
    assert [each.header.get("trace") or {} for each in sent] == [{}, {}]


@pytest.mark.parametrize("failing", ["flask", "django", "django_asgi", "fastapi"], indirect=True)
def test_every_event_passes_the_normalizer_of_sentrys_server_untouched(failing):
    failing.fail("/error/valid")
    normalizer = relay.StoreNormalizer(max_secs_in_past=None)
    for event in failing.all():
        normalized = normalizer.normalize_event(event)
        assert not normalized.get("errors")
        assert not normalized.get("_meta")
        assert normalized["contexts"]["trace"]["trace_id"] == event["contexts"]["trace"]["trace_id"]


@pytest.mark.parametrize("failing", ["flask", "django", "fastapi"], indirect=True)
def test_every_error_event_is_counted_before_it_leaves_those_of_a_breached_budget_too(failing):
    def counted():
        return failing.service.sample("sentry_errors_total", project=failing.project, environment="stage-x")

    def told_of_breach():
        assert len(failing.all()) <= counted()  # in this order: the ticker sends whenever it likes
        return {"slotel.budget"} <= {each.get("logger") for each in failing.all()}

    for _ in range(5):
        failing.settle()
    wait_until(told_of_breach, "the events of the breached budget")
    wait_until(lambda: len(failing.all()) == counted(), "as many events as are counted")
    assert len({each["event_id"] for each in failing.all()}) == len(failing.all())
    dropped = {labels["signal"] for labels, _ in failing.service.samples("slotel_dropped_total")}
    assert dropped <= {"error_detail"}, (
        "no event is dropped; of a kind that comes often, variables are left out"
    )
    assert failing.service.samples("slotel_stage_errors_total") == []


def test_a_posted_body_is_shown_and_its_secrets_are_not(flask):
    import json
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        f"http://127.0.0.1:{flask.service.port}/error/posted?api_key=hunter2",
        data=json.dumps({"order": 7, "password": "hunter2", "user_card": "hunter2"}).encode(),
        headers={"Content-Type": "application/json", "Authorization": "Bearer hunter2"},
    )
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=60)
    wait_until(lambda: flask.events("/error/posted"), "the event")
    (event,) = flask.events("/error/posted")
    assert event["request"]["data"]["order"] == 7
    assert "hunter2" not in str(event["request"])


def test_local_variables_and_extras_are_redacted(flask):
    event = flask.fail("/secret")
    assert "hunter2" not in str({**event, "exception": _without_source(event)})


def _without_source(event):
    """The exception without the app's source lines, in which this test's secret stands in plain text."""
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    return [frame.get("vars") for frame in frames]


def test_a_logged_exception_is_one_event_of_its_request(flask):
    event = flask.fail("/handled", status=200)
    assert message_of(event) == span_of(event)
    assert event["logentry"]["message"] == "could not load"
    assert event["transaction"] == "GET /handled"


def test_a_thread_that_a_request_started_reports_under_the_requests_trace_and_tags(flask):
    event = flask.fail("/thread", status=200)
    assert message_of(event) == span_of(event)
    assert event["tags"]["team"] == "blue"
    assert event["transaction"] == "GET /thread"


def test_an_answer_that_flask_was_asked_for_is_no_error(flask):
    flask.service.get("/abort")
    flask.settle()
    assert flask.events("/abort") == []


def test_a_task_that_a_request_started_reports_under_the_requests_trace_and_tags(fastapi):
    event = fastapi.fail("/task", status=200)
    assert message_of(event) == span_of(event)
    assert event["tags"]["team"] == "green"


def test_a_background_task_reports_under_the_requests_trace_and_tags(fastapi):
    event = fastapi.fail("/background", status=200)
    assert message_of(event).split("-")[0] == span_of(event).split("-")[0]
    assert event["tags"]["team"] == "violet"


def test_http_exceptions_of_5xx_are_reported_and_expected_answers_are_not(fastapi, django):
    event = fastapi.fail("/unavailable", status=503)
    assert event["exception"]["values"][-1]["type"] == "HTTPException"
    assert event["exception"]["values"][-1]["mechanism"]["handled"] is True
    assert fastapi.service.get("/missing")[0] == 404
    assert fastapi.service.get("/expected")[0] == 409
    assert django.service.get("/missing")[0] == 404
    fastapi.settle()
    django.settle()
    assert fastapi.events("/missing") == fastapi.events("/expected") == django.events("/missing") == []


# -- Celery ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def celery(sink, environ, tmp_path_factory):
    project = str(next(_PROJECT))
    broker = tmp_path_factory.mktemp("broker")
    env = {**environ, "SENTRY_DSN": sink.dsn(project), "APP_BROKER": str(broker)}
    command = [
        str(Path(sys.executable).with_name("celery")),
        "-A",
        "celery_app",
        "worker",
        "-P",
        "prefork",
        "-c",
        "1",
    ]
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "warning"]
    with Launched(*command, *options, env=env, cwd=CWD) as worker:
        yield Failing(sink, project, worker), env


def send(env, *tasks):
    variables = clean_environ(**{**env, "OTEL_METRICS_EXPORTER": "none", "OTEL_SERVICE_NAME": "sender"})
    subprocess.run(
        [str(LAUNCHER), sys.executable, "celery_app.py", *tasks],
        env=variables,
        cwd=CWD,
        check=True,
        timeout=170,
    )


def test_a_failed_celery_task_is_one_event_and_an_expected_failure_is_none(celery):
    failing, env = celery
    send(env, "shop.expected", "shop.fail red", "shop.retry", "shop.plain")
    expected = ["run/shop.fail", "run/shop.plain", "run/shop.retry"]
    wait_until(lambda: {each["transaction"] for each in failing.all()} >= set(expected), "all that fail")
    assert sorted(each["transaction"] for each in failing.all()) == expected
    first = next(each for each in failing.all() if each["transaction"] == "run/shop.fail")
    last = next(each for each in failing.all() if each["transaction"] == "run/shop.plain")
    assert message_of(first) == span_of(first)
    assert message_of(last) == span_of(last)
    assert first["tags"].items() >= {"team": "red", "region": "eu-west-1"}.items()
    assert last["tags"]["team"] == "payments"
    assert first["transaction_info"] == {"source": "task"}
    assert first["extra"]["celery-job"]["task_name"] == "shop.fail"


def test_an_exception_of_a_celery_task_that_cannot_be_pickled_is_reported_as_it_was_raised(celery):
    """Celery's result and signals have one of a base class in its place."""
    failing, env = celery
    before = {each["event_id"] for each in failing.all()}
    send(env, "shop.expected_unpickled", "shop.unpickled")

    def new():
        return [each for each in failing.all() if each["event_id"] not in before]

    wait_until(lambda: any(each["transaction"] == "run/shop.unpickled" for each in new()), "the event")
    (event,) = new()
    (error,) = event["exception"]["values"]
    assert (error["type"], error["module"], error["value"]) == (
        "UnpickledError",
        "celery_app",
        span_of(event),
    )


def test_an_exception_of_a_celery_task_is_one_event_too_and_a_rejected_task_is_none(celery):
    failing, env = celery
    before = {each["event_id"] for each in failing.all()}
    send(env, "shop.reject", *(f"shop.way {way}" for way in WAYS), "shop.fail last")

    def arrived(task):
        new = (each for each in failing.all() if each["event_id"] not in before)
        return [each for each in new if each.get("transaction") == f"run/shop.{task}"]

    wait_until(lambda: arrived("fail") and len(arrived("way")) >= len(WAYS), "all that fail")
    assert [message_of(each).startswith(span_of(each)) for each in arrived("way")] == [True] * len(WAYS)
    assert arrived("reject") == []


# -- scripts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["uncaught", "thread", "task", "twice", *WAYS])
def test_an_error_of_a_script_is_one_event_with_the_span_that_failed(sink, environ, way):
    (event,) = run_script(sink, environ, way)
    assert message_of(event).startswith(span_of(event))
    assert event["transaction"] == "nightly"
    assert event["tags"] == {"team": "payments", "region": "eu-west-1"}


def test_an_error_outside_of_every_span_carries_the_tags_of_the_service(sink, environ):
    (event,) = run_script(sink, environ, "no-span")
    assert event["tags"] == {"team": "payments", "region": "eu-west-1"}


def run_script(sink, environ, way):
    project = str(next(_PROJECT))
    variables = {**environ, "SENTRY_DSN": sink.dsn(project), "OTEL_METRICS_EXPORTER": "none"}
    command = [str(LAUNCHER), sys.executable, "script.py", way]
    subprocess.run(command, env=clean_environ(**variables), cwd=CWD, timeout=170, capture_output=True)
    return [
        event
        for envelope in list(sink.envelopes)
        if envelope.project == project
        for event in envelope.of_type("event")
    ]
