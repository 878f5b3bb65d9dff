"""Breadcrumbs of outgoing requests and queries, made from ended spans when an error is captured.

sentry-sdk's integrations write one for each call, on the request thread. OpenTelemetry has recorded the calls already,
so a request without an error costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import sentry_sdk
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from slotel.runtime.sentry.errors.integrations import SET_UP
from slotel.runtime.sentry.own_requests import own_span_test
from slotel.runtime.sentry.transactions.mapping import bare_url, query_text
from slotel.runtime.upstream.otel.reading import attributes_of

_MOST: Final = 100
"""Source: sentry-sdk, `DEFAULT_MAX_BREADCRUMBS`."""
_APPS: Final = "slotel.breadcrumbs"
"""Key of an event's hint with the breadcrumbs of the app."""
_CLIENT: Final = SpanKind.CLIENT
_STDLIB: Final = "stdlib"
_REASONS: Final = {each.value: each.phrase for each in HTTPStatus}
_INTEGRATIONS: Final = {
    "requests": _STDLIB,
    "urllib": _STDLIB,
    "urllib3": _STDLIB,
    "httpx": "httpx",
    "aiohttp_client": "aiohttp",
    "redis": "redis",
    "sqlalchemy": "sqlalchemy",
    "asyncpg": "asyncpg",
    "pymongo": "pymongo",
    "botocore": "boto3",
    **dict.fromkeys(
        ("dbapi", "mysql", "mysqlclient", "psycopg", "psycopg2", "pymssql", "pymysql", "sqlite3"), "django"
    ),
}
"""Instrumentation → sentry-sdk's integration that writes breadcrumbs of the same calls."""

_OF_AWS: Final = ("rpc.service", "rpc.method", "cloud.region")
_OFF: Final[set[str]] = set()


def leave_out(identifiers: Iterable[str], *, auto_enabled: bool) -> None:
    """Write no breadcrumbs of integrations that the app has disabled.

    Args:
        auto_enabled: the app wants the integrations that sentry-sdk enables if their library is installed.
    """
    _OFF.clear()
    _OFF.update(identifiers)
    if not auto_enabled:
        _OFF.update(each for each in _INTEGRATIONS.values() if each != _STDLIB)


def add_calls(event: MutableMapping[str, Any], hint: Any, spans: Sequence[ReadableSpan]) -> None:
    """Add breadcrumbs of the calls among the spans to an event, ordered by time with those of the app.

    A job within a request has a scope within the request's. If both add their calls, the last one, the job's, replaces
    the other's.
    """
    crumbs = list(_wanted(spans, _most())) if spans else ()
    if not crumbs and _APPS not in hint:
        return
    said = event.get("breadcrumbs")
    if said is not None and not isinstance(said, dict):  # an event processor's
        return
    written = hint.setdefault(_APPS, (said or {}).get("values") or [])
    merged = [*written, *crumbs]
    with suppress(Exception):  # times that cannot be compared, of the app: they stay in front
        merged.sort(key=lambda crumb: crumb["timestamp"])
    event["breadcrumbs"] = {**(said or {}), "values": merged[max(len(merged) - _most(), 0) :]}


def keep_call(held: list[ReadableSpan], span: ReadableSpan) -> None:
    """Keep a span if it is a call; only the last calls are kept."""
    if span.kind is _CLIENT:
        held.append(span)
        if len(held) > _MOST:
            del held[0]


def move_calls_to_scope(spans: Iterable[ReadableSpan]) -> None:
    """Add the calls among the spans to the active scope: they belong to no request."""
    client = sentry_sdk.get_client()
    if client.is_active():
        for crumb in _crumbs(spans, _most()):
            sentry_sdk.add_breadcrumb(crumb)


def _most() -> int:
    said = sentry_sdk.get_client().options.get("max_breadcrumbs", _MOST)
    return said if isinstance(said, int) else _MOST


