"""An app that calls sentry_sdk.init itself: nothing is traced twice, slotel's tags and trace ids are on its events."""

import json
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest
from sentry_sdk.consts import DEFAULT_OPTIONS, VERSION

from slotel.cli.sink.envelope import unpacked
from slotel.cli.sink.server import SentrySink
from support.launch import APPS, LAUNCHER, Launched, clean_environ, wait_until
from support.sentry_app import run_app

YAML = "version: 1\ntags: {required: {team: {default: payments}}}\n"


class Own:
    def __init__(self, sink, service, way):
        self.sink = sink
        self.service = service
        self.way = way

    def events(self, path):
        """Events of the requests to a path; that of a breached budget is of none."""
        sent = self.sink.payloads("event")
        return [each for each in sent if each.get("request", {}).get("url", "").endswith(path)]

    def all_are_counted(self, **labels):
        def counted():
            return self.service.sample("sentry_errors_total", **labels)

        wait_until(lambda: len(self.sink.payloads("event")) == counted(), "as many are counted as arrive")

    def transactions(self, path):
        return [each for each in self.sink.payloads("transaction") if each["transaction"].endswith(path)]


@pytest.fixture(scope="module", params=["none", "before", "after", "late", "bound", "by-hand"])
def own(request, tmp_path_factory):
    config = tmp_path_factory.mktemp("slotel") / "slotel.yaml"
    config.write_text(YAML)
    way = request.param
    with SentrySink() as sink:
        dsn = sink.dsn(7)
        env = {"SLOTEL_CONFIG": str(config), "APP_DSN": dsn, **({} if way == "late" else {"SENTRY_DSN": dsn})}
        command = (sys.executable, "own_init.py", way)
        with Launched(
            *command, env=env, cwd=APPS / "errors", launcher=way in ("none", "after", "late")
        ) as service:
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
    own.all_are_counted(project="7")


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
    # sentry-sdk 3 makes no event of a line, where the app's `init` is not the one that slotel has completed
    dropped = 1 if own.way in {"before", "bound", "by-hand"} and VERSION.startswith("3") else 2
    wait_until(
        lambda: own.service.sample("slotel_dropped_total", signal="errors", reason="before_send") == dropped,
        "dropped are the exception and, as by plain sentry-sdk, uvicorn's line about it",
    )
    own.all_are_counted(environment="live")


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
    assert own.sink.payloads("span") == []  # of the app's own integrations, with sentry-sdk 3


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
    assert own.way == "none" or own.service.said("sentry_sdk.init")
    said = [line for line in own.service.log.splitlines() if "sentry_sdk.init" in line]
    assert len(said) == (0 if own.way == "none" else 1)
    assert all("SENTRY_TRACES_SAMPLE_RATE=1.0" in line for line in said)


class Moving(Own):
    """A service that moves from project 7, slotel's, to 8, the app's, when `/init` is asked for."""

    def of(self, project, kind):
        return [
            each for item in self.sink.envelopes if item.project == project for each in item.of_type(kind)
        ]

    def wait(self, project, kind, name):
        def found():
            texts = (each.get("transaction", "") for each in self.of(project, kind))
            return [text for text in texts if text.endswith(name)]

        wait_until(found, f"a {kind} {name} in project {project}")
        return found()


@contextmanager
def moving(**env):
    with SentrySink() as sink:
        env = {
            "SENTRY_DSN": sink.dsn(7),
            "APP_DSN": sink.dsn(8),
            "OTEL_METRICS_EXPORTER": "prometheus",
            **env,
        }
        with Launched(sys.executable, "own_init.py", "none", env=env, cwd=APPS / "errors") as service:
            service.wait_ready()
            yield Moving(sink, service, "none")


@pytest.mark.parametrize(
    "mode",
    [
        "transactions",
        pytest.param("sdk", marks=pytest.mark.skipif(not VERSION.startswith("2."), reason="2.x only")),
    ],
)
def test_transactions_move_with_the_errors_to_a_client_that_the_app_makes_later(mode):
    with moving(SLOTEL_SENTRY_MODE=mode) as own:
        own.service.get("/headers")
        own.wait("7", "transaction", "/headers")
        own.service.get("/init")
        own.service.get("/unwanted")
        own.service.get("/headers")
        own.service.get("/error")
        assert own.wait("8", "transaction", "/headers") == ["GET /headers"]
        own.wait("8", "event", "/error")
        own.wait("8", "transaction", "/error")
        (moved,) = (each for each in own.of("8", "transaction") if each["transaction"].endswith("/headers"))
        assert (moved["release"], moved["environment"]) == ("app-1", "live")
        if "before_send_transaction" in DEFAULT_OPTIONS:  # sentry-sdk 3 has none
            names = [each["transaction"] for each in own.of("8", "transaction")]
            assert moved["tags"]["seen"] == "by the app"
            assert not [name for name in names if name.endswith("/unwanted")]
        assert [each["transaction"] for each in own.of("7", "event")] == []
        assert not {"GET /error", "GET /unwanted"} & {
            each["transaction"] for each in own.of("7", "transaction")
        }
        traces = [each["contexts"]["trace"]["trace_id"] for each in own.sink.payloads("transaction")]
        assert len(set(traces)) == len(traces)
        assert own.service.said("sentry_sdk.init")
        said = [line for line in own.service.log.splitlines() if "sentry_sdk.init" in line]
        assert len(said) == 1
        assert "project 8" in said[0]


