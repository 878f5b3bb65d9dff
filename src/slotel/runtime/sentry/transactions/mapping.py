"""Maps a span to Sentry's fields: op, description, status, transaction name and source. Pure; it builds no payload.

It reads the old and the stable semantic conventions. `docs/sentry-parity.md` lists differences to SentrySpanProcessor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from slotel.runtime.requests.decision import http_status, rpc_code
from slotel.runtime.requests.outcomes import JOB_STATE, RPC_CODES, SUCCEEDED, OutcomeRow

MAX_OP: Final = 128
MAX_NAME: Final = 200
"""Sentry's limits for an op and for the name of a transaction."""

_SERVER: Final = SpanKind.SERVER
_CLIENT: Final = SpanKind.CLIENT
_PRODUCER: Final = SpanKind.PRODUCER
_CONSUMER: Final = SpanKind.CONSUMER
_ERROR: Final = StatusCode.ERROR
_OK: Final = StatusCode.OK

_OF_HTTP: Final = {
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    409: "already_exists",
    413: "failed_precondition",
    429: "resource_exhausted",
    499: "cancelled",
    501: "unimplemented",
    503: "unavailable",
    504: "deadline_exceeded",
}
"""Status code → span status. Source: Sentry SDK docs, "Event payloads: span"; 499 is nginx's "client closed"."""

_OF_GRPC: Final = tuple(
    {"UNKNOWN": "unknown_error", "INTERNAL": "internal_error"}.get(each, each.lower()) for each in RPC_CODES
)
"""gRPC status number → span status: Sentry took its names from gRPC."""

_QUEUE_OPS: Final = {
    "publish": "queue.publish",
    "send": "queue.publish",
    "create": "queue.create",
    "receive": "queue.receive",
    "process": "queue.process",
    "deliver": "queue.process",
    "settle": "queue.settle",
}
"""`messaging.operation.type` → op. Source: Sentry docs, "Queues: custom instrumentation"."""

_CLOUDS: Final = {"aws": "aws", "gcp": "gcp", "azure": "azure", "alibaba_cloud": "alibaba"}
_SOCKET_SCHEMES: Final = ("ws", "wss")
_LINE_BREAKS: Final = re.compile(r"[\r\n]")
_MESSAGING: Final = frozenset(
    {"messaging.system", "messaging.destination.name", "messaging.destination", "celery.action"}
)


class SpanFields(NamedTuple):
    """Sentry's fields of a span.

    Args:
        description: one line, of a child span; a transaction has its name instead.
        http_status: status code of the response, for an HTTP span.
        data: fields that Sentry's views read, in addition to the span's own attributes.
    """

    op: str
    description: str
    status: str | None
    http_status: int | None
    data: Mapping[str, Any]


_NONE: Final[Mapping[str, Any]] = {}


def span_fields(span: ReadableSpan, attributes: Mapping[str, Any], *, is_root: bool = False) -> SpanFields:
    """Return Sentry's fields of a span. A span of no known convention has its name as op and description.

    Args:
        attributes: the span's redacted attributes.
        is_root: it is the root of a transaction, which has a name and needs no description.
    """
    found = _span_fields(span, attributes, is_root)
    op, status = attributes.get("sentry.op"), attributes.get("sentry.status")
    if op is None and status is None:
        return found
    described = str(attributes.get("sentry.description") or span.name)
    said = found._replace(description=described) if op is not None else found
    return said._replace(op=str(op or found.op)[:MAX_OP], status=str(status) if status else found.status)


def root_status(fields: SpanFields, row: OutcomeRow | None, attributes: Mapping[str, Any]) -> str | None:
    """Return the status of a request or job, for its transaction and for its error events alike.

    Args:
        row: its outcome; None before its end, when the span's own status is used.
        attributes: of its span; the app sets `sentry.status`, which an HTTP response overrides.
    """
    if row is None:
        return fields.status
    if "sentry.status" in attributes:
        if fields.http_status is None:
            return fields.status
        return row.transaction_status(http_status_name(fields.http_status)) or fields.status
    status = row.transaction_status(fields.status)
    return "ok" if status is None and row is SUCCEEDED and JOB_STATE in attributes else status


