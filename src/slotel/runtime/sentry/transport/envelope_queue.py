"""Queues of what waits to be encoded or sent, bounded in number and bytes; what gives way. They count no loss."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MAX_ENVELOPES: Final = 5000
MAX_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of all envelopes. One that is larger than half of it counts as half, so that two large ones can wait."""
ERRORS: Final = "errors"
"""The `signal` whose kinds are told apart."""
_SLACK: Final = 16
"""A queue that is too large gives up this part of its bounds at once: what gives way is looked for in all of it."""


@dataclass(slots=True, eq=False)
class QueuedEnvelope:
    """One envelope.

    Args:
        body: gzipped or plain; empty if it is still to be made.
        made: unix seconds.
        category: category of its main item in rate limits.
        signal: its `signal` in `slotel_dropped_total`.
        kind: of an error, as `error_kind` makes it.
        count: how many of that signal are in it: of logs and metrics up to a hundred.
        attempts: failed attempts to send it.
        encode: makes the envelope with its bytes, on the sender's thread; None if nothing of it may be sent now.
    """

    body: bytes
    made: float
    category: str = "transaction"
    signal: str = "traces"
    kind: Hashable = None
    count: int = 1
    attempts: int = 0
    encode: Callable[[], QueuedEnvelope | None] = lambda: None

    @property
    def weight(self) -> int:
        """Its bytes in the queue."""
        return min(len(self.body), MAX_BYTES // 2)


class EnvelopeQueue:
    """A queue that any thread fills and one thread empties. A forked child makes a new one: the parent sends this one.

    Every call on the deque is atomic, and the lock is held only around a sum: the app's threads put errors in, also
    from a signal handler or a finalizer that has interrupted slotel within another lock (decision 0110).

    Args:
        most: most envelopes.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = MAX_ENVELOPES if most is None else most
        self._envelopes: deque[QueuedEnvelope] = deque()
        self._bytes = 0
        self._leaf_lock = threading.RLock()

    def __len__(self) -> int:
        """Return how many envelopes are queued."""
        return len(self._envelopes)

    def put(self, envelope: QueuedEnvelope) -> list[QueuedEnvelope]:
        """Add an envelope; return those that gave way to it, which may be itself."""
        self._add_bytes(envelope.weight)
        self._envelopes.append(envelope)
        return self._trim()

    def take(self) -> QueuedEnvelope | None:
        """Return the oldest envelope."""
        try:
            envelope = self._envelopes.popleft()
        except IndexError:
            return None
        self._add_bytes(-envelope.weight)
        return envelope

    def put_back(self, envelope: QueuedEnvelope) -> list[QueuedEnvelope]:
        """Put an envelope back as the oldest; return those that gave way to it."""
        self._add_bytes(envelope.weight)
        self._envelopes.appendleft(envelope)
        return self._trim()

    def clear(self) -> list[QueuedEnvelope]:
        """Empty the queue; return its envelopes."""
        waiting = []
        while (envelope := self.take()) is not None:
            waiting.append(envelope)
        return waiting

    def _add_bytes(self, count: int) -> None:
        with self._leaf_lock:
            self._bytes += count

    def _trim(self) -> list[QueuedEnvelope]:
        lost: list[QueuedEnvelope] = []
        if len(self._envelopes) <= self._most and self._bytes <= MAX_BYTES:
            return lost
        most, most_bytes = self._most - self._most // _SLACK, MAX_BYTES - MAX_BYTES // _SLACK
        for envelope in least_needed(list(self._envelopes)):
            if len(self._envelopes) <= most and self._bytes <= most_bytes:
                break
            try:
                self._envelopes.remove(envelope)
            except ValueError:  # another thread or a signal handler took it, or gave it up
                continue
            self._add_bytes(-envelope.weight)
            lost.append(envelope)
        return lost


def least_needed(waiting: Sequence[QueuedEnvelope]) -> Iterator[QueuedEnvelope]:
    """Yield envelopes in the order in which they give way.

    Errors have half of the queue, and what the rest leaves of it; the rest likewise. Of errors a kind with many events
    gives way before one with few, and the first event of each kind, which tells how it began, after all others. Of
    the rest the signal with the most gives way first. Else the oldest goes first.

    Args:
        waiting: the oldest first.
    """
    errors = deque(_most_frequent_first([each for each in waiting if each.signal == ERRORS], spared=1))
    rest = deque(_most_frequent_first([each for each in waiting if each.signal != ERRORS], spared=0))
    of_errors, of_rest = sum(map(_share, errors)), sum(map(_share, rest))
    while errors or rest:
        if errors and (of_errors > of_rest or not rest):
            of_errors -= _share(errors[0])
            yield errors.popleft()
        else:
            of_rest -= _share(rest[0])
            yield rest.popleft()


def _share(envelope: QueuedEnvelope) -> int:
    """Return what an envelope takes of both bounds, in bytes."""
    return envelope.weight + MAX_BYTES // MAX_ENVELOPES


def _most_frequent_first(waiting: Sequence[QueuedEnvelope], *, spared: int) -> list[QueuedEnvelope]:
    """Return envelopes by their number among the later ones of their kind, the highest first.

    Args:
        waiting: the oldest first.
        spared: 1 if the oldest of each kind comes after all others.
    """
    later: Counter[tuple[str, Hashable]] = Counter()
    ranks = []
    for envelope in reversed(waiting):
        kind = (envelope.signal, envelope.kind)
        later[kind] += 1
        ranks.append(later[kind])
    ranked = zip(reversed(ranks), waiting, strict=True)
    order = [
        (0 if spared and rank == later[envelope.signal, envelope.kind] else -rank, place, envelope)
        for place, (rank, envelope) in enumerate(ranked)
    ]
    return [envelope for _, _, envelope in sorted(order, key=lambda each: each[:2])]
