"""Spans and breadcrumbs of Redis, PostgreSQL, AWS and MongoDB beside plain sentry-sdk's: the table of docs/sentry-parity.md."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentry_sdk

from runtime.sentry.test_errors_like_plain import interpreter_with
from slotel.cli.sink.server import SentrySink
from support.launch import APPS, clean_environ, launched_by
from support.postgres_server import postgres_server
from support.redis_server import redis_server

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="sentry-sdk 3 streams spans"),
]
SERIES = "SELECT generate_series(1, 120)"
CONNECTING = ("connect", "select ", "show ")
"""What SQLAlchemy asks of a new connection begins so."""


def run(how, redis, postgres):
    python = interpreter_with("asyncpg")
    with SentrySink() as sink:
        env = clean_environ(
            SENTRY_DSN=sink.dsn(7), OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none", SENTRY_TRACES_SAMPLE_RATE="1",
        )  # fmt: skip
        env["PATH"] = os.pathsep.join([str(python.parent), env["PATH"]])
        used = ("redis", "sqlalchemy", "asyncpg", "boto3", "pymongo")
        command = [*launched_by(how, *used), python, "stores.py", how, str(redis), str(postgres)]
        done = subprocess.run(
            command, env=env, cwd=APPS / "errors", timeout=170, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        spans = {
            each["transaction"].removeprefix("with_"): [
                (span["op"], span["description"], span.get("status"))
                for span in each["spans"]
                if not span["description"].startswith(CONNECTING)
            ]
            for each in sink.payloads("transaction")
        }
        crumbs = {
            each["message"].removeprefix("with_"): [
                (crumb["category"], crumb.get("message"))
                for crumb in each["breadcrumbs"]["values"]
                if not str(crumb.get("message")).startswith(CONNECTING)
            ]
            for each in sink.payloads("event")
            if str(each.get("message")).startswith("with_")
        }
        return spans, crumbs, json.loads(done.stdout)


@pytest.fixture(scope="module")
def both():
    if interpreter_with("asyncpg") is None:
        pytest.skip("asyncpg is not installed: make apps")
    with (
        redis_server() as redis,
        postgres_server() as postgres,
        ThreadPoolExecutor() as pool,
    ):
        return [*pool.map(lambda how: run(how, redis, postgres), ("plain", "slotel"))]


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        (
            "redis",
            [("cache.put", "cart:7", None), ("db.redis", "SET 'cart:7' [Filtered]", None), ("db.redis", "GET 'user:8'", None),
             ("db.redis", "redis.pipeline.execute", None)],
            [("cache.put", "cart:7", None), ("db", "SET ? ?", None), ("db", "GET ?", None), ("db", "GET ?\nSET ? ?", None)],
        ),
        (
            "sqlalchemy",
            [("db", "SELECT 1 WHERE 2 = %(two)s", None), ("db", "SELECT nothing", "internal_error")],
            [("db", "SELECT 1 WHERE 2 = %(two)s", None), ("db", "SELECT nothing", "internal_error")],
        ),
        (
            "asyncpg",
            [("db", "SELECT 1 WHERE 2 = $1", None), ("db", "BEGIN;", None), *[("db.cursor.iter", SERIES, None)] * 3, ("db", "COMMIT;", None)],
            [("db", "SELECT 1 WHERE 2 = $1", None), ("db", "BEGIN;", None), *[("db", SERIES, None)] * 3, ("db", "COMMIT;", None)],
        ),
        (
            "boto3",
            None,
            [("rpc.client", "S3.GetObject", None), ("rpc.client", "S3.GetObject", "internal_error")],
        ),
        (
            "pymongo",
            [("db", '{"find": "items", "filter": {"name": "%s", "price": "%s"}}', "ok"),
             ("db", '{"insert": "items", "ordered": true, "documents": [{"name": "%s", "_id": "%s"}]}', "ok"),
             ("db", '{"drop": "items"}', "internal_error")],
            [("db", "find items", None), ("db", "insert items", None), ("db", "drop items", "internal_error")],
        ),
    ],
)  # fmt: skip
def test_each_call_has_a_span_as_under_plain_sentry_sdk(both, name, theirs, ours):
    (plain, _, _), (slotel, _, _) = both
    assert slotel[name] == ours
    if theirs is None:  # its spans of HTTP, and of reading the answer, are no others' calls
        theirs = [
            ("http.client", "aws.s3.GetObject", None),
            ("http.client", "aws.s3.GetObject", "internal_error"),
        ]
        plain[name] = [
            each for each in plain[name] if each[0] == "http.client" and each[1].startswith("aws.")
        ]
    assert plain[name] == theirs


def test_each_call_is_a_breadcrumb_as_under_plain_sentry_sdk(both):
    """Plain sentry-sdk has two for a call of boto3; SQLAlchemy's and asyncpg's are the same."""
    (_, plain, _), (_, slotel, _) = both
    for name in ("sqlalchemy", "asyncpg"):
        assert slotel[name] == plain[name]
    assert slotel["boto3"] == [("httplib", "S3.GetObject")] * 2
    assert len(plain["boto3"]) == 4
    assert len(slotel["redis"]) == len(plain["redis"]) == 3
    assert slotel["pymongo"] == [("query", "find items"), ("query", "insert items"), ("query", "drop items")]
    assert len(plain["pymongo"]) == 3


def test_aws_is_told_of_the_trace_in_its_own_header(both):
    (_, _, plain), (_, _, slotel) = both
    assert plain == ["baggage", "sentry-trace"]
    assert slotel == ["x-amzn-trace-id"]
