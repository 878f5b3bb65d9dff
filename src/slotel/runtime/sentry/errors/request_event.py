"""The event processor of a request's Sentry scope: adds the request, and its trace if the event has no span."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.errors.breadcrumbs import add_calls
from slotel.runtime.sentry.errors.exception_record import RECORD, ExceptionRecord
from slotel.runtime.sentry.errors.request import Carrier, add_framework_data, add_request

HAS_DETAILS: Final = "slotel.has_details"
"""In the hint of an event that has what the framework knows of its request."""


class RequestEventProcessor:
    """An event processor of one request's scope, for error events and the transaction.

    Args:
        link: writes the ids of a span into an event: `ErrorEventLinker.link`.
        local_root: of the request.
        carrier: its WSGI environ or ASGI scope; None if it is not known.
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
            add_request(event, self.carrier, {}, self._details)
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
