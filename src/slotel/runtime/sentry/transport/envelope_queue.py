"""The envelopes that wait to be sent, bounded in number and bytes: the oldest is dropped. It counts no loss itself."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

MAX_ENVELOPES: Final = 5000
MAX_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of all envelopes. One that is larger than half of it counts as half, so that two large ones can wait."""


@dataclass(slots=True)
class QueuedEnvelope:
    """One envelope.

    Args:
        body: gzipped or plain.
        made: unix seconds.
        category: category of its main item in rate limits.
        signal: its `signal` in `slotel_dropped_total`.
        attempts: failed attempts to send it.
    """

    body: bytes
    made: float
    category: str = "transaction"
    signal: str = "traces"
    attempts: int = 0

    @property
    def weight(self) -> int:
        """Its bytes in the queue."""
        return min(len(self.body), MAX_BYTES // 2)


class EnvelopeQueue:
    """A queue that any thread fills and one thread empties. A forked child makes a new one: the parent sends this one.

    The lock is re-entrant, and only this file's code runs under it: a signal handler may end a span at any time.
    """

    def __init__(self) -> None:
        self._envelopes: deque[QueuedEnvelope] = deque()
        self._bytes = 0
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """Return how many envelopes are queued."""
        return len(self._envelopes)

    def put(self, envelope: QueuedEnvelope) -> list[QueuedEnvelope]:
        """Add an envelope; return the oldest ones, which were dropped for it."""
        with self._lock:
            self._envelopes.append(envelope)
            self._bytes += envelope.weight
            return self._trim()

    def take(self) -> QueuedEnvelope | None:
        """Return the oldest envelope."""
        with self._lock:
            if not self._envelopes:
                return None
            envelope = self._envelopes.popleft()
            self._bytes -= envelope.weight
            return envelope

    def put_back(self, envelope: QueuedEnvelope) -> list[QueuedEnvelope]:
        """Put an envelope back as the oldest; return those that were dropped for it."""
        with self._lock:
            self._envelopes.appendleft(envelope)
            self._bytes += envelope.weight
            return self._trim()

    def clear(self) -> list[QueuedEnvelope]:
        """Empty the queue; return its envelopes."""
        with self._lock:
            waiting = list(self._envelopes)
            self._envelopes.clear()
            self._bytes = 0
            return waiting

    def _trim(self) -> list[QueuedEnvelope]:
        lost = []
        while len(self._envelopes) > MAX_ENVELOPES or self._bytes > MAX_BYTES:
            oldest = self._envelopes.popleft()
            self._bytes -= oldest.weight
            lost.append(oldest)
        return lost
