"""Mode `otlp`: sampled spans to Sentry's OTLP endpoint by the SDK's own batch processor. Sentry only, not GlitchTip.

`sentry.keep` has no effect here: spans leave one by one, before it is known how their trace ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from sentry_sdk.utils import Dsn

from slotel.model.service import SentrySettings
from slotel.runtime.entries import Entry
from slotel.runtime.sentry.own import own_span_test
from slotel.runtime.sentry.parts import Enforcing, ModeError, SentryClientLike
from slotel.runtime.sentry.route import CLIENT


def otlp_sink(
    settings: SentrySettings, *, client: SentryClientLike, enforcer: Enforcing, resource: Resource
) -> OtlpSink:
    """Return the sink around the SDK's batch processor.

    Raises:
        ModeError: the OTLP exporter is not installed, or there is no DSN.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ModeError("the OTLP exporter is not installed: run: pip install 'slotel[otlp]'") from error
    if not client.dsn:
        raise ModeError("there is no DSN")
    endpoint, headers = otlp_endpoint(client.dsn)
    exporter = OTLPSpanExporter(endpoint=endpoint, headers=headers)
    named = named_resource(resource, settings, client.options)
    return OtlpSink(BatchSpanProcessor(exporter), client.dsn, enforcer, named)


def otlp_endpoint(dsn: str) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers of a project's OTLP endpoint.

    Source: Sentry docs, "OpenTelemetry Protocol (OTLP)".

    >>> otlp_endpoint("https://key@o1.example.org/42")[0]
    'https://o1.example.org/api/42/integration/otlp/v1/traces/'
    """
    parsed = Dsn(dsn)
    base = f"{parsed.scheme}://{parsed.netloc}{parsed.path}"
    auth = f"sentry sentry_key={parsed.public_key}, sentry_client={CLIENT}"
    return f"{base}api/{parsed.project_id}/integration/otlp/v1/traces/", {"x-sentry-auth": auth}


def named_resource(resource: Resource, settings: SentrySettings, options: Mapping[str, Any]) -> Resource:
    """Return the resource with release and environment, which the endpoint reads nowhere else."""
    release = settings.release or options.get("release")
    environment = settings.environment or options.get("environment")
    added: dict[str, str] = {}
    if release:
        added |= {"sentry.release": str(release), "service.version": str(release)}
    if environment:
        added |= {"sentry.environment": str(environment), "deployment.environment.name": str(environment)}
    return Resource(added).merge(resource)


class OtlpSink:
    """Sampled spans, enforced and with the named resource, into a batch processor."""

    def __init__(self, processor: SpanProcessor, dsn: str, enforcer: Enforcing, resource: Resource) -> None:
        self._processor = processor
        self._enforcer = enforcer
        self._resource = resource
        self._is_own = own_span_test(dsn)

    def on_start(self, span: Span, entry: Entry, parent_context: Context | None) -> None:
        """Do nothing: the batch wants ended spans."""

    def on_end(self, span: ReadableSpan, entry: Entry | None) -> None:
        """Queue a sampled span."""
        context = span.context
        if context is None or not context.trace_flags.sampled or self._is_own(span, span.attributes or {}):
            return
        enforced = self._enforcer.span(span, entry.tags if entry is not None else {})
        self._processor.on_end(
            ReadableSpan(
                name=enforced.name,
                context=enforced.context,
                parent=enforced.parent,
                resource=self._resource,
                attributes=enforced.attributes,
                events=enforced.events,
                links=enforced.links,
                kind=enforced.kind,
                status=enforced.status,
                start_time=enforced.start_time,
                end_time=enforced.end_time,
                instrumentation_scope=enforced.instrumentation_scope,
            )
        )

    def flush(self, timeout: float) -> bool:
        """Send what is queued."""
        return self._processor.force_flush(int(timeout * 1000))

    def shutdown(self) -> None:
        """Send what is queued, and stop."""
        self._processor.shutdown()
