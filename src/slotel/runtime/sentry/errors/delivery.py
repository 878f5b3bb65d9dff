"""Counts the error events that a transport of the app gets, and those that are dropped before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slotel.runtime.sentry.protocols import DUPLICATE


def watch_delivery(
    transport: Any, *, handed: Callable[[str | None], None], lost: Callable[[str, int], None]
) -> None:
    """Count the events of this transport from now on. A second call does nothing.

    The transport is the app's own, so its methods are wrapped and it is not replaced.

    Args:
        handed: called with the event's environment.
        lost: called with sentry-sdk's reason and the number of events.
    """
    if transport is None or getattr(transport, "_slotel_watched", False):
        return
    send, record = transport.capture_envelope, transport.record_lost_event

    def capture_envelope(envelope: Any) -> None:
        for item in envelope.items:
            if item.headers.get("type") == "event":
                event = item.get_event()
                handed((event or {}).get("environment"))
        send(envelope)

    def record_lost_event(
        reason: str, data_category: Any = None, item: Any = None, *, quantity: int = 1
    ) -> None:
        category = item.data_category if item is not None else data_category
        if category == "error":
            if DUPLICATE.get():
                DUPLICATE.set(False)
                return  # one exception, reported twice: nothing is lost, and Sentry need not be told
            lost(reason, 1 if item is not None else quantity)
        record(reason, data_category, item, quantity=quantity)

    transport.capture_envelope = capture_envelope
    transport.record_lost_event = record_lost_event
    transport._slotel_watched = True  # noqa: SLF001 our own mark
