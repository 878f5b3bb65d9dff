"""What spans of each convention, old and stable, are in Sentry's words."""

import pytest
from opentelemetry.trace import SpanKind, Status, StatusCode

from slotel.runtime.sentry.transactions.mapping import span_fields, transaction_name
from support.sentry_tracing import provider

CLIENT, SERVER, INTERNAL = SpanKind.CLIENT, SpanKind.SERVER, SpanKind.INTERNAL
PRODUCER, CONSUMER = SpanKind.PRODUCER, SpanKind.CONSUMER


def span(name="name", kind=INTERNAL, attributes=None, status=None):
    made = provider().get_tracer("t").start_span(name, kind=kind, attributes=attributes)
    if status is not None:
        made.set_status(status)
    made.end()
    return made


@pytest.mark.parametrize(
    ("kind", "attributes", "op", "description"),
    [
        (SERVER, {"http.request.method": "GET", "url.path": "/a"}, "http.server", "GET /a"),
        (SERVER, {"http.method": "GET", "http.target": "/a?t=1"}, "http.server", "GET /a"),
        (SERVER, {"url.scheme": "ws", "http.route": "/ws/{room}"}, "websocket.server", "name"),
        (SERVER, {"http.scheme": "wss", "http.request.method": "GET"}, "websocket.server", "name"),
        (SERVER, {"network.protocol.name": "websocket", "url.scheme": "http"}, "websocket.server", "name"),
        (CLIENT, {"http.request.method": "GET", "url.full": "https://u:p@h:8443/a?t=1#f"}, "http.client", "GET https://h:8443/a"),
        (CLIENT, {"http.method": "GET", "http.url": "http://h/a?t=1", "net.peer.name": "h"}, "http.client", "GET http://h/a"),
        (CLIENT, {"http.request.method": "GET", "server.address": "h"}, "http.client", "GET h"),
        (CLIENT, {"db.system.name": "postgresql", "db.query.text": "SELECT 1"}, "db", "SELECT 1"),
        (CLIENT, {"db.system.name": "postgresql", "db.query.summary": "SELECT t"}, "db", "SELECT t"),
        (CLIENT, {"db.system": "redis", "db.statement": "GET ?"}, "db", "GET ?"),
        (CLIENT, {"db.system": "mongodb"}, "db", "name"),
        (CLIENT, {"db.system": "mongodb", "db.statement": "find", "db.mongodb.collection": "items"}, "db", "find items"),
        (CLIENT, {"db.system": "mongodb", "db.query.text": "find {}", "db.collection.name": "items"}, "db", "find {}"),
        (CLIENT, {"rpc.system": "grpc", "rpc.service": "S", "rpc.method": "M"}, "rpc.client", "name"),
        (SERVER, {"rpc.system.name": "grpc"}, "rpc.server", "name"),
        (PRODUCER, {"messaging.system": "kafka"}, "queue.publish", "name"),
        (CONSUMER, {"messaging.system": "kafka"}, "queue.process", "name"),
        (CLIENT, {"messaging.system": "sqs", "messaging.operation.type": "receive"}, "queue.receive", "name"),
        (CONSUMER, {"celery.action": "run", "messaging.destination": "q"}, "queue.process", "name"),
        (INTERNAL, {"messaging.system": "kafka"}, "queue", "name"),
        (CLIENT, {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, "gen_ai.chat", "name"),
        (INTERNAL, {"gen_ai.operation.name": "execute_tool"}, "gen_ai.execute_tool", "name"),
        (SERVER, {"faas.trigger": "timer", "cloud.provider": "aws"}, "function.aws", "name"),
        (CLIENT, {"faas.invoked_name": "f", "faas.invoked_provider": "gcp"}, "function.gcp", "f"),
        (SERVER, {"faas.trigger": "other"}, "function", "name"),
        (INTERNAL, {}, "name", "name"),
    ],
)  # fmt: skip
def test_each_convention_has_its_op_and_description(kind, attributes, op, description):
    made = span_fields(span(kind=kind, attributes=attributes), attributes)
    assert (made.op, made.description) == (op, description)


@pytest.mark.parametrize(
    ("attributes", "status", "expected"),
    [
        ({}, None, None),
        ({}, Status(StatusCode.OK), "ok"),
        ({}, Status(StatusCode.ERROR), "internal_error"),
        ({"http.request.method": "GET", "http.response.status_code": 404}, None, "not_found"),
        ({"http.method": "GET", "http.status_code": 503}, Status(StatusCode.ERROR), "unavailable"),
        ({"http.method": "GET", "http.status_code": 200}, Status(StatusCode.ERROR), "internal_error"),
        ({"http.method": "GET", "http.status_code": 499}, None, "cancelled"),
        ({"http.method": "GET"}, Status(StatusCode.ERROR), "internal_error"),
        ({"rpc.system": "grpc", "rpc.grpc.status_code": 5}, Status(StatusCode.ERROR), "not_found"),
        ({"rpc.system": "grpc", "rpc.grpc.status_code": 0}, None, "ok"),
        (
            {"rpc.system.name": "grpc", "rpc.response.status_code": "DEADLINE_EXCEEDED"},
            Status(StatusCode.ERROR),
            "deadline_exceeded",
        ),
        (
            {"rpc.system.name": "grpc", "rpc.response.status_code": "UNKNOWN"},
            Status(StatusCode.ERROR),
            "unknown_error",
        ),
        (
            {"rpc.system.name": "grpc", "rpc.response.status_code": "INTERNAL"},
            Status(StatusCode.ERROR),
            "internal_error",
        ),
        (
            {"rpc.system.name": "grpc", "rpc.response.status_code": "7"},
            Status(StatusCode.ERROR),
            "permission_denied",
        ),
        ({"rpc.system.name": "grpc", "rpc.response.status_code": "OK"}, None, "ok"),
        (
            {"rpc.system.name": "connect_rpc", "rpc.response.status_code": "odd"},
            Status(StatusCode.ERROR),
            "internal_error",
        ),
        ({"rpc.system": "grpc", "rpc.grpc.status_code": 99}, Status(StatusCode.ERROR), "internal_error"),
    ],
)
def test_the_status_is_that_of_the_answer_and_an_error_stays_one(attributes, status, expected):
    assert span_fields(span(attributes=attributes, status=status), attributes).status == expected


@pytest.mark.parametrize(
    ("attributes", "data"),
    [
        (
            {"http.method": "GET", "http.status_code": 200},
            {"http.request.method": "GET", "http.response.status_code": 200},
        ),
        ({"db.system.name": "mysql"}, {"db.system": "mysql"}),
        (
            {"messaging.system": "k", "messaging.destination": "q", "messaging.message_id": "1"},
            {"messaging.destination.name": "q", "messaging.message.id": "1"},
        ),
    ],
)
def test_fields_that_sentrys_views_read_are_there_under_either_convention(attributes, data):
    assert span_fields(span(attributes=attributes), attributes).data == data


@pytest.mark.parametrize(
    ("name", "kind", "attributes", "expected"),
    [
        ("GET /a/{id}", SERVER, {"http.request.method": "GET", "http.route": "/a/{id}"}, ("GET /a/{id}", "route")),
        ("GET", SERVER, {"http.request.method": "GET", "http.route": "/a/{id}"}, ("GET /a/{id}", "route")),
        ("HTTP GET", SERVER, {"http.method": "GET", "http.route": "/a"}, ("GET /a", "route")),
        ("GET /a/7", SERVER, {"http.method": "GET", "http.target": "/a/7?x=1"}, ("GET /a/7", "url")),
        ("GET", SERVER, {"http.method": "GET", "http.target": "/a/7"}, ("GET", "custom")),
        ("HTTP /ws/{room}", SERVER, {"url.scheme": "ws", "http.route": "/ws/{room}"}, ("HTTP /ws/{room}", "route")),
        ("run/tasks.add", CONSUMER, {}, ("run/tasks.add", "task")),
        ("S/M", SERVER, {"rpc.method": "M"}, ("S/M", "component")),
        ("job", INTERNAL, {}, ("job", "custom")),
        ("a\nb" * 200, INTERNAL, {}, (("a b" * 200)[:200].strip(), "custom")),
        ("", INTERNAL, {}, ("<unlabeled transaction>", "custom")),
    ],
)  # fmt: skip
def test_the_transaction_is_named_by_its_route_and_says_where_the_name_is_from(
    name, kind, attributes, expected
):
    assert transaction_name(span(name, kind, attributes), attributes) == expected
