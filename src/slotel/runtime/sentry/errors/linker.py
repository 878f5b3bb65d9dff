"""Ties Sentry's error events to the OTel span that failed: trace, name, tags, one event for one exception.

A sink of the pipeline, and an event processor of sentry-sdk. It sends nothing itself but what escapes a request.
"""

from __future__ import annotations

import asyncio
import inspect
import platform
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

import sentry_sdk
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, format_span_id, format_trace_id
from sentry_sdk.utils import event_from_exception

from slotel.config.tags import sentry_tag_key
from slotel.runtime.requests.local_roots import Entries, Entry
from slotel.runtime.sentry.errors.exception_record import Fate, fate_of, remember
from slotel.runtime.sentry.errors.request import Carrier, add_request
from slotel.runtime.sentry.propagation import request_of

Tags = Callable[[Mapping[str, Any], Mapping[str, str]], "dict[str, str]"]
"""Gives the enforced tags of attributes and custom tags: `Enforcer.tags`."""

AGAIN: Final = 5.0
"""Seconds within which an exception that belongs to no trace is one occurrence, however often it is reported."""

_FATE: Final = "slotel.fate"
_ISOLATED: Final = (SpanKind.SERVER, SpanKind.CONSUMER)
_REPORTED_BY_SIGNAL: Final = "opentelemetry.instrumentation.django"
"""Its spans also end with exceptions that a middleware turned into an answer; Django's own signal knows better."""

_RUNTIME: Final = {
    "name": platform.python_implementation(),
    "version": platform.python_version(),
    "build": sys.version,
}

_TAKES_OPTIONS: Final = "client_options" in inspect.signature(event_from_exception).parameters
"""sentry-sdk 2.x does, 3.x reads them from the client itself."""

DUPLICATE: ContextVar[bool] = ContextVar("slotel-duplicate", default=False)
"""The event that is just being dropped is a second report of one exception: no loss."""


class _Scopes:
    """The Sentry scopes of one entry, and those that stood before."""

    __slots__ = ("base_current", "base_isolation", "entry", "isolation")

    def __init__(self, base_isolation: Any, base_current: Any, isolation: Any, entry: Entry) -> None:
        self.base_isolation = base_isolation
        self.base_current = base_current
        self.isolation = isolation
        self.entry = entry


_SCOPES: ContextVar[_Scopes | None] = ContextVar("slotel-scopes", default=None)


class ErrorTrail:
    """Knows for each exception in which span it happened, and for each event which exception it speaks of.

    Args:
        tags: gives the enforced tags.
    """

    starts: Final = "entries"
    no_quiet_children: Final = True

    def __init__(self, entries: Entries, tags: Tags) -> None:
        self._entries = entries
        self._tags = tags
        self._former: Any = None

    # -- as a sink of the pipeline ---------------------------------------------------------------------------

    def on_start(self, span: Span, entry: Entry, parent_context: Context | None) -> None:
        """Give a request its own Sentry scopes, so that its tags, user and breadcrumbs stay its own."""
        if entry.span is not span or span.kind not in _ISOLATED:
            return
        scope = sentry_sdk.Scope
        isolation, current = scope.get_isolation_scope(), scope.get_current_scope()
        left = _SCOPES.get()
        if left is not None and left.isolation is isolation:
            isolation, current = left.base_isolation, left.base_current
        forked = isolation.fork()
        forked.clear_breadcrumbs()
        forked.add_event_processor(_RequestView(self, entry, request_of(parent_context)))
        _SCOPES.set(_Scopes(isolation, current, forked, entry))
        scope.set_isolation_scope(forked)
        scope.set_current_scope(current.fork())

    def on_end(self, span: ReadableSpan, entry: Entry | None) -> None:
        """Remember in which span an exception happened; report it when it escapes a request."""
        if span.status.status_code is StatusCode.ERROR:
            error = sys.exc_info()[1]
            if error is not None:
                self._failed(span, entry, error)
        if entry is None or not entry.ended:
            return  # a child, mostly
        if entry.span.context is span.context and span.kind in _ISOLATED:
            _leave(entry)

    def replaced(self, client: Any) -> None:
        """Note the Sentry client that another has replaced: what it holds must leave, too."""
        self._former = client

    def flush(self, timeout: float) -> bool:
        """Let Sentry send what it holds."""
        deadline = time.monotonic() + timeout
        sentry_sdk.flush(timeout=timeout)
        if self._former is not None:
            self._former.flush(timeout=max(deadline - time.monotonic(), 0.0))
        return True

    def shutdown(self) -> None:
        """Let Sentry send what it holds."""
        self.flush(2.0)

    def _failed(self, span: ReadableSpan, entry: Entry | None, error: BaseException) -> None:
        recorded = _records(span, error)
        if recorded and span.context is not None:
            fate = fate_of(error)
            if fate is None or fate.context is None or fate.context.trace_id != span.context.trace_id:
                remember(error, Fate(span.context, entry, span.attributes or {}))
        is_entry = entry is not None and entry.span.context is span.context and span.kind in _ISOLATED
        scope = span.instrumentation_scope
        if is_entry and not (scope is not None and scope.name == _REPORTED_BY_SIGNAL):
            status = _http_status(error)
            if recorded if status is None else status >= 500:  # noqa: PLR2004 - HTTP
                capture(error, "opentelemetry", handled=status is not None)

    # -- as an event processor of sentry-sdk -----------------------------------------------------------------

    def __call__(self, event: Any, hint: Any) -> Any:
        """Tie an error event to its span; None for a second report of the same exception."""
        if event.get("type") is not None:
            return event
        current = trace.get_current_span().get_span_context()
        error = (hint.get("exc_info") or (None, None))[1]
        fate = fate_of(error)
        if error is not None and fate is not None and fate.trace_differs(current):
            fate = None
        if fate is not None and fate.reported and (fate.context or time.monotonic() - fate.reported < AGAIN):
            DUPLICATE.set(True)
            return None
        if fate is None:
            fate = Fate(current if current.is_valid else None, self._entries.of(current.span_id), {})
            if error is not None:
                remember(error, fate)
        fate.reported = time.monotonic()
        contexts = event.setdefault("contexts", {})
        contexts.setdefault("runtime", _RUNTIME)
        hint[_FATE] = fate
        self.link(event, fate.context, fate.entry, fate.attributes)
        return event

    def link(
        self, event: Any, context: SpanContext | None, entry: Entry | None, attributes: Mapping[str, Any]
    ) -> None:
        """Write trace, transaction name and enforced tags into an event."""
        if context is not None:
            event.setdefault("contexts", {})["trace"] = {
                "trace_id": format_trace_id(context.trace_id),
                "span_id": format_span_id(context.span_id),
            }
        given = event.get("tags")
        custom = dict(given) if isinstance(given, dict) else {}
        if entry is not None:
            event["transaction"] = entry.span.name
            event["transaction_info"] = {"source": _source(entry.span)}
            attributes = {**(entry.span.attributes or {}), **attributes}
            custom.update(entry.tags)
        tags = {sentry_tag_key(key): value for key, value in self._tags(attributes, custom).items() if value}
        tags.pop(None, None)
        event["tags"] = tags


