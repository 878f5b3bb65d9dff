"""Release health: one Sentry session for each request, for an app whose client has `auto_session_tracking`.

Plain sentry-sdk counts sessions in the middlewares that slotel leaves out. sentry-sdk marks a session as errored or
crashed when it captures an event.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from slotel.runtime.sentry.errors.integrations import SET_UP

_MOST: Final = 10_000
"""Open requests; beyond, all are forgotten: spans that never end must not fill the memory."""


class RequestSessions:
    """Starts and ends the sessions of the frameworks whose integration slotel replaces.

    Attributes:
        frameworks: identifiers of the integrations whose sessions are counted here; sentry-sdk's own count the others.
    """

    def __init__(self) -> None:
        self.frameworks: frozenset[str] = frozenset()
        self._open: dict[int, Any] = {}

    def use_client(self, client: Any) -> None:
        """Count sessions for this client from now on, as its options and integrations say."""
        wanted = client.options.get("auto_session_tracking")
        integrations = getattr(client, "integrations", {}) if wanted else {}
        self.frameworks = frozenset(integrations) & SET_UP

    def start(self, span: ReadableSpan, framework: str, scope: Any) -> None:
        """Start a session when the server span of a request starts.

        Args:
            framework: identifier of its integration, as `flask`.
            scope: the request's isolation scope.
        """
        context = span.context
        if span.kind is not SpanKind.SERVER or framework not in self.frameworks or context is None:
            return
        if len(self._open) >= _MOST:
            self._open.clear()
        scope.start_session(session_mode="request")
        self._open[context.span_id] = scope

    def end(self, span: ReadableSpan) -> None:
        """End the session that was started with a span, if one was."""
        scope = self._open.pop(span.context.span_id, None) if span.context is not None else None
        if scope is not None:
            scope.end_session()
