"""The options of an app's own `sentry_sdk.init` do under slotel what they do without it."""

import inspect
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import sentry_sdk

from runtime.sentry.test_errors_like_plain import interpreter_with
from support.launch import APPS
from support.redis_server import redis_server
from support.sentry_app import run_app

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="an app of sentry-sdk 2"),
]


LIBRARIES = {"beat": "celery", "tasks": "celery", "caches": "django"}


class Sent:
    def __init__(self, ran):
        self.of = ran.payloads
        self.envelopes = [tuple(header["type"] for header, _ in envelope.items) for envelope in ran.envelopes]
        self.log = ran.stderr

    def kinds(self):
        return {
            kind
            for kind in ("event", "log", "session", "sessions", "check_in", "profile_chunk")
            if self.of(kind)
        }


def run(how, scene, options, **more):
    uses = [LIBRARIES.get(scene, scene)]
    return Sent(
        run_app(how, "options.py", scene, json.dumps(options), uses=uses, OTEL_SERVICE_NAME="shop", **more)
    )


def both(scene, **options):
    """What is sent plain and with slotel; the same scene with the same options is run once."""
    return _both(scene, json.dumps(options))


@cache
def _both(scene, options):
    with ThreadPoolExecutor() as pool:
        return list(pool.map(run, ("plain", "slotel"), (scene,) * 2, (json.loads(options),) * 2))


FLASK_BY_DEFAULT = {"max_request_body_size": "always", "send_default_pii": False}
FLASK = {"auto_session_tracking": True, "max_request_body_size": "small", "send_default_pii": True}
FLASK_NAMED = {
    **FLASK,
    "max_request_body_size": "never",
    "traces_sample_rate": 1.0,
    "integrations": {"flask.FlaskIntegration": {"http_methods_to_capture": ["GET"]}},
}
FASTAPI = {
    **FLASK,
    "max_request_body_size": "never",
    "integrations": {
        "starlette.StarletteIntegration": {"failed_request_status_codes": [418]},
        "fastapi.FastApiIntegration": {"failed_request_status_codes": [418]},
    },
}
"""What shows apart is chosen together: each choice costs two processes."""


def sessions(sent):
    counts = Counter()
    for batch in sent.of("sessions"):
        for aggregate in batch["aggregates"]:
            counts.update({key: value for key, value in aggregate.items() if key != "started"})
    return counts


@pytest.mark.parametrize(
    ("scene", "options"), [("flask", FLASK), ("flask", FLASK_NAMED), ("fastapi", FASTAPI)]
)
def test_sessions_are_counted_as_by_plain_sentry_sdk_when_they_are_asked_for(scene, options):
    """Also where the app names its integration."""
    plain, slotel = both(scene, **options)
    assert sum(sessions(plain).values()) >= 3
    assert sessions(slotel) == sessions(plain)


def test_requests_of_other_methods_than_the_app_has_named_are_no_transactions():
    plain, slotel = both("flask", **FLASK_NAMED)
    assert plain.of("transaction") == slotel.of("transaction") == []


def test_sessions_are_off_by_default():
    _, slotel = both("flask", **FLASK_BY_DEFAULT)
    assert slotel.kinds() == {"event"}


@pytest.mark.parametrize(
    ("scene", "options"),
    [("flask", FLASK_NAMED), ("flask", FLASK), ("flask", FLASK_BY_DEFAULT), ("fastapi", FASTAPI)],
)
def test_body_and_cookies_are_in_an_event_as_the_app_has_chosen(scene, options):
    """The request of FastAPI has no body."""
    theirs, ours = (
        next(each for each in sent.of("event") if each["exception"]["values"][-1]["type"] == "RuntimeError")
        for sent in both(scene, **options)
    )
    for part in ("data", "cookies"):
        assert ours["request"].get(part) == theirs["request"].get(part), part


def test_failed_request_status_codes_of_the_apps_integration_say_what_is_an_error():
    plain, slotel = both("fastapi", **FASTAPI)
    found = [
        Counter(event["exception"]["values"][-1]["type"] for event in sent.of("event"))
        for sent in (plain, slotel)
    ]
    assert found[0]["HTTPException"] == 1
    assert found[1] == found[0]


