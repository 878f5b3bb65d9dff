"""Completes envelopes of sentry-sdk before they are sent: adds source lines and packages to errors, and redacts all.

slotel's transport does this on the sender's thread. Other transports, Spotlight and sentry-sdk's debug output get
completed envelopes on the capturing thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sentry_sdk.envelope import Envelope, Item, PayloadRef

from slotel.runtime.logs import LOG
from slotel.runtime.sentry.protocols import DUPLICATE
from slotel.runtime.sentry.transport.bounds import cut_long_values
from slotel.runtime.sentry.transport.modules import add_modules
from slotel.runtime.sentry.transport.source_lines import SourceLines
from slotel.runtime.upstream.sentry.events import UnserializedEvent
from slotel.runtime.upstream.sentry.frames import FinishedFrames

Event = dict[str, Any]


class EnvelopeCompletion:
    """Completes envelopes.

    Args:
        redact: `Enforcer.item`, given an item's type and payload.
        redact_headers: `Enforcer.headers`.
    """

    def __init__(
        self,
        redact: Callable[[str, Any], Any],
        redact_headers: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self._redact = redact
        self.headers = redact_headers
        self.lines = SourceLines()
        self._frames = FinishedFrames()

    def payload(self, item: Item) -> Any:
        """Return an item's completed and redacted payload: JSON values, or bytes."""
        kind = item.type or ""
        payload: Any = item.payload.json
        if payload is None:
            return self._redact(kind, item.get_bytes())
        if kind != "event":
            return self._redact(kind, payload)
        is_unserialized = isinstance(payload, UnserializedEvent)
        longest = None
        if is_unserialized:
            longest = payload.longest
            self._frames.put_into(payload, payload.marks)
            payload = payload.finished()
        self.lines.add_to(payload, longest)
        cut_long_values(payload, times=2)
        event = self._redact(kind, payload)
        if is_unserialized:
            self._frames.keep(event)
        add_modules(event)
        return event

    def before(self, receiver: Any, handed: Callable[[str | None], None] = lambda _: None) -> None:
        """Complete each envelope before this receiver gets it. A second call does nothing.

        Args:
            receiver: an object with `capture_envelope`, which is replaced on this object.
            handed: called with the environment of each error event.
        """
        if receiver is None or getattr(receiver, "_slotel_completed", False):
            return
        receive = receiver.capture_envelope

        def capture_envelope(envelope: Envelope) -> None:
            try:
                self._complete(envelope)
            except Exception as error:  # noqa: BLE001 data that cannot be redacted is not sent
                LOG.error("an envelope could not be redacted and was not sent: %s", type(error).__name__)
                record = getattr(receiver, "record_lost_event", None)
                if record is not None:
                    for item in envelope.items:
                        record("internal_sdk_error", item=item)
                return
            for item in envelope.items:
                event = item.get_event()
                if event is not None:
                    handed(event.get("environment"))
            receive(envelope)

        receiver.capture_envelope = capture_envelope
        receiver._slotel_completed = True  # noqa: SLF001 our own mark

    def _complete(self, envelope: Envelope) -> None:
        envelope.headers = self.headers(envelope.headers)
        for item in envelope.items:
            payload = self.payload(item)
            item.headers = self.headers(item.headers)
            is_bytes = isinstance(payload, bytes)
            item.payload = PayloadRef(bytes=payload) if is_bytes else PayloadRef(json=payload)


def watch_losses(transport: Any, lost: Callable[[str, int], None]) -> None:
    """Count the error events that are dropped before they reach a transport of the app. A second call does nothing.

    Args:
        lost: called with sentry-sdk's reason and the number of events.
    """
    if transport is None or getattr(transport, "_slotel_watched", False):
        return
    record = transport.record_lost_event

    def record_lost_event(
        reason: str, data_category: Any = None, item: Any = None, *, quantity: int = 1
    ) -> None:
        if (item.data_category if item is not None else data_category) == "error":
            if is_repetition():
                return
            lost(reason, 1 if item is not None else quantity)
        record(reason, data_category, item, quantity=quantity)

    transport.record_lost_event = record_lost_event
    transport._slotel_watched = True  # noqa: SLF001 our own mark


def is_repetition() -> bool:
    """Return whether the event that is just being dropped is a second report of an exception, once: nothing is lost."""
    repeats = DUPLICATE.get()
    if repeats:
        DUPLICATE.set(False)
    return repeats