def test_spans_by_otlp_move_too():
    with moving(SLOTEL_SENTRY_MODE="otlp", OTEL_BSP_SCHEDULE_DELAY="200") as own:

        def spans(project):
            target = f"/api/{project}/integration/otlp/v1/traces/"
            bodies = (each for each in list(own.sink.others) if each.target == target)
            return b"".join(unpacked(each.body, each.headers.get("content-encoding", "")) for each in bodies)

        own.service.get("/headers")
        own.service.get("/init")
        wait_until(lambda: b"/headers" in spans(7), "the first span in project 7")
        own.service.get("/headers")
        wait_until(lambda: b"/headers" in spans(8), "the second span in project 8")
        assert b"app-1" in spans(8)
        assert b"app-1" not in spans(7)


def test_a_client_without_a_dsn_turns_errors_off_and_the_log_says_where_traces_go():
    with moving(APP_DSN="") as own:
        own.service.get("/init")
        own.service.get("/headers")
        own.wait("7", "transaction", "/headers")
        assert own.service.said("sentry_sdk.init")
        (said,) = [line for line in own.service.log.splitlines() if "sentry_sdk.init" in line]
        assert "WARNING slotel: the app calls sentry_sdk.init without a DSN" in said
        assert "project 7" in said


ENDS_AT_ONCE = """
import os, time, sentry_sdk
from opentelemetry import trace
endpoint = sentry_sdk.get_client().transport.sender.endpoint
post = endpoint.post
endpoint.post = lambda *given, **how: (time.sleep(0.1), post(*given, **how))[1]  # a slow server
for dsn in ("", os.environ["APP_DSN"]):
    if dsn:
        sentry_sdk.init(dsn)
    for number in range(5):
        with trace.get_tracer("t").start_as_current_span(f"job {number}"):
            sentry_sdk.capture_exception(ValueError(number))
"""


def test_what_the_former_client_holds_leaves_too_when_the_script_ends_at_once():
    with SentrySink() as sink:
        env = clean_environ(SENTRY_DSN=sink.dsn(7), APP_DSN=sink.dsn(8), OTEL_METRICS_EXPORTER="none")
        command = [str(LAUNCHER), sys.executable, "-c", ENDS_AT_ONCE]
        subprocess.run(command, env=env, check=True, timeout=170, capture_output=True)
        errors = Counter(each.project for each in sink.envelopes if each.of_type("event"))
        traces = [each["contexts"]["trace"]["trace_id"] for each in sink.payloads("transaction")]
    assert errors == {"7": 5, "8": 5}
    assert len(set(traces)) == len(traces) == 10


BOTH = {"SENTRY_DSN": "{dsn}/7", "APP_DSN": "{dsn}/8"}

ANOTHER_INIT = """
import os, sys, sentry_sdk
if sys.argv[1:] == ["init"]:
    sentry_sdk.init(os.environ["SENTRY_DSN"], release="old", environment="first", traces_sample_rate=1.0)

def asks(event, hint):
    event.setdefault("tags", {})["asked"] = sentry_sdk.get_client().options["release"]
    return event

def sees(event, hint):
    event["tags"]["seen"] = "by the second"
    return event

sentry_sdk.get_isolation_scope().add_event_processor(asks)
with sentry_sdk.start_transaction(name="ends before"):
    pass
with sentry_sdk.start_transaction(name="goes on"):
    sentry_sdk.init(
        os.environ["APP_DSN"], release="new", environment="second", traces_sample_rate=1.0, before_send_transaction=sees,
    )
sentry_sdk.flush(30)
"""