def test_check_ins_of_a_monitor_arrive_as_with_plain_sentry_sdk():
    plain, slotel = both("crons")
    said = [
        [(each["monitor_slug"], each["status"], each.get("monitor_config")) for each in sent.of("check_in")]
        for sent in (plain, slotel)
    ]
    assert len(said[0]) == 4
    assert said[1] == said[0]


def test_celery_beats_tasks_are_checked_in_where_the_app_asks_for_it():
    asked = {"celery.CeleryIntegration": {"monitor_beat_tasks": True, "exclude_beat_tasks": ["excluded"]}}
    plain, slotel = both("beat", integrations=asked)
    said = [
        sorted(
            (each["monitor_slug"], each["status"], str(each["monitor_config"]))
            for each in sent.of("check_in")
        )
        for sent in (plain, slotel)
    ]
    assert [(slug, status) for slug, status, _ in said[0]] == [
        ("bad", "error"), ("bad", "in_progress"), ("good", "in_progress"), ("good", "ok"),
    ]  # fmt: skip
    assert said[1] == said[0]
    for sent in (plain, slotel):
        ids = Counter((each["monitor_slug"], each["check_in_id"]) for each in sent.of("check_in"))
        assert set(ids.values()) == {2}
        assert all(
            each["duration"] is not None for each in sent.of("check_in") if each["status"] != "in_progress"
        )


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, [3]),
        ({"integrations": {"celery.CeleryIntegration": {"propagate_traces": False}}}, [1, 2]),
        ({"propagate_traces": False}, [1, 1, 1]),
    ],
)
def test_tasks_take_the_trace_with_them_as_the_app_has_chosen(chosen, expected):
    found = []
    for sent in both("tasks", traces_sample_rate=1.0, **chosen):
        traces = Counter(each["contexts"]["trace"]["trace_id"] for each in sent.of("transaction"))
        found.append(sorted(traces.values()))
    assert found == [expected, expected]


@pytest.mark.parametrize(
    ("chosen", "goes"),
    [
        ({}, True),
        ({"propagate_traces": False}, False),
        ({"trace_propagation_targets": []}, False),
        pytest.param({"trace_propagation_targets": ["nowhere"]}, False, marks=pytest.mark.long),
        ({"trace_propagation_targets": ["127.0.0.1"]}, True),
    ],
)
def test_requests_and_processes_take_the_trace_with_them_as_the_app_has_chosen(chosen, goes):
    plain, slotel = (
        json.loads(sent.of("transaction")[0]["tags"]["taken"])
        for sent in both("propagates", traces_sample_rate=1.0, **chosen)
    )
    assert plain["request"] == plain["baggage"] == goes
    assert slotel == plain


def children(sent):
    (transaction,) = sent.of("transaction")
    return [
        (
            span["op"],
            span.get("description") or span["op"],
            {key: value for key, value in span.get("data", {}).items() if key.startswith(("cache", "subprocess.cwd"))},
        )
        for span in sorted(transaction["spans"], key=lambda span: span["start_timestamp"])
    ]  # fmt: skip


def test_reads_and_writes_of_djangos_caches_are_spans_where_the_app_asks_for_it():
    plain, slotel = both(
        "caches", traces_sample_rate=1.0, integrations={"django.DjangoIntegration": {"cache_spans": True}}
    )
    assert [op for op, _, _ in children(plain)] == ["cache.get", "cache.put", "cache.get"]
    assert children(slotel) == children(plain)
    assert children(run("slotel", "caches", {})) == []


@pytest.mark.parametrize("prefixes", [["cart:"], []])
def test_commands_of_redis_whose_key_the_app_names_are_spans_of_a_cache(prefixes):
    python = interpreter_with("redis")
    if python is None:
        pytest.skip("redis is not installed: make apps")
    chosen = {"redis.RedisIntegration": {"cache_prefixes": prefixes}}
    options = {"traces_sample_rate": 1.0, "integrations": chosen}
    with redis_server() as port:
        plain, slotel = (
            run(how, "redis", options, python=python, apart={"REDIS_PORT": str(port)})
            for how in ("plain", "slotel")
        )
    ours, theirs = ([each for each in children(sent) if each[0] != "db"] for sent in (slotel, plain))
    theirs = [each for each in theirs if each[0] != "db.redis"]
    assert len(theirs) == (4 if prefixes else 0)
    assert ours == theirs


