"""Mode `sdk`: sentry-sdk's own SentrySpanProcessor, given sampled spans only, and stable conventions as old names.

Needs sentry-sdk 2.x. What that processor loses (late children, events, links, spans over 1,000) stays lost.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanKind, format_span_id

from slotel.config.tags import sentry_tag_key
from slotel.runtime.process.shutdown import EXIT, flush_time
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.own_requests import own_span_test
from slotel.runtime.sentry.protocols import ModeError, SentryClientLike
from slotel.runtime.sentry.transactions.mapping import transaction_name
from slotel.runtime.tracing.sink import Sink
from slotel.runtime.upstream.otel.reading import copied

if TYPE_CHECKING:
    from sentry_sdk.integrations.opentelemetry import SentrySpanProcessor


_OLD: Final = {
    "http.request.method": "http.method",
    "http.response.status_code": "http.status_code",
    "url.full": "http.url",
    "url.scheme": "http.scheme",
    "server.address": "net.peer.name",
    "server.port": "net.peer.port",
    "db.system.name": "db.system",
    "db.query.text": "db.statement",
    "db.namespace": "db.name",
    "db.operation.name": "db.operation",
    "user_agent.original": "http.user_agent",
    "client.address": "http.client_ip",
}
"""Stable → old. Source: OpenTelemetry semantic conventions, migration guides for HTTP and databases."""

_ON_SERVER: Final = {"server.address": "net.host.name", "server.port": "net.host.port"}


def sdk_sink(client: SentryClientLike, enforcer: Enforcer) -> SdkSink:
    """Return the sink around Sentry's processor.

    Raises:
        ModeError: sentry-sdk is 3.x, or its client was not set up for it.
    """
    try:
        from sentry_sdk.integrations.opentelemetry import SentrySpanProcessor
    except Exception as error:
        raise ModeError("sentry-sdk has no SentrySpanProcessor any more; it needs sentry-sdk < 3") from error
    if client.options.get("instrumenter") != "otel":
        raise ModeError("the Sentry client was not initialised with instrumenter='otel'")
    if client.options.get("trace_lifecycle") == "stream":
        raise ModeError("the Sentry client streams its spans (trace_lifecycle='stream')")
    return SdkSink(SentrySpanProcessor(), client, enforcer)


class SdkSink(Sink):
    """Hands sampled, redacted spans to Sentry's processor, which does its work on the thread of the request."""

    def __init__(self, processor: SentrySpanProcessor, client: SentryClientLike, enforcer: Enforcer) -> None:
        self._processor = processor
        self._client: Any = client
        self._enforcer = enforcer
        self._is_own = own_span_test(client.dsn or "")

    def on_start(self, span: Span, local_root: LocalRoot, parent_context: Context | None) -> None:
        """Start Sentry's span for a sampled span, unless it is a request to Sentry."""
        del local_root
        if span.context.trace_flags.sampled and not self._is_own(span, span.attributes or {}):
            self._processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        """End Sentry's span with the redacted one's values; tags of the root become the transaction's."""
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        waiting = self._processor.otel_span_map.get(format_span_id(context.span_id))
        if waiting is None:
            return
        tags = local_root.tags if local_root is not None else {}
        enforced = self._enforcer.span(span, tags)
        transaction = waiting.containing_transaction
        if transaction is not None and transaction is waiting:
            transaction.source = transaction_name(span, enforced.attributes or {})[1]
            for key, value in self._enforcer.tags(enforced.attributes or {}, tags).items():
                accepted = sentry_tag_key(key)
                if accepted is not None:
                    transaction.set_tag(accepted, value)
        renamed = with_old_names(enforced.attributes or {}, server=span.kind is SpanKind.SERVER)
        self._processor.on_end(copied(enforced, attributes=renamed))

    def use_client(self, client: SentryClientLike) -> None:
        """Flush by another client from now on; Sentry's processor asks sentry-sdk for the current one itself."""
        self._client = client
        self._is_own = own_span_test(client.dsn or "")

    def flush(self, timeout: float) -> bool:
        """Let sentry-sdk send what is pending, within `timeout` seconds; return True."""
        self._client.flush(timeout=timeout)
        return True

    def shutdown(self) -> None:
        """Flush; the client is not this sink's to close."""
        self._client.flush(
            timeout=max(0.0, EXIT.deadline(flush_time(self._client.options)) - time.monotonic())
        )


def with_old_names(attributes: Mapping[str, Any], *, server: bool = False) -> dict[str, Any]:
    """Return the attributes and, for each stable one, its old name; what is already there stays.

    Args:
        server: the span is of kind SERVER, where `server.address` was the host's own name, not the peer's.

    >>> with_old_names({"http.request.method": "GET"})["http.method"]
    'GET'
    """
    result = dict(attributes)
    for key, value in attributes.items():
        old = (_ON_SERVER.get(key) if server else None) or _OLD.get(key)
        if old is not None:
            result.setdefault(old, value)
    path = attributes.get("url.path")
    if path is not None and "http.target" not in result:
        query = attributes.get("url.query")
        result["http.target"] = f"{path}?{query}" if query else path
    return result
