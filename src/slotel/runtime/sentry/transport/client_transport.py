"""The transport of the Sentry client: what sentry-sdk captures goes to the sender that transactions go by, too.

On the thread that captures it costs one append: encoding and compressing are done on the sender's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, Final

from sentry_sdk.envelope import Envelope, Item
from sentry_sdk.transport import Transport

from slotel.runtime.process.shutdown import EXIT
from slotel.runtime.sentry.transport import encode
from slotel.runtime.sentry.transport.bounds import encode_bounded
from slotel.runtime.sentry.transport.client_report import CATEGORIES
from slotel.runtime.sentry.transport.completion import EnvelopeCompletion, is_repetition
from slotel.runtime.sentry.transport.envelope_queue import QueuedEnvelope
from slotel.runtime.sentry.transport.error_kind import error_kind
from slotel.runtime.sentry.transport.sender import Sender
from slotel.runtime.upstream.sentry.client import inner_transport
from slotel.runtime.upstream.sentry.frames import is_reduced

_SIGNALS: Final = {
    **{category: signal for signal, category in CATEGORIES.items()},
    "profile_chunk": "profiles",
}
"""Category of sentry-sdk → `signal` of slotel_dropped_total."""


class ClientTransport(Transport):
    """Queues envelopes at a sender, and counts error events and every loss.

    Args:
        options: the client's.
        sender: may be shared with the transactions of the same client.
        completion: makes of an item what may be sent.
        counted: called with the environment of each error event.
    """

    def __init__(
        self,
        options: dict[str, Any],
        sender: Sender,
        *,
        completion: EnvelopeCompletion,
        counted: Callable[[str | None], None],
    ) -> None:
        super().__init__(options)
        self.sender = sender
        sender.report.enabled = bool(options.get("send_client_reports"))
        self._completion = completion
        self._counted = counted
        self._dropped = sender.report

    def capture_envelope(self, envelope: Envelope) -> None:
        """Queue an envelope."""
        if not envelope.items:
            return
        repeats, kind = False, None
        for item in envelope.items:
            event = item.get_event()
            if event is not None:
                self._counted(event.get("environment"))
                repeats, kind = is_reduced(event), error_kind(event)
        first = envelope.items[0]
        self.sender.offer_unencoded(_signal(first), lambda: self._encode(envelope, kind), kind, _count(first))
        self.sender.wake(soon=not repeats)

    def flush(self, timeout: float, callback: Any = None) -> None:
        """Send what waits, within `timeout` seconds."""
        if timeout <= 0 or self.sender.flush(time.monotonic() + timeout) or callback is None:
            return
        callback(self.sender.pending, timeout)

    def kill(self) -> None:
        """Let the sender's thread end when nothing waits any more; at an exit what still waits is counted as lost."""
        if EXIT.has_begun and not self.sender.flush(EXIT.deadline(0)):
            self.sender.stop("exit")
        else:
            self.sender.retire()

    def is_healthy(self) -> bool:
        """Return whether errors may be sent now."""
        return self.sender.limits.pause("error") == 0

    def record_lost_event(
        self,
        reason: str,
        data_category: Any = None,
        item: Item | None = None,
        *,
        quantity: int = 1,
    ) -> None:
        """Count what sentry-sdk or a hook of the app has dropped."""
        category = item.data_category if item is not None else data_category
        if category == "error" and is_repetition():
            return
        self._dropped(
            _SIGNALS.get(category, str(category)), reason, quantity if item is None else _count(item)
        )

    def _encode(self, envelope: Envelope, kind: Hashable) -> QueuedEnvelope | None:
        now = time.time()
        items = []
        for item in envelope.items:
            if self.sender.limits.pause(item.data_category):
                self._dropped(_signal(item), "rate_limited", _count(item))
            else:
                items.append((item, self._payload(item)))
        if not items:
            return None
        headers = self._completion.headers
        encoded = encode.envelope(
            headers(envelope.headers), [(headers(item.headers), payload) for item, payload in items], now
        )
        first = items[0][0]
        return QueuedEnvelope(
            encode.compress(encoded), now, first.data_category, _signal(first), kind, _count(first)
        )

    def _payload(self, item: Item) -> bytes:
        payload = self._completion.payload(item)
        if isinstance(payload, bytes):
            return payload
        return encode_bounded(payload) if item.type == "event" else encode.serialize(payload)


def _signal(item: Item) -> str:
    return _SIGNALS.get(item.data_category, item.data_category)


def _count(item: Item) -> int:
    """Return how many logs or metrics are in an item; of any other it is one."""
    told = item.headers.get("item_count")
    return told if isinstance(told, int) and told > 0 else 1


def sender_of(transport: Any) -> Sender | None:
    """Return the sender of a client's transport; None for a transport of the app's own."""
    inner = inner_transport(transport)
    return inner.sender if isinstance(inner, ClientTransport) else None
