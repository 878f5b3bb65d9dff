"""The Sentry scopes of a request or a job: its tags, user and breadcrumbs stay its own.

Their event processor adds the request to events, and its trace to events without a span.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import sentry_sdk

from slotel.runtime.process.finalizers import in_finalizer
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.errors.breadcrumbs import add_calls
from slotel.runtime.sentry.errors.capture import capture
from slotel.runtime.sentry.errors.exception_record import HAS_DETAILS, RECORD, ExceptionRecord
from slotel.runtime.sentry.errors.request import Carrier, add_framework_data, add_request
from slotel.runtime.upstream.otel.context import flags_of
from slotel.runtime.upstream.sentry.scope import CURRENT, ISOLATION
from slotel.runtime.upstream.stdlib import in_event_loop

_OF_SPAN: Final = frozenset({"method", "url"})
"""Keys of a transaction's `request` that its span has told."""


class RequestEventProcessor:
    """An event processor of one request's scope, for error events and the transaction.

    Args:
        link: writes the ids of a span into an event: `ErrorEventLinker.link`.
        carrier: the request's WSGI environ or ASGI scope; None if it is not known.
    """

    __slots__ = ("_details", "_link", "_local_root", "carrier")

    def __init__(self, link: Callable[..., None], local_root: LocalRoot, carrier: Carrier | None) -> None:
        self._link = link
        self._local_root = local_root
        self.carrier = carrier
        self._details: dict[str, Any] = {}

    def note_details(self) -> None:
        """Keep body, cookies and user for the transaction, which is made on another thread."""
        add_framework_data(self._details, self.carrier, is_over=True)

    def add_to(self, scope: Any) -> None:
        """Make a copied scope the request's own: without breadcrumbs of others, with this processor."""
        scope.clear_breadcrumbs()
        scope.add_event_processor(self)

    def __call__(self, event: Any, hint: Any) -> Any:
        """Add the request to an event, and to an error event without a span the trace of the request."""
        if event.get("type") is None:
            self._complete(event, hint.get(RECORD))
            if not hint.get(HAS_DETAILS):
                add_framework_data(event, self.carrier)
            add_calls(event, hint, self._local_root.spans)
            add_request(event, self.carrier, self._local_root.span.attributes or {}, self._details)
        elif event["type"] == "transaction":
            known = event.get("request") or {}
            if known.keys() <= _OF_SPAN:  # what is found here is better
                event.pop("request", None)
            add_request(event, self.carrier, {}, self._details)
            if known:
                event["request"] = {**known, **event.get("request", {})}
        return event

    def _complete(self, event: Any, exception_record: ExceptionRecord | None) -> None:
        if exception_record is None or exception_record.local_root is not None:
            return
        own = self._local_root.span.context
        if exception_record.context is None:
            self._link(event, own, self._local_root)
        elif exception_record.context.trace_id == own.trace_id:
            # after the answer the span has ended, and is still the current one
            self._link(event, exception_record.context, self._local_root, exception_record.span)


class Scopes(NamedTuple):
    """The Sentry scopes of one local root, and those that were active before."""

    around: Scopes | None
    base_isolation: Any
    base_current: Any
    isolation: Any
    local_root: LocalRoot
    view: RequestEventProcessor


SCOPES: ContextVar[Scopes | None] = ContextVar("slotel-scopes", default=None)


def note_details(integration: str, *_: Any, **__: Any) -> None:
    """Keep the framework's data of the current request for its transaction, if it is sampled.

    Args:
        integration: identifier of the framework's integration, which the app may have disabled.
    """
    scopes = SCOPES.get()
    if (
        scopes is not None
        and flags_of(scopes.local_root.span.context) & 1
        and sentry_sdk.get_client().get_integration(integration) is not None
    ):
        scopes.view.note_details()


def use_active_scopes() -> None:
    """Take what code says in the scopes that are active now for the transaction of the current request.

    An integration of sentry-sdk has made them, in which plain sentry-sdk's transaction begins.
    """
    scopes = SCOPES.get()
    trace = scopes.local_root.state if scopes is not None and not scopes.local_root.ended else None
    if trace is not None and trace.scopes is not None:
        trace.scopes = trace.scopes._replace(isolation=ISOLATION.get(), current=CURRENT.get())


def isolation_of(local_root: LocalRoot) -> Any:
    """Return the local root's own Sentry scope, if it is the active one; else None."""
    scopes = SCOPES.get()
    return scopes.isolation if scopes is not None and scopes.local_root is local_root else None


def capture_within(scopes: Scopes | None, error: BaseException, mechanism: str, *, handled: bool) -> None:
    """Report an exception within the scopes of its request, also from the server's task, which has other scopes."""
    if scopes is None or scopes is SCOPES.get():
        capture(error, mechanism, handled=handled)
        return
    token, standing = SCOPES.set(scopes), sentry_sdk.Scope.get_isolation_scope()
    sentry_sdk.Scope.set_isolation_scope(scopes.isolation)
    try:
        capture(error, mechanism, handled=handled)
    finally:
        sentry_sdk.Scope.set_isolation_scope(standing)
        SCOPES.reset(token)


def leave(local_root: LocalRoot, *, is_sent: bool) -> None:
    """Restore the former scopes. In an event loop they end with their task, which may still use them."""
    scopes = None if in_finalizer() else SCOPES.get()
    if scopes is None or scopes.local_root is not local_root:
        return
    if is_sent:
        scopes.view.note_details()
    if in_event_loop():
        return
    SCOPES.set(scopes.around)
    if ISOLATION.get() is scopes.isolation:
        ISOLATION.set(scopes.base_isolation)
        CURRENT.set(scopes.base_current)
