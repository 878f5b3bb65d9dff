"""OTLP for tests, both ends: plain spans to send, and a loopback stand-in for Sentry's OTLP endpoint."""

from __future__ import annotations

import os
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from support.ports import free_port
from support.program import Posts

PATH = "/api/7/integration/otlp/v1/traces/"
LOGS_PATH = "/api/7/integration/otlp/v1/logs/"
SERVER = Span.SpanKind.SPAN_KIND_SERVER
ERROR = Status.StatusCode.STATUS_CODE_ERROR


@dataclass(frozen=True)
class Sent:
    """A span to send, and as the sink shows it. Times in nanoseconds, `age` and `seconds` in seconds."""

    name: str = "GET /items"
    trace_id: bytes = field(default_factory=lambda: os.urandom(16))
    span_id: bytes = field(default_factory=lambda: os.urandom(8))
    parent_id: bytes = b""
    attributes: Any = field(default_factory=dict)
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()
    kind: int = SERVER
    error: bool = False
    seconds: float = 0.01
    age: float = 0.0
    service: str = "legacy"
    resource: Mapping[str, Any] = field(default_factory=dict)
    status: str = ""
    scope: Mapping[str, Any] = field(default_factory=dict)
    flags: int = 0


def request(
    spans: Sequence[Sent],
    resource: Mapping[str, Any] | None = None,
    scope_attributes: Mapping[str, Any] | None = None,
) -> bytes:
    """One export of spans of one service, which has a name unless the resource says otherwise.

    Attributes are a mapping, or pairs where a key comes twice.
    """
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.extend(
        pairs({"service.name": "legacy", "telemetry.sdk.language": "go"} if resource is None else resource)
    )
    scope = group.scope_spans.add()
    scope.scope.name = "by-hand"
    scope.scope.attributes.extend(pairs(scope_attributes or {}))
    for sent in spans:
        end = time.time_ns() - int(sent.age * 1e9)
        span = scope.spans.add(
            name=sent.name,
            trace_id=sent.trace_id,
            span_id=sent.span_id,
            parent_span_id=sent.parent_id,
            kind=sent.kind,
            flags=sent.flags,
            start_time_unix_nano=max(end - int(sent.seconds * 1e9), 0),
            end_time_unix_nano=max(end, 0),
            attributes=pairs(sent.attributes),
        )
        if sent.error:
            span.status.code = ERROR
        span.status.message = sent.status
        for name, attributes in sent.events:
            span.events.add(name=name, time_unix_nano=end, attributes=pairs(attributes))
    return message.SerializeToString()


@dataclass(frozen=True)
class Log:
    """A log record to send, and as the sink shows it."""

    body: Any = "said"
    attributes: Any = field(default_factory=dict)
    resource: Mapping[str, Any] = field(default_factory=dict)
    scope: Mapping[str, Any] = field(default_factory=dict)
    trace_id: bytes = b""
    span_id: bytes = b""


def log_request(
    logs: Sequence[Log],
    resource: Mapping[str, Any],
    scope_attributes: Mapping[str, Any] | None = None,
) -> bytes:
    """One export of log records of one service."""
    message = ExportLogsServiceRequest()
    group = message.resource_logs.add()
    group.resource.attributes.extend(pairs(resource))
    scope = group.scope_logs.add()
    scope.scope.attributes.extend(pairs(scope_attributes or {}))
    for log in logs:
        scope.log_records.add(
            body=_value(log.body),
            attributes=pairs(log.attributes),
            trace_id=log.trace_id,
            span_id=log.span_id,
            time_unix_nano=time.time_ns(),
        )
    return message.SerializeToString()


def counter_request(
    name: str,
    value: int,
    resource: Mapping[str, Any],
    attributes: Mapping[str, Any] | None = None,
    *,
    scope: str = "",
    delta: bool = False,
) -> bytes:
    """One export of a counter of one service: cumulative, or of what came in the last millisecond."""
    message = ExportMetricsServiceRequest()
    group = message.resource_metrics.add()
    group.resource.attributes.extend(pairs(resource))
    scoped = group.scope_metrics.add()
    scoped.scope.name = scope
    metric = scoped.metrics.add(name=name, unit="1")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = 1 if delta else 2
    now = time.time_ns()
    metric.sum.data_points.add(
        as_int=value,
        start_time_unix_nano=now - (10**6 if delta else 10**9),
        time_unix_nano=now,
        attributes=pairs(attributes or {}),
    )
    return message.SerializeToString()


