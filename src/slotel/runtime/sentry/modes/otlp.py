"""Mode `otlp`: sampled spans to Sentry's OTLP endpoint by the SDK's own batch processor. Sentry only, not GlitchTip.

`sentry.keep` has no effect here: each span is exported when it ends, before it is known how its trace ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from slotel.config.service import SentrySettings
from slotel.runtime.process.threads import start_daemon
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.flushing import flush_first
from slotel.runtime.sentry.modes.otlp_export import CountingBatchProcessor
from slotel.runtime.sentry.own_requests import own_span_test
from slotel.runtime.sentry.protocols import Dropped, SentryClientLike
from slotel.runtime.tracing.sink import Sink
from slotel.runtime.upstream.otel.reading import copied


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
