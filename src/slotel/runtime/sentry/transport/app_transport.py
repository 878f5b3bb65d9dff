"""Hands transactions to a transport of the app's own, which sends, retries and flushes, and to Spotlight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from sentry_sdk.envelope import Envelope

from slotel.runtime.logs import LOG
from slotel.runtime.sentry.protocols import Dropped
from slotel.runtime.sentry.transport.encode import decompress
from slotel.runtime.sentry.transport.envelope_queue import QueuedEnvelope
from slotel.runtime.sentry.transport.rate_limits import RateLimits

if TYPE_CHECKING:
    from slotel.runtime.sentry.transport.sender import Sender


TransactionSender: TypeAlias = "Sender | AppTransport | WithSpotlight"
"""Sends built transactions."""


class AppTransport:
    """Hands envelopes to a transport of the app, with the interface of `Sender`."""

    def __init__(self, transport: Any, dropped: Dropped) -> None:
        self.limits = RateLimits()
        """Always empty: rate limits are handled by the app's transport."""
        self._transport = transport
        self._dropped = dropped

    def offer(self, envelope: QueuedEnvelope) -> None:
        """Hand over an envelope, on the thread that builds transactions."""
        try:
            self._transport.capture_envelope(Envelope.deserialize(decompress(envelope.body)))
        except Exception as error:  # noqa: BLE001 the app's own code
            self._dropped(envelope.signal, "transport_error", 1)
            LOG.debug("the app's Sentry transport failed: %s", error, exc_info=True)

    def lost(self, signal: str, reason: str, count: int) -> None:
        """Count a loss before this."""
        self._dropped(signal, reason, count)

    def wake(self) -> None:
        """Do nothing: nothing is queued here."""

    def flush(self, deadline: float) -> bool:
        """Return True; `sentry_sdk.flush` flushes the transport."""
        del deadline
        return True

    def stop(self, reason: str) -> None:
        """Do nothing: nothing waits here."""


class WithSpotlight:
    """Sends each transaction to Spotlight as well.

    Args:
        spotlight: sentry-sdk's Spotlight client.
    """

    def __init__(self, sender: Sender | AppTransport, spotlight: Any, dropped: Dropped) -> None:
        self._sender = sender
        self._spotlight = AppTransport(spotlight, dropped)
        self.limits, self.wake, self.flush, self.stop = sender.limits, sender.wake, sender.flush, sender.stop
        self.lost = sender.lost

    def offer(self, envelope: QueuedEnvelope) -> None:
        """Take an envelope, on the thread that builds transactions."""
        self._spotlight.offer(envelope)
        self._sender.offer(envelope)
