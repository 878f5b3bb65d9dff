"""Hands transactions to a transport that the app gave to its Sentry client, which sends, retries and flushes."""

from __future__ import annotations

from typing import Any

from sentry_sdk.envelope import Envelope

from slotel.runtime.logs import LOG
from slotel.runtime.sentry.client.protocols import Dropped
from slotel.runtime.sentry.transport.encode import decompress
from slotel.runtime.sentry.transport.envelope_queue import QueuedEnvelope
from slotel.runtime.sentry.transport.rate_limits import RateLimits


class AppTransport:
    """What `Sender` is for slotel's own transport."""

    def __init__(self, transport: Any, dropped: Dropped) -> None:
        self.limits = RateLimits()
        """None is ever learnt: the answers of a server are the transport's own matter."""
        self._transport = transport
        self._dropped = dropped

    def offer(self, envelope: QueuedEnvelope) -> None:
        """Hand over an envelope, on the thread that builds transactions."""
        try:
            self._transport.capture_envelope(Envelope.deserialize(decompress(envelope.body)))
        except Exception as error:  # noqa: BLE001 the app's own code
            self._dropped(envelope.signal, "transport_error", 1)
            LOG.debug("the app's Sentry transport failed: %s", error, exc_info=True)

    def wake(self) -> None:
        """Do nothing: nothing waits here."""

    def flush(self, deadline: float) -> bool:
        """Return True; `sentry_sdk.flush` flushes the transport."""
        del deadline
        return True

    def stop(self, reason: str) -> None:
        """Do nothing: nothing waits here."""
