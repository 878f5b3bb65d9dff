"""Release health: one Sentry session for each request, for an app whose `sentry_sdk.init` asks for it.

Plain sentry-sdk counts sessions in the middlewares that slotel leaves out. Whether a session errored or crashed,
sentry-sdk decides when it captures an event.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from slotel.runtime.sentry.errors.integrations import SET_UP

_MOST: Final = 10_000
"""Requests under way; a span that never ends must not fill the memory."""


class RequestSessions:
    """Starts and ends the sessions of the frameworks whose integration slotel replaces.

    Attributes:
        frameworks: whose sessions are wanted; sentry-sdk's own integrations count those of the others.
    """

    def __init__(self) -> None:
        self.frameworks: frozenset[str] = frozenset()
        self._open: dict[int, Any] = {}

    def follow(self, client: Any) -> None:
        """Do what the options and integrations of this client say."""
        wanted = client.options.get("auto_session_tracking")
        integrations = getattr(client, "integrations", {}) if wanted else {}
        self.frameworks = frozenset(integrations) & SET_UP

    def start(self, span: ReadableSpan, framework: str, scope: Any) -> None:
        """Start the session of a request in its isolation scope."""
        context = span.context
        if span.kind is not SpanKind.SERVER or framework not in self.frameworks or context is None:
            return
        if len(self._open) >= _MOST:
            self._open.clear()
        scope.start_session(session_mode="request")
        self._open[context.span_id] = scope

    def end(self, span: ReadableSpan) -> None:
        """End the session of a request."""
        scope = self._open.pop(span.context.span_id, None) if span.context is not None else None
        if scope is not None:
            scope.end_session()