@pytest.mark.skipif(not VERSION.startswith("2."), reason="sentry-sdk 3 has no start_transaction")
@pytest.mark.parametrize("words", [("init",), ()])
def test_a_transaction_is_of_the_client_that_stood_when_it_ended(words):
    found = {}
    for how in ("plain", "slotel"):
        ran = run_app(
            how, "-c", ANOTHER_INIT, *(("init",) if how == "plain" else words), addresses=BOTH,
            SENTRY_RELEASE="old", SENTRY_ENVIRONMENT="first", SENTRY_TRACES_SAMPLE_RATE="1",
        )  # fmt: skip
        found[how] = sorted(
            (item.project, each["transaction"], each["release"], each["environment"], each["tags"].get("asked"), each["tags"].get("seen"))
            for item in ran.envelopes
            for each in item.of_type("transaction")
        )  # fmt: skip
    assert (
        found["slotel"]
        == found["plain"]
        == [
            ("7", "ends before", "old", "first", "old", None),
            ("8", "goes on", "new", "second", "new", "by the second"),
        ]
    )


SWITCHED_OFF = """
import logging, os, sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.modules import ModulesIntegration
sentry_sdk.init(os.environ["SENTRY_DSN"], {options})
if "odules" not in {options!r}:  # sentry-sdk 3 makes no event of it in any case
    logging.getLogger("shop").error("an error that nobody wants as an event")
sentry_sdk.capture_message("the end")
sentry_sdk.flush(10)
"""


@pytest.mark.parametrize(
    "options",
    [
        "disabled_integrations=[LoggingIntegration()]",
        "disabled_integrations=[LoggingIntegration]",
        "default_integrations=False",
        "integrations=[LoggingIntegration(event_level=logging.ERROR)], default_integrations=False",
        "integrations=[ModulesIntegration()], default_integrations=False",
        "disabled_integrations=[ModulesIntegration]",
        "before_send=lambda event, hint: event if event.pop('modules') else None",
        "before_send=lambda event, hint: event if event['modules']['sentry-sdk'] else None",
    ],
)
def test_an_integration_that_the_app_switches_off_makes_nothing_beside_plain(options):
    """slotel's own client had set it up before, and sentry-sdk keeps what is set up."""
    plain, ours = (
        sorted(
            (str(each.get("message") or each["logentry"]["message"]), each.get("modules") or {})
            for each in run_app(how, "-c", SWITCHED_OFF.format(options=options), launcher=launcher).payloads(
                "event"
            )
        )
        for how, launcher in (("plain", ()), ("slotel", None))
    )
    assert "the end" in dict(plain)
    assert ours == plain


@pytest.mark.skipif(
    VERSION.startswith("3"), reason="3 asks the current client for the options of an exception's event"
)
def test_what_another_client_of_the_app_sends_is_what_it_sends_without_slotel_and_redacted():
    found = {}
    for how in ("plain", "slotel"):
        ran = run_app(how, "two_clients.py", addresses=BOTH)
        found[how] = sorted(
            (item.project, *told) for item in ran.envelopes for told in map(told_of, item.of_type("event"))
        )
        assert ("hunter2" in str(ran.payloads("event"))) is (how == "plain")
    assert found["slotel"] == found["plain"]
    assert [told[:2] for told in found["plain"]] == [
        ("7", "by both"), ("8", "beside alone"), ("8", "by both"), ("8", "by itself"), ("8", "said")
    ]  # fmt: skip


def told_of(event):
    """What an event speaks of, the lines of its stack with their variables, and whether it lists packages."""
    values = (event.get("exception") or {}).get("values") or ()
    frames = [frame for value in values for frame in value["stacktrace"]["frames"]]
    lines = [(frame["context_line"], sorted(frame["vars"])) for frame in frames]
    return values[0]["value"] if values else "said", lines, "modules" in event


LATE_IMPORT = """
import sys
from slotel import ErrorTracker
ErrorTracker().init()
print("sentry_sdk" in sys.modules)
import sentry_sdk
from opentelemetry import trace
sentry_sdk.init(sys.argv[1])
with trace.get_tracer("app").start_as_current_span("work") as span:
    sentry_sdk.capture_message("told")
    print(format(span.get_span_context().trace_id, "032x"))
"""


def test_without_a_dsn_sentry_sdk_is_loaded_by_nobody_but_the_app_and_then_its_init_is_followed():
    with SentrySink() as sink:
        command = [sys.executable, "-c", LATE_IMPORT, sink.dsn(8)]
        env = {**clean_environ(), "OTEL_METRICS_EXPORTER": "none", "SENTRY_DSN": ""}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=170, check=True)
        imported, trace_id = done.stdout.split()
        assert imported == "False"
        for kind in ("event", "transaction"):
            wait_until(lambda kind=kind: list(sink.payloads(kind)), f"the {kind}")
            (sent,) = sink.payloads(kind)
            assert sent["contexts"]["trace"]["trace_id"] == trace_id