def _span_fields(span: ReadableSpan, attributes: Mapping[str, Any], is_root: bool) -> SpanFields:  # noqa: PLR0911 one for each convention
    get = attributes.get
    method = get("http.request.method") or get("http.method")
    if span.kind is _SERVER and _is_socket(attributes):
        return _http(span, attributes, "GET", is_root)._replace(op="websocket.server", description=span.name)
    if method:
        return _http(span, attributes, str(method), is_root)
    status = _status(span)
    name = span.name
    operation = get("gen_ai.operation.name")
    if operation:
        return SpanFields(f"gen_ai.{operation}"[:MAX_OP], name, status, None, _NONE)
    system = get("db.system.name") or get("db.system")
    if system:
        text = query_text(attributes) or str(get("db.query.summary") or name)
        return SpanFields("db", text, status, None, {"db.system": system})
    rpc = get("rpc.system.name") or get("rpc.system")
    if rpc:
        return _rpc(span, attributes, status)
    if not _MESSAGING.isdisjoint(attributes):
        return _messaging(span, attributes, status)
    if "faas.trigger" in attributes or "faas.invoked_name" in attributes:
        return _function(span, attributes, status)
    return SpanFields(name[:MAX_OP] or "default", name, status, None, _NONE)


def transaction_name(span: ReadableSpan, attributes: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the source of the transaction that the span is the root of.

    The source of a name with a route is `route`, of a task `task`, of a name with the requested path `url`.
    """
    name = _LINE_BREAKS.sub(" ", span.name or "")[:MAX_NAME].strip() or "<unlabeled transaction>"
    named, source = attributes.get("sentry.transaction"), attributes.get("sentry.source")
    if isinstance(source, str):
        return str(named or name)[:MAX_NAME], source
    if isinstance(named, str):  # the source stays that of the name before
        return named[:MAX_NAME], _name_of_span(span, attributes, name)[1]
    return _name_of_span(span, attributes, name)


def _name_of_span(span: ReadableSpan, attributes: Mapping[str, Any], name: str) -> tuple[str, str]:
    method = attributes.get("http.request.method") or attributes.get("http.method")
    if method or _is_socket(attributes):
        route = attributes.get("http.route")
        if isinstance(route, str) and route:
            if name in (method, f"HTTP {method}", "HTTP"):
                name = f"{method or 'GET'} {route}"[:MAX_NAME]
            return name, "route"
        path = attributes.get("url.path") or str(attributes.get("http.target") or "").partition("?")[0]
        return name, "url" if path and str(path) in name else "custom"
    if span.kind is _CONSUMER:
        return name, "task"
    if "rpc.method" in attributes or "faas.trigger" in attributes:
        return name, "component"
    return name, "custom"


def query_text(attributes: Mapping[str, Any]) -> str:
    """Return the statement of a database call, "" if it has none.

    The instrumentation of pymongo writes only the command there: its collection is added.

    >>> query_text({"db.statement": "find", "db.mongodb.collection": "items"})
    'find items'
    """
    text = str(attributes.get("db.query.text") or attributes.get("db.statement") or "")
    collection = attributes.get("db.collection.name") or attributes.get("db.mongodb.collection")
    return f"{text} {collection}" if collection and text.isalpha() else text


def http_status_name(code: int) -> str:
    """Return the span status of an HTTP status code.

    >>> [http_status_name(code) for code in (204, 404, 418, 500, 700)]
    ['ok', 'not_found', 'invalid_argument', 'internal_error', 'unknown_error']
    """
    known = _OF_HTTP.get(code)
    if known is not None:
        return known
    if code < 400:  # noqa: PLR2004 HTTP's classes
        return "ok"
    if code < 500:  # noqa: PLR2004
        return "invalid_argument"
    return "internal_error" if code < 600 else "unknown_error"  # noqa: PLR2004


def bare_url(url: str) -> str:
    """Return a URL without user, query and fragment.

    >>> bare_url("https://u:p@h:8443/a?b=1#c")
    'https://h:8443/a'
    """
    url = url.partition("#")[0].partition("?")[0]
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def request_url(attributes: Mapping[str, Any]) -> str | None:
    """Return the URL of a server span's request, without its query; None if it is unknown."""
    url = attributes.get("url.full") or attributes.get("http.url")
    if isinstance(url, str) and url:
        return bare_url(url)
    path = attributes.get("url.path") or attributes.get("http.target")
    host = attributes.get("server.address") or attributes.get("http.host")
    host = host or attributes.get("http.server_name") or attributes.get("net.host.name")
    if not isinstance(path, str) or not host:
        return None
    scheme = attributes.get("url.scheme") or attributes.get("http.scheme") or "http"
    port = attributes.get("server.port") or attributes.get("net.host.port")
    usual = port in (None, 80, 443) or ":" in str(host)
    return f"{scheme}://{host}{'' if usual else f':{port}'}{path.partition('?')[0]}"


def _is_socket(attributes: Mapping[str, Any]) -> bool:
    """Whether a server span is a websocket's, by its scheme. Its method, if any, is the handshake's."""
    scheme = attributes.get("url.scheme") or attributes.get("http.scheme")
    return scheme in _SOCKET_SCHEMES or attributes.get("network.protocol.name") == "websocket"


def _status(span: ReadableSpan) -> str | None:
    code = span.status.status_code
    if code is _ERROR:
        return "internal_error"
    return "ok" if code is _OK else None


def _http(span: ReadableSpan, attributes: Mapping[str, Any], method: str, is_root: bool) -> SpanFields:
    kind = span.kind
    op = "http.server" if kind is _SERVER else "http.client" if kind is _CLIENT else "http"
    data: dict[str, Any] = {"http.request.method": method}
    code = http_status(attributes)
    status = _status(span)
    if code is not None and code > 0:
        data["http.response.status_code"] = code
        answered = http_status_name(code)
        # an exception after the start of the response is an error, whatever the status code
        status = status if answered == "ok" and status == "internal_error" else answered
    else:
        code = None
    described = "" if is_root else _http_description(attributes, method)
    return SpanFields(op, described, status, code, data)


def _http_description(attributes: Mapping[str, Any], method: str) -> str:
    url = attributes.get("url.full") or attributes.get("http.url")
    if isinstance(url, str) and url:
        return f"{method} {bare_url(url)}"
    peer = attributes.get("server.address") or attributes.get("net.peer.name")
    target = str(attributes.get("url.path") or attributes.get("http.target") or "").partition("?")[0]
    return " ".join(str(part) for part in (method, peer, target) if part)


def _rpc(span: ReadableSpan, attributes: Mapping[str, Any], status: str | None) -> SpanFields:
    kind = span.kind
    op = "rpc.server" if kind is _SERVER else "rpc.client" if kind is _CLIENT else "rpc"
    number = rpc_code(attributes)
    if number is not None and 0 <= number < len(_OF_GRPC) and (number or status is None):
        status = _OF_GRPC[number]
    return SpanFields(op, span.name, status, None, _NONE)


def _messaging(span: ReadableSpan, attributes: Mapping[str, Any], status: str | None) -> SpanFields:
    operation = attributes.get("messaging.operation.type") or attributes.get("messaging.operation")
    op = _QUEUE_OPS.get(str(operation), "")
    if not op:
        op = {_PRODUCER: "queue.publish", _CONSUMER: "queue.process"}.get(span.kind, "queue")
    data = {}
    queue = attributes.get("messaging.destination.name") or attributes.get("messaging.destination")
    if queue:
        data["messaging.destination.name"] = queue
    message = attributes.get("messaging.message.id") or attributes.get("messaging.message_id")
    if message:
        data["messaging.message.id"] = message
    return SpanFields(op, span.name, status, None, data)


def _function(span: ReadableSpan, attributes: Mapping[str, Any], status: str | None) -> SpanFields:
    resource = span.resource.attributes
    provider = attributes.get("faas.invoked_provider") or attributes.get("cloud.provider")
    cloud = _CLOUDS.get(str(provider or resource.get("cloud.provider") or ""))
    name = attributes.get("faas.invoked_name") or span.name
    return SpanFields(f"function.{cloud}" if cloud else "function", str(name), status, None, _NONE)