class _RequestView:
    """What a request's Sentry scope adds to its events: the request, and its entry where nothing nearer is known."""

    __slots__ = ("_carrier", "_entry", "_trail")

    def __init__(self, trail: ErrorTrail, entry: Entry, carrier: Carrier | None) -> None:
        self._trail = trail
        self._entry = entry
        self._carrier = carrier

    def __call__(self, event: Any, hint: Any) -> Any:
        """Add to an event what it lacks; a thread that the request started has no span of its own."""
        if event.get("type") is None:
            self._complete(event, hint.get(_FATE))
            add_request(event, self._carrier, self._entry.span.attributes or {})
        return event

    def _complete(self, event: Any, fate: Fate | None) -> None:
        if fate is None or fate.entry is not None:
            return
        own = self._entry.span.context
        if fate.context is None:
            self._trail.link(event, own, self._entry, {})
        elif fate.context.trace_id == own.trace_id:
            # after the answer the span has ended, and is still the current one
            self._trail.link(event, fate.context, self._entry, fate.attributes)


def capture(
    error: BaseException,
    mechanism: str,
    *,
    handled: bool = False,
    complete: Callable[[Any], None] | None = None,
) -> str | None:
    """Report an exception to Sentry; return the event's id, None if it was not sent. Never raises.

    Args:
        mechanism: who caught it, as Sentry shows it.
        complete: adds to the event what the framework knows; its faults are ignored.
    """
    client = sentry_sdk.get_client()
    try:
        more: dict[str, Any] = {"client_options": client.options} if _TAKES_OPTIONS else {}
        event, hint = event_from_exception(error, mechanism={"type": mechanism, "handled": handled}, **more)
        if complete is not None:
            try:
                complete(event)
            except Exception:  # noqa: BLE001 an event without these details is better than none
                hint["slotel.incomplete"] = True
        return sentry_sdk.capture_event(event, hint=hint)
    except Exception:  # noqa: BLE001 nothing may reach the app; the loss is counted by `delivery.py`
        if client.transport is not None:
            client.transport.record_lost_event("internal_sdk_error", data_category="error")
        return None


def current_span_ids() -> tuple[str, str] | None:
    """Return trace and span id of the current OTel span, as sentry-sdk asks for them."""
    context = trace.get_current_span().get_span_context()
    return (format_trace_id(context.trace_id), format_span_id(context.span_id)) if context.is_valid else None


def isolation_of(entry: Entry) -> Any:
    """Return the Sentry scope that is this entry's own, if it is the one that is active here."""
    scopes = _SCOPES.get()
    return scopes.isolation if scopes is not None and scopes.entry is entry else None


def _leave(entry: Entry) -> None:
    """Put back the scopes that stood before; in an event loop they end with their task, and may still be used."""
    scopes = _SCOPES.get()
    if scopes is None or scopes.entry is not entry or asyncio._get_running_loop() is not None:  # noqa: SLF001 documented, low-level
        return
    _SCOPES.set(None)
    if sentry_sdk.Scope.get_isolation_scope() is scopes.isolation:
        sentry_sdk.Scope.set_isolation_scope(scopes.base_isolation)
        sentry_sdk.Scope.set_current_scope(scopes.base_current)


def _records(span: ReadableSpan, error: BaseException) -> bool:
    """Whether the span ended by this exception, and not merely while it was being handled."""
    kind = type(error)
    names = {kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}"}
    return any(
        event.name == "exception" and (event.attributes or {}).get("exception.type") in names
        for event in reversed(span.events)
    )


def _http_status(error: BaseException) -> int | None:
    """Return the status that an exception answers with, when it is an answer (Starlette, aiohttp)."""
    for name in ("status_code", "status"):
        status = getattr(error, name, None)
        if isinstance(status, int):
            return status
    return None


def _source(span: Span) -> str:
    if span.kind is SpanKind.CONSUMER:
        return "task"
    return "route" if "http.route" in (span.attributes or {}) else "custom"
