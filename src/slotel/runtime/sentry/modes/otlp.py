"""Mode `otlp`: sampled spans to Sentry's OTLP endpoint by the SDK's own batch processor. Sentry only, not GlitchTip.

`sentry.keep` has no effect here: spans leave one by one, before it is known how their trace ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span

from slotel.config.service import SentrySettings
from slotel.runtime.process.threads import start_daemon
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.client.flushing import flush_first
from slotel.runtime.sentry.client.own_requests import own_span_test
from slotel.runtime.sentry.client.protocols import Dropped, EnforcerLike, SentryClientLike
from slotel.runtime.sentry.modes.otlp_export import Batches
from slotel.runtime.upstream.otel.reading import copied


def otlp_sink(
    settings: SentrySettings,
    *,
    client: SentryClientLike,
    enforcer: EnforcerLike,
    resource: Resource,
    dropped: Dropped,
) -> OtlpSink:
    """Return the sink around the SDK's batch processor.

    Raises:
        ModeError: the OTLP exporter is not installed, or there is no DSN.
    """
    return OtlpSink(enforcer, resource, settings, client, dropped)


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

    def __init__(
        self,
        enforcer: EnforcerLike,
        resource: Resource,
        settings: SentrySettings,
        client: SentryClientLike,
        dropped: Dropped,
    ) -> None:
        self._enforcer = enforcer
        self._plain_resource = resource
        self._settings = settings
        self._dropped = dropped
        self._leaving: list[threading.Thread] = []
        self._use(client)

    def follow(self, client: SentryClientLike) -> None:
        """Ship by another client from now on; what waits already leaves by the former one."""
        former = self._batches
        self._use(client)
        leaving = start_daemon("slotel-otlp-former", former.shutdown)
        self._leaving = [*(each for each in self._leaving if each.is_alive()), leaving]

    def _use(self, client: SentryClientLike) -> None:
        self._batches = Batches(client, self._dropped)
        self._resource = named_resource(self._plain_resource, self._settings, client.options)
        self._is_own = own_span_test(client.dsn or "")
        flush_first(client, self.flush)

    def on_start(self, span: Span, local_root: LocalRoot, parent_context: Context | None) -> None:
        """Do nothing: the batch wants ended spans."""

    def on_end(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        """Queue a sampled span."""
        context = span.context
        if context is None or not context.trace_flags.sampled or self._is_own(span, span.attributes or {}):
            return
        enforced = self._enforcer.span(span, local_root.tags if local_root is not None else {})
        self._batches.add(copied(enforced, resource=self._resource))

    def flush(self, timeout: float) -> bool:
        """Send what is queued."""
        deadline = time.monotonic() + timeout
        flushed = self._batches.flush(timeout)
        for each in self._leaving:
            each.join(max(deadline - time.monotonic(), 0.0))
        return flushed and not any(each.is_alive() for each in self._leaving)

    def shutdown(self) -> None:
        """Send what is queued, and stop."""
        self._batches.shutdown()
