"""Envelopes that wait to be posted, bounded by number and bytes; the oldest gives way. Counts no loss itself."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_LETTERS: Final = 5000
MAX_BYTES: Final = 8 * 1024 * 1024


@dataclass(slots=True)
class QueuedEnvelope:
    """One envelope; `made` is in seconds since 1970."""

    body: bytes
    made: float
    attempts: int = 0


class EnvelopeQueue:
    """A queue that any thread may fill and one empties. A forked child makes a new one: what waits is its parent's."""

    def __init__(self) -> None:
        self._letters: deque[QueuedEnvelope] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many letters wait."""
        return len(self._letters)

    def put(self, envelope: QueuedEnvelope) -> int:
        """Add a letter; return how many of the oldest had to give way."""
        lost = 0
        with self._lock:
            self._letters.append(envelope)
            self._bytes += len(envelope.body)
            while len(self._letters) > MAX_LETTERS or self._bytes > MAX_BYTES:
                self._bytes -= len(self._letters.popleft().body)
                lost += 1
        return lost

    def take(self, most: int, most_bytes: int) -> list[QueuedEnvelope]:
        """Return the oldest letters, at most so many, until they have that many bytes."""
        taken: list[QueuedEnvelope] = []
        size = 0
        with self._lock:
            while self._letters and len(taken) < most and size < most_bytes:
                envelope = self._letters.popleft()
                self._bytes -= len(envelope.body)
                size += len(envelope.body)
                taken.append(envelope)
        return taken

    def put_back(self, letters: Sequence[QueuedEnvelope]) -> None:
        """Let letters that were taken be the oldest again."""
        with self._lock:
            self._letters.extendleft(reversed(letters))
            self._bytes += sum(len(envelope.body) for envelope in letters)

    def clear(self) -> int:
        """Throw away what waits; return how many letters."""
        with self._lock:
            thrown = len(self._letters)
            self._letters.clear()
            self._bytes = 0
        return thrown