def source(sent):
    (transaction,) = sent.of("transaction")
    return [
        {key: value for key, value in span["data"].items() if key.startswith("code.")}
        for span in sorted(transaction["spans"], key=lambda span: span["start_timestamp"])
        if span["op"] == "http.client"
    ]  # fmt: skip


def test_a_slow_call_says_which_line_of_the_app_made_it():
    plain, slotel = both("slow", traces_sample_rate=1.0, http_request_source_threshold_ms=500)
    slow, quick = source(plain)
    assert slow["code.function"] == "slow"
    assert quick == {}
    assert source(slotel) == source(plain)
    off = run("slotel", "slow", {"traces_sample_rate": 1.0, "enable_http_request_source": False})
    assert source(off) == [{}, {}]


def test_functions_that_the_app_names_are_spans():
    named = [{"qualified_name": "json.dumps"}]
    plain, slotel = both("named_function", traces_sample_rate=1.0, functions_to_trace=named)
    assert [(op, name) for op, name, _ in children(plain)] == [("function", "json.dumps")]
    assert children(slotel) == children(plain)


SHOWING = (
    {"include_source_context": False},
    {"include_local_variables": False},
    {"max_stack_frames": 2},
    {"add_full_stack": True},
    {"attach_stacktrace": True},
    {"in_app_exclude": ["__main__"]},
    {"in_app_include": ["json"]},
    {"project_root": "/nowhere"},
    {"max_value_length": 20},
    {"custom_repr": True},
    {"enable_logs": True, "before_send_log": True},
    {"enable_metrics": False},
    {"before_send_metric": True},
)
TOGETHER = (
    ("include_source_context", "attach_stacktrace", "in_app_exclude", "max_value_length", "custom_repr", "enable_logs"),
    ("include_local_variables", "add_full_stack", "max_stack_frames", "in_app_include"),
    ("project_root", "before_send_metric", "enable_metrics"),
)  # fmt: skip
"""By their first names: what is chosen together, and shows as it does alone. `make long` has each alone, too."""


@pytest.mark.parametrize(
    "chosen",
    [
        *(
            {key: chosen[key] for chosen in SHOWING if next(iter(chosen)) in names for key in chosen}
            for names in TOGETHER
        ),
        *(pytest.param(chosen, marks=pytest.mark.long) for chosen in SHOWING),
    ],
    ids=" ".join,
)
def test_what_an_event_shows_of_the_code_is_as_the_app_has_chosen(chosen):
    plain, slotel = both("frames", **chosen)
    assert len(plain.of("event")) == 2
    shown = [
        [(stacks(event), event.get("message")) for event in sent.of("event")] for sent in (plain, slotel)
    ]
    assert shown[1] == shown[0]
    for kind in ("log", "trace_metric"):
        assert len(slotel.of(kind)) == len(plain.of(kind)), kind


def stacks(event):
    values = [
        *(event.get("exception") or {}).get("values", ()),
        *(event.get("threads") or {}).get("values", ()),
    ]
    shown = [(value.get("type"), (value.get("stacktrace") or {}).get("frames")) for value in values]
    return json.loads(re.sub("0x[0-9a-f]+", "0x", json.dumps(shown)))


def test_started_processes_are_spans():
    plain, slotel = both("process", traces_sample_rate=1.0)
    assert "subprocess" in {op for op, _, _ in children(plain)}
    assert children(slotel) == children(plain)


