"""Breadcrumbs of outgoing requests, queries and processes are those of plain sentry-sdk, which hooks each call."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import pytest
import sentry_sdk
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from runtime.sentry.test_errors_like_plain import APPS_BIN, interpreter_with
from slotel.config.redaction.values import RedactionChoices
from slotel.runtime.redaction.events import redacted_event
from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.sentry.errors.breadcrumbs import add_calls
from support.redis_server import redis_server
from support.sentry_app import run_app

MORE = {"db.system"}
"""Data of a query that plain sentry-sdk does not write."""
BESIDE = ("connect", "PRAGMA read_uncommitted")
"""What plain sentry-sdk writes of Django alone, and what the driver's span tells of SQLAlchemy's own."""
LESS = {"redis.key", "redis.is_cluster", "redis.transaction"}
"""Data of redis that its span has not: OpenTelemetry's instrumentation writes `?` for each argument."""

if hasattr(sentry_sdk.tracing_utils, "maybe_create_breadcrumbs_from_span"):  # until 2.70
    MORE |= {"subprocess.pid"}
OLDER = {"thread.id", "thread.name", "code.filepath", "code.function", "code.lineno", "code.namespace"}
"""Data of a call that plain sentry-sdk 2.61 writes, and 2.75 does not: its span's, with the source if it took over 100 ms."""


@cache
def crumbs_of(how, *words, python=None, redis="", **variables):
    apart = {"REDIS_PORT": redis} if redis else {}
    ran = run_app(
        how, "calls.py", how, *words,
        uses=words, python=python or interpreter_with("flask"), apart=apart, OTEL_SERVICE_NAME="shop", **variables,
    )  # fmt: skip
    found = {
        event["exception"]["values"][-1]["value"] if "exception" in event else event["message"]: (
            event.get("breadcrumbs", {}).get("values", [])
        )
        for event in ran.payloads("event")
        if "exception" in event or "message" in event
    }
    for crumbs in found.values():
        times = [crumb.pop("timestamp") for crumb in crumbs]
        assert times == sorted(times)
        for crumb in crumbs:
            if "url" in crumb.get("data", {}):
                crumb["data"]["url"] = re.sub(r":\d+/", "/", crumb["data"]["url"])
    return found, ran.stdout


def both(*words, chosen=None, **variables):
    with ThreadPoolExecutor() as pool:
        plain = pool.submit(crumbs_of, "plain", *words, **(chosen or {}))
        slotel = pool.submit(crumbs_of, "slotel", *words, **(chosen or {}), **variables)
        for crumb in (each for crumbs in plain.result()[0].values() for each in crumbs):
            for name in OLDER & crumb.get("data", {}).keys():
                del crumb["data"][name]
        return plain.result()[0], slotel.result()[0]


def comparable(found):
    """The crumbs without what OpenTelemetry's spans have more or less."""
    return {
        which: [
            {
                **crumb,
                "data": {
                    key: value for key, value in crumb.get("data", {}).items() if key not in MORE | LESS
                },
            }
            for crumb in crumbs
            if crumb.get("message") not in BESIDE
        ]
        for which, crumbs in found.items()
    }


@pytest.mark.process
@pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="an app of sentry-sdk 2")
@pytest.mark.parametrize(
    ("scene", "rate"),
    [
        *((scene, "0.0001") for scene in ("flask", "django", "fastapi", "celery", "script")),
        ("flask", "1"),
        *(
            pytest.param(scene, "1", marks=pytest.mark.long)
            for scene in ("django", "fastapi", "celery", "script")
        ),
    ],
)
def test_calls_are_breadcrumbs_as_with_plain_sentry_sdk_at_any_rate(scene, rate):
    plain, slotel = both(scene, SENTRY_TRACES_SAMPLE_RATE=rate)
    assert {"httplib", "shop"} <= {
        crumb.get("category") for crumbs in plain.values() for crumb in crumbs
    } or scene == "celery"
    assert comparable(slotel) == comparable(plain)


@pytest.mark.process
@pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="an app of sentry-sdk 2")
@pytest.mark.parametrize(
    ("scene", "words"),
    [("flask", "few"), ("flask", "off"), ("flask", "named"), ("flask", "process"), ("django", "named")],
)
def test_the_options_of_the_app_hold_for_them(scene, words):
    plain, slotel = both(scene, words)
    ours, theirs = comparable(slotel), comparable(plain)
    if words == "few":  # plain sentry-sdk 2.61 keeps more than it was asked to
        theirs = {which: crumbs[-4:] for which, crumbs in theirs.items()}
    assert {which: ours[which] for which in plain} == theirs


@pytest.mark.process
@pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="an app of sentry-sdk 2")
def test_they_are_there_where_no_transaction_is_held(tmp_path):
    config = tmp_path / "slotel.yaml"
    config.write_text("version: 1\nsentry:\n  keep: []\n")
    plain, slotel = both("flask", SLOTEL_CONFIG=str(config), SENTRY_TRACES_SAMPLE_RATE="0")
    assert comparable(slotel) == comparable(plain)
    by_otlp, _ = crumbs_of("slotel", "flask", SLOTEL_SENTRY_MODE="otlp")
    assert comparable(by_otlp) == comparable(plain)