def post(
    endpoint: str,
    body: bytes,
    content_type: str = "application/x-protobuf",
    patience: float = 30,
    path: str = "/v1/traces",
) -> int:
    """Send as an OTLP exporter does, again while the answer is retryable or none; return the last status."""
    until = time.monotonic() + patience
    while True:
        ask = urllib.request.Request(
            f"{endpoint}{path}", data=body, headers={"Content-Type": content_type}, method="POST"
        )
        try:
            with urllib.request.urlopen(ask, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
        except (urllib.error.URLError, OSError):
            status = 0
        if status not in {0, 429, 502, 503, 504} or time.monotonic() > until:
            return status
        time.sleep(0.1)


class OtlpSink:
    """Sentry's OTLP endpoint as far as a collector sees it: takes spans with the right key, at one port for good."""

    def __init__(self, key: str = "public", most_bytes: int | None = None) -> None:
        self.port = free_port()
        self.key = key
        self.most_bytes = most_bytes
        self.logs: list[Log] = []
        self._lock = threading.Lock()
        self._spans: list[Sent] = []
        self.refused: Counter[int] = Counter()
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def logs_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{LOGS_PATH}"

    @property
    def spans(self) -> list[Sent]:
        with self._lock:
            return list(self._spans)

    def traces(self) -> dict[bytes, list[Sent]]:
        found: dict[bytes, list[Sent]] = {}
        for span in self.spans:
            found.setdefault(span.trace_id, []).append(span)
        return found

    def doubled(self) -> int:
        """How many spans came more than once."""
        spans = [(span.trace_id, span.span_id) for span in self.spans]
        return len(spans) - len(set(spans))

    def up(self) -> None:
        self._posts = Posts(self._take, self.port)
        self._down = False

    def down(self) -> None:
        """Refuse connections, and let those that are open fail."""
        self._down = True
        self._posts.close()

    def _take(self, handler: BaseHTTPRequestHandler, body: bytes) -> int:
        status = self._judge(handler, body)
        if status != 200:
            self.refused[status] += 1
            handler.close_connection = True
        return status

    def _admits(self, handler: BaseHTTPRequestHandler) -> int:
        """The status for a request by its address and key; 200 lets it in."""
        if handler.path not in (PATH, LOGS_PATH):
            return 404
        return 200 if f"sentry_key={self.key}" in handler.headers.get("X-Sentry-Auth", "") else 403

    def _judge(self, handler: BaseHTTPRequestHandler, body: bytes) -> int:
        status = 503 if self._down else self._admits(handler)
        if status != 200:
            return status
        if self.most_bytes is not None and len(body) > self.most_bytes:
            return 413
        try:
            if handler.path.rstrip("/").endswith("logs"):
                self.logs.extend(_read_logs(ExportLogsServiceRequest.FromString(body)))
                return 200
            message = ExportTraceServiceRequest.FromString(body)
        except DecodeError:
            return 400
        with self._lock:
            self._spans.extend(_read(message))
        return 200

    def __enter__(self) -> OtlpSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._down:
            self.down()


class Endpoint(OtlpSink):
    """A plain OTLP endpoint: what services send to when no collector is asked for."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _admits(self, handler: BaseHTTPRequestHandler) -> int:
        return 200 if handler.path in ("/v1/traces", "/v1/logs") else 404


def _read(message: ExportTraceServiceRequest) -> list[Sent]:
    return [
        Sent(
            name=span.name,
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_span_id,
            attributes=_mapping(span.attributes),
            events=[(event.name, _mapping(event.attributes)) for event in span.events],
            kind=span.kind,
            flags=span.flags,
            error=span.status.code == ERROR,
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            service=_mapping(group.resource.attributes).get("service.name", ""),
            resource=_mapping(group.resource.attributes),
            status=span.status.message,
            scope=_mapping(scope.scope.attributes),
        )
        for group in message.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _read_logs(message: ExportLogsServiceRequest) -> list[Log]:
    return [
        Log(
            body=_plain(record.body),
            attributes=_mapping(record.attributes),
            resource=_mapping(group.resource.attributes),
            scope=_mapping(scope.scope.attributes),
            trace_id=record.trace_id,
            span_id=record.span_id,
        )
        for group in message.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]


def pairs(attributes: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> list[KeyValue]:
    given = attributes.items() if isinstance(attributes, Mapping) else attributes
    return [KeyValue(key=key, value=_value(value)) for key, value in given]


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, (list, tuple)):
        message = AnyValue()
        message.array_value.values.extend(_value(item) for item in value)
        return message
    if isinstance(value, Mapping):
        message = AnyValue()
        message.kvlist_value.values.extend(pairs(value))
        return message
    return AnyValue(string_value=value)


def _mapping(pairs: Any) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_plain(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return _mapping(value.kvlist_value.values)
    return getattr(value, kind) if kind else None