@pytest.mark.parametrize("captures", [True, False])
def test_logs_are_sent_as_the_app_has_chosen(captures):
    given = {} if captures else {"logging.LoggingIntegration": {"capture_sentry_logs": False}}
    try:
        plain, slotel = both("logs", enable_logs=True, integrations=given)
    except AssertionError as error:
        if "capture_sentry_logs" in str(error):
            pytest.skip("an older sentry-sdk")
        raise
    bodies = [
        sorted(log["body"] for batch in sent.of("log") for log in batch["items"]) for sent in (plain, slotel)
    ]
    assert "structured" in bodies[0]
    assert bodies[1] == bodies[0]


def test_answers_that_the_app_has_left_out_are_no_transactions():
    plain, slotel = both("answers", traces_sample_rate=1.0, trace_ignore_status_codes=[404])
    assert [each["transaction"] for each in plain.of("transaction")] == ["200"]
    assert [each["transaction"] for each in slotel.of("transaction")] == ["200"]


def test_continuous_profiles_are_sent():
    plain, slotel = both("profile", profile_session_sample_rate=1.0)
    assert plain.kinds() >= {"profile_chunk"}
    assert slotel.kinds() >= {"profile_chunk"}
    assert "profile" not in slotel.log


def test_a_transaction_has_its_profile_where_the_app_asks_for_it():
    for sent in both("profiled", traces_sample_rate=1.0, profiles_sample_rate=1.0):
        (transaction,), (profile,) = sent.of("transaction"), sent.of("profile")
        (profiled,) = profile["transactions"]
        assert (profiled["name"], profiled["id"]) == ("long", transaction["event_id"])
        assert profiled["trace_id"] == transaction["contexts"]["trace"]["trace_id"]
        assert "busy" in {frame["function"] for frame in profile["profile"]["frames"]}
        assert profiled["active_thread_id"] in profile["profile"]["thread_metadata"]
        assert int(profiled["relative_end_ns"]) > 4e8
        assert "profile" not in sent.log


def test_chunks_are_sent_while_there_is_a_transaction_which_names_their_profiler():
    asked = {"profile_session_sample_rate": 1.0, "profile_lifecycle": "trace"}
    for sent in both("profiled", traces_sample_rate=1.0, **asked):
        (transaction,), chunks = sent.of("transaction"), sent.of("profile_chunk")
        assert {kinds for kinds in sent.envelopes if "profile_chunk" in kinds} == {("profile_chunk",)}
        assert {chunk["profiler_id"] for chunk in chunks} == {
            transaction["contexts"]["profile"]["profiler_id"]
        }
        assert "profile" not in sent.log


def test_where_spans_leave_by_otlp_the_log_says_that_none_is_profiled():
    options = {"profiles_sample_rate": 1.0, "traces_sample_rate": 1.0}
    sent = run("slotel", "profiled", options, SLOTEL_SENTRY_MODE="otlp")
    assert sent.log.count("profiles_sample_rate is not used") == 1
    assert sent.of("profile") == []


def test_the_documentation_has_every_option():
    from sentry_sdk.consts import ClientConstructor
    from sentry_sdk.integrations.celery import CeleryIntegration
    from sentry_sdk.integrations.django import DjangoIntegration
    from sentry_sdk.integrations.flask import FlaskIntegration
    from sentry_sdk.integrations.redis import RedisIntegration
    from sentry_sdk.integrations.starlette import StarletteIntegration

    text = (APPS.parents[1] / "docs" / "sentry-parity.md").read_text()
    table = text.partition("## The options of `sentry_sdk.init`")[2]
    options = inspect.signature(ClientConstructor.__init__).parameters.keys() - {"self"}
    assert {name for name in options if f"`{name}`" not in table} == set()
    for kind in (
        CeleryIntegration,
        DjangoIntegration,
        FlaskIntegration,
        StarletteIntegration,
        RedisIntegration,
    ):
        named = inspect.signature(kind.__init__).parameters.keys() - {"self"}
        assert {name for name in named if f"`{name}`" not in table} == set(), kind


def test_an_option_that_is_not_used_is_named_at_start():
    log = run("slotel", "answers", {"transport_queue_size": 500}).log
    assert log.count("its transport_queue_size is not used") == 1
    assert "transport_queue_size" not in run("slotel", "answers", {}).log
