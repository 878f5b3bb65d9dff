"""Mode `otlp`: sampled spans to Sentry's OTLP endpoint by the SDK's own batch processor. Sentry only, not GlitchTip.

The exporter has URL, proxy, TLS and headers of its own, and lost spans are counted. `sentry.keep` has no effect here:
each span is exported when it ends, before it is known how its trace ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from sentry_sdk.utils import Dsn

from slotel.config.service import SentrySettings
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.process.threads import start_daemon
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.flushing import flush_first
from slotel.runtime.sentry.own_requests import own_span_test
from slotel.runtime.sentry.protocols import Dropped, ModeError, SentryClientLike
from slotel.runtime.sentry.transport.endpoint import CLIENT, host_of, named_certificates, named_proxy
from slotel.runtime.tracing.sink import Sink
from slotel.runtime.upstream.otel.reading import copied

if TYPE_CHECKING:
    import requests

MAX_QUEUED: Final = 2048
"""Pending spans, with those that are being sent. Source: OpenTelemetry specification, OTEL_BSP_MAX_QUEUE_SIZE."""
_AUTH: Final = "x-sentry-auth"
_SENT: Final = frozenset({
    _AUTH, "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type",
    "user-agent",
})  # fmt: skip


def named_resource(resource: Resource, settings: SentrySettings, options: Mapping[str, Any]) -> Resource:
    """Return the resource with release and environment: the endpoint reads them there alone.

    Args:
        settings: of slotel, which win.
        options: of the Sentry client.
    """
    release = settings.release or options.get("release")
    environment = settings.environment or options.get("environment")
    added: dict[str, str] = {}
    if release:
        added |= {"sentry.release": str(release), "service.version": str(release)}
    if environment:
        added |= {"sentry.environment": str(environment), "deployment.environment.name": str(environment)}
    return Resource(added).merge(resource)


class OtlpSink(Sink):
    """Exports sampled spans, redacted and with the resource of `named_resource`, through the SDK's batch processor.

    Args:
        settings: release and environment, for the resource.
        resource: of the process.
        dropped: called with signal `spans`, a reason and a number of spans.

    Raises:
        ModeError: the OTLP exporter is not installed, or there is no DSN.
    """

    def __init__(
        self,
        settings: SentrySettings,
        client: SentryClientLike,
        enforcer: Enforcer,
        resource: Resource,
        dropped: Dropped,
    ) -> None:
        self._enforcer = enforcer
        self._plain_resource = resource
        self._settings = settings
        self._dropped = dropped
        self._leaving: list[threading.Thread] = []
        self._use(client)

    def use_client(self, client: SentryClientLike) -> None:
        """Export by another client from now on; the former one sends what is pending, on a thread of its own."""
        former = self._batches
        self._use(client)
        leaving = start_daemon("slotel-otlp-former", former.shutdown)
        self._leaving = [*(each for each in self._leaving if each.is_alive()), leaving]

    def _use(self, client: SentryClientLike) -> None:
        self._batches = CountingBatchProcessor(client, self._dropped)
        self._resource = named_resource(self._plain_resource, self._settings, client.options)
        self._is_own = own_span_test(client.dsn or "")
        flush_first(client, self.flush)

    def on_end(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        """Queue a sampled span."""
        context = span.context
        if context is None or not context.trace_flags.sampled or self._is_own(span, span.attributes or {}):
            return
        enforced = self._enforcer.span(span, local_root.tags if local_root is not None else {})
        self._batches.add(copied(enforced, resource=self._resource))

    def flush(self, timeout: float) -> bool:
        """Send pending spans, also those of former clients, within `timeout` seconds; return whether all were sent."""
        deadline = time.monotonic() + timeout
        flushed = self._batches.flush(timeout)
        for each in self._leaving:
            each.join(max(deadline - time.monotonic(), 0.0))
        return flushed and not any(each.is_alive() for each in self._leaving)

    def shutdown(self) -> None:
        """Send pending spans, and stop."""
        self._batches.shutdown()


def otlp_endpoint(dsn: str) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers of a project's OTLP endpoint.

    Args:
        dsn: a valid DSN.

    Source: Sentry docs, "OpenTelemetry Protocol (OTLP)".

    >>> otlp_endpoint("https://key@o1.example.org/42")[0]
    'https://o1.example.org/api/42/integration/otlp/v1/traces/'
    """
    parsed = Dsn(dsn)
    base = f"{parsed.scheme}://{host_of(parsed)}{parsed.path}"
    auth = f"sentry sentry_key={parsed.public_key}, sentry_client={CLIENT}"
    return f"{base}api/{parsed.project_id}/integration/otlp/v1/traces/", {_AUTH: auth}