def _wanted(spans: Iterable[ReadableSpan], most: int) -> Iterable[dict[str, Any]]:
    """Yield the breadcrumbs that the app's `before_breadcrumb` returns."""
    before: Callable[[Any, Any], Any] | None = sentry_sdk.get_client().options.get("before_breadcrumb")
    for crumb in _crumbs(spans, most):
        left = crumb
        if before is not None:
            with suppress(Exception):  # sentry-sdk goes on with the breadcrumb as it was
                left = before(crumb, {})
        if left is not None:
            yield left


def _crumbs(spans: Iterable[ReadableSpan], most: int) -> list[dict[str, Any]]:
    """Return the last breadcrumbs, the oldest first."""
    calls = [(span, attributes_of(span)) for span in list(spans) if span.kind is _CLIENT]
    if not calls:
        return []
    is_own = own_span_test(str(sentry_sdk.get_client().options.get("dsn") or ""))
    found: list[dict[str, Any]] = []
    outer, text = calls[-1][0], None
    for span, attributes in reversed(calls):
        if len(found) >= most:
            break
        if _is_written(span) or is_own(span, attributes):
            continue
        crumb = _crumb(span, attributes)
        if crumb is None or (text is not None and crumb.get("message") == text and _is_within(span, outer)):
            continue  # the driver's span of a query of SQLAlchemy, which is the later one
        outer, text = span, crumb.get("message")
        found.append(crumb)
    return found[::-1]


def _is_within(span: ReadableSpan, outer: ReadableSpan) -> bool:
    return (outer.start_time or 0) <= (span.start_time or 0) and (span.end_time or 0) <= (outer.end_time or 0)


def _is_written(span: ReadableSpan) -> bool:
    """Whether sentry-sdk's integration writes this breadcrumb itself, or the app has disabled it."""
    scope = span.instrumentation_scope
    integration = _INTEGRATIONS.get(scope.name.rpartition(".")[2] if scope is not None else "", "")
    if integration in _OFF:
        return True
    return integration not in SET_UP and sentry_sdk.get_client().get_integration(integration) is not None


def _crumb(span: ReadableSpan, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    get = attributes.get
    method = get("http.request.method") or get("http.method")
    if method:
        return _http(span, attributes, str(method))
    if get("rpc.system") == "aws-api":  # of boto3: the span has no URL, but the service and its operation
        data = {name: attributes[name] for name in _OF_AWS if name in attributes}
        return _answered(span, attributes, {"message": span.name, "data": data})
    system, text = get("db.system.name") or get("db.system"), query_text(attributes)
    if not system or not text:  # connecting to a database is no query
        return None
    crumb = {"type": "default", "category": "query", "message": text, "data": {"db.system": str(system)}}
    if system == "redis":
        command = text.partition(" ")[0]
        data = {"redis.command": command, "db.operation": command}
        crumb = {"type": "redis", "category": "redis", "message": text, "data": data}
        if "db.redis.pipeline_length" in attributes:
            crumb |= {"message": "redis.pipeline.execute", "data": {}}
    return {**crumb, "timestamp": _time(span.start_time)}


def _http(span: ReadableSpan, attributes: Mapping[str, Any], method: str) -> dict[str, Any]:
    data: dict[str, Any] = {"http.method": method}
    url = attributes.get("url.full") or attributes.get("http.url")
    if isinstance(url, str):
        with suppress(ValueError):
            parts = urlsplit(url)
            data |= {"url": bare_url(url), "http.query": parts.query, "http.fragment": ""}
    return _answered(span, attributes, {"data": data})


def _answered(span: ReadableSpan, attributes: Mapping[str, Any], crumb: dict[str, Any]) -> dict[str, Any]:
    """Complete the breadcrumb of a request with its response and its time."""
    crumb |= {"type": "http", "category": "httplib", "timestamp": _time(span.end_time)}
    code = attributes.get("http.response.status_code") or attributes.get("http.status_code")
    if isinstance(code, int) and code:
        crumb["data"] |= {"http.response.status_code": code, "reason": _REASONS.get(code, "")}
        level = {4: "warning", 5: "error"}.get(code // 100)
        if level is not None:
            crumb["level"] = level
    return crumb


def _time(nanoseconds: int | None) -> datetime:
    return datetime.fromtimestamp((nanoseconds or 0) / 1e9, timezone.utc)
