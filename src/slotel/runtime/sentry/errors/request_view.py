"""What a request's Sentry scope adds to its events: the request, and its local root where no span is nearer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.errors.breadcrumbs import add_calls
from slotel.runtime.sentry.errors.exception_record import RECORD, ExceptionRecord
from slotel.runtime.sentry.errors.request import Carrier, add_framework_data, add_request

HAS_DETAILS: Final = "slotel.has_details"
"""In the hint of an event that has what the framework knows of its request."""


class RequestView:
    """An event processor of one request's scope.

    Args:
        link: ties an event to a span: `ErrorEventLinker.link`.
        carrier: the request.
    """

    __slots__ = ("_details", "_link", "_local_root", "carrier")

    def __init__(self, link: Callable[..., None], local_root: LocalRoot, carrier: Carrier | None) -> None:
        self._link = link
        self._local_root = local_root
        self.carrier = carrier
        self._details: dict[str, Any] = {}

    def note_details(self) -> None:
        """Keep for the transaction what only the thread of the request can tell."""
        add_framework_data(self._details, self.carrier, is_over=True)

    def add_to(self, scope: Any) -> None:
        """Make a copied scope the request's own."""
        scope.clear_breadcrumbs()
        scope.add_event_processor(self)

    def __call__(self, event: Any, hint: Any) -> Any:
        """Add to an event what it lacks; a thread that the request started has no span of its own."""
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
            self._link(event, own, self._local_root, {})
        elif exception_record.context.trace_id == own.trace_id:
            # after the answer the span has ended, and is still the current one
            self._link(event, exception_record.context, self._local_root, exception_record.attributes)