@pytest.mark.process
@pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="an app of sentry-sdk 2")
def test_calls_of_libraries_are_breadcrumbs_once():
    python = APPS_BIN / "python"
    if not python.exists():
        pytest.skip("redis is not installed: make apps")
    with redis_server() as port:
        plain, slotel = both("flask", "sqlalchemy", "redis", chosen={"python": python, "redis": str(port)})
    assert {"query", "redis", "httplib"} <= {crumb.get("category") for crumb in plain["it fails"]}
    spoken = {"SET 'cart:7' [Filtered]": "SET ? ?", "GET 'cart:7'": "GET ?"}
    for crumbs in plain.values():
        for crumb in crumbs:
            if crumb.get("message") in spoken:
                crumb["message"] = spoken[crumb["message"]]
    assert comparable(slotel) == comparable(plain)


@pytest.mark.process
@pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="an app of sentry-sdk 2")
def test_a_started_process_can_continue_the_trace():
    _, said = crumbs_of("slotel", "flask", "process")
    assert re.fullmatch(r"([0-9a-f]{32}-[0-9a-f]{16}-1\n){2}", said)
    assert len(set(said.split())) == 2


@contextmanager
def spans(instrumentation="opentelemetry.instrumentation.some"):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer(instrumentation), exporter.get_finished_spans


@pytest.mark.unit
def test_an_inner_scopes_calls_take_the_place_of_the_outer_ones():
    with spans() as (tracer, finished):
        for text in ("SELECT 1", "SELECT 2"):
            tracer.start_span(
                "q", kind=SpanKind.CLIENT, attributes={"db.system": "x", "db.statement": text}
            ).end()
        one, two = finished()
    event, hint = {"breadcrumbs": {"values": [{"message": "app", "timestamp": "odd"}]}}, {}
    add_calls(event, hint, [one])
    add_calls(event, hint, [two])
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["app", "SELECT 2"]


@pytest.mark.process
@pytest.mark.parametrize("is_slotels", [False, True])
def test_a_query_that_djangos_own_integration_of_sentry_writes_is_not_written_twice(monkeypatch, is_slotels):
    """Of an app that was set up before slotel."""
    monkeypatch.setattr(
        "slotel.runtime.sentry.errors.breadcrumbs.SET_UP", {"django"} if is_slotels else set()
    )
    query = {"db.system": "sqlite", "db.statement": "SELECT 1"}
    with (
        spans("opentelemetry.instrumentation.sqlite3") as (tracer, finished),
        sentry_sdk.new_scope() as scope,
    ):
        client = sentry_sdk.Client(default_integrations=False)
        client.integrations["django"] = object()  # its hooks would stay in this process
        scope.set_client(client)
        tracer.start_span("SELECT", kind=SpanKind.CLIENT, attributes=query).end()
        event = {}
        add_calls(event, {}, finished())
        client.close()
    assert bool(event) == is_slotels


@pytest.mark.unit
def test_a_call_of_boto3_is_a_breadcrumb_with_service_operation_and_status():
    """Plain sentry-sdk has its URL, which the instrumentation of botocore does not write, and not what it was."""
    call = {
        "rpc.system": "aws-api", "rpc.service": "S3", "rpc.method": "GetObject", "cloud.region": "eu-west-1", "http.status_code": 404,
    }  # fmt: skip
    table = {
        **call,
        "rpc.service": "DynamoDB",
        "rpc.method": "GetItem",
        "db.system": "dynamodb",
        "http.status_code": 200,
    }
    with spans("opentelemetry.instrumentation.botocore") as (tracer, finished):
        tracer.start_span("S3.GetObject", kind=SpanKind.CLIENT, attributes=call).end()
        tracer.start_span("DynamoDB.GetItem", kind=SpanKind.CLIENT, attributes=table).end()
        event = {}
        add_calls(event, {}, finished())
    missing, found = event["breadcrumbs"]["values"]
    missing.pop("timestamp")
    assert missing == {
        "type": "http", "category": "httplib", "level": "warning", "message": "S3.GetObject",
        "data": {
            "rpc.service": "S3", "rpc.method": "GetObject", "cloud.region": "eu-west-1",
            "http.response.status_code": 404, "reason": "Not Found",
        },
    }  # fmt: skip
    assert found["message"] == "DynamoDB.GetItem"


@pytest.mark.unit
def test_a_command_of_pymongo_is_a_breadcrumb_with_its_collection():
    find = {"db.system": "mongodb", "db.statement": "find", "db.mongodb.collection": "items"}
    with spans("opentelemetry.instrumentation.pymongo") as (tracer, finished):
        tracer.start_span("shop.find", kind=SpanKind.CLIENT, attributes=find).end()
        event = {}
        add_calls(event, {}, finished())
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["find items"]


@pytest.mark.unit
def test_what_is_no_call_is_no_breadcrumb():
    with spans() as (tracer, finished):
        tracer.start_span("work").end()
        tracer.start_span("connect", kind=SpanKind.CLIENT, attributes={"db.system": "x"}).end()
        tracer.start_span("rpc", kind=SpanKind.CLIENT, attributes={"rpc.system": "grpc"}).end()
        event = {}
        add_calls(event, {}, finished())
    assert event == {}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("crumb", "shown"),
    [
        ({"category": "query", "message": "SELECT 'secret word'", "data": {}}, "SELECT ?"),
        (
            {"category": "query", "message": 'SELECT "secret word"', "data": {"db.system": "mysql"}},
            "SELECT ?",
        ),
        ({"category": "redis", "message": "SET cart:7 x"}, "SET ? ?"),
        ({"category": "shop", "message": "SELECT 'secret word'"}, "SELECT 'secret word'"),
    ],
)
def test_statements_in_breadcrumbs_are_redacted_as_those_of_spans(crumb, shown):
    redactor = Redactor(choices=RedactionChoices(sql="parameterise"))
    event = redacted_event(redactor, {"breadcrumbs": {"values": [crumb]}})
    assert event["breadcrumbs"]["values"][0]["message"] == shown