class CountingBatchProcessor:
    """The SDK's batch processor for one project's endpoint, with a count of every span that does not arrive.

    At most OTEL_BSP_MAX_QUEUE_SIZE spans are pending; a fork's child begins with none.

    Args:
        dropped: called with signal `spans`, a reason (`queue_full`, `shutdown`, `export_error`, `exit`) and a number.

    Raises:
        ModeError: the OTLP exporter is not installed, or there is no DSN.
    """

    def __init__(self, client: SentryClientLike, dropped: Dropped) -> None:
        self._dropped = dropped
        told = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "")
        self._most = int(told) if told.isdigit() and int(told) > 0 else MAX_QUEUED
        self._closed = False
        self._begin()
        self._processor = BatchSpanProcessor(_exporter(client, self._gone), self._most)
        PROCESS.register("sentry_spans", after_fork_in_child=self._begin)

    def _begin(self) -> None:
        """Start with no pending span: what was pending at a fork is the parent's."""
        self._leaf_lock = threading.RLock()
        self._waiting = 0

    def add(self, span: ReadableSpan) -> None:
        """Queue a span, or count it as dropped: the SDK's full queue would drop its oldest span without a word."""
        with self._leaf_lock:
            reason = "shutdown" if self._closed else "queue_full" if self._waiting >= self._most else ""
            if not reason:
                self._waiting += 1
        if not reason:
            self._processor.on_end(span)
        else:
            self._dropped("spans", reason, 1)

    def flush(self, timeout: float) -> bool:
        """Send pending spans within `timeout` seconds; return whether the SDK has sent them."""
        return self._processor.force_flush(int(timeout * 1000))

    def shutdown(self) -> None:
        """Send pending spans, and stop; count those that were not sent."""
        self._closed = True
        self._processor.shutdown()
        with self._leaf_lock:
            left = self._waiting
            self._waiting = 0
        if left:
            self._dropped("spans", "exit", left)

    def _gone(self, count: int, *, arrived: bool) -> None:
        with self._leaf_lock:
            self._waiting = self._waiting - count if self._waiting > count else 0
        if not arrived:
            self._dropped("spans", "export_error", count)


def _exporter(client: SentryClientLike, gone: Callable[..., None]) -> SpanExporter:
    """Return an exporter that reports how many spans it has exported, and whether they arrived."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ModeError("the OTLP exporter is not installed: run: pip install 'slotel[otlp]'") from error
    if not client.dsn:
        raise ModeError("there is no DSN")

    class Counted(OTLPSpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = SpanExportResult.FAILURE
            try:
                result = super().export(spans)
            finally:
                gone(len(spans), arrived=result is SpanExportResult.SUCCESS)
            return result

    endpoint, headers = otlp_endpoint(client.dsn)
    session, trusted = _session(client.dsn, client.options)
    return Counted(endpoint=endpoint, headers=headers, certificate_file=trusted, session=session)


def _session(dsn: str, options: Mapping[str, Any]) -> tuple[requests.Session, str]:
    """Return a session with the proxy of the Sentry client, and the file of certificates that it trusts.

    OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE and the like are meant for the collector, with its keys: the SDK's
    exporter would send and use them here, too.
    """
    import certifi  # a dependency of sentry-sdk
    import requests  # a dependency of the OTLP exporter

    parsed = Dsn(dsn)
    session = requests.Session()
    session.trust_env = False
    session.auth = _only_sentrys_headers
    proxy = named_proxy(parsed.scheme, parsed.host, options, parsed.port)
    if proxy is not None:
        session.proxies = {parsed.scheme: proxy}
    return session, named_certificates(options) or certifi.where()


def _only_sentrys_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    for name in [name for name in request.headers if name.lower() not in _SENT]:
        del request.headers[name]
    return request
