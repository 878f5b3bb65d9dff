"""What was lost on the way to one DSN, as Sentry's page of discarded events takes it. Counts; sends nothing."""

from __future__ import annotations

import threading
import time
from itertools import product
from typing import Final

from slotel.runtime.sentry.protocols import Dropped
from slotel.runtime.sentry.transport.encode import envelope, serialize

INTERVAL: Final = 30.0
"""Seconds between two reports."""
CATEGORIES: Final = {
    "errors": "error",
    "traces": "transaction",
    "spans": "span",
    "sessions": "session",
    "logs": "log_item",
    "check_ins": "monitor",
    "profiles": "profile",
    "attachments": "attachment",
    "metrics": "trace_metric",
}
"""`signal` of slotel_dropped_total → category of Sentry."""
_REASONS: Final = {
    "queue_full": "queue_overflow",
    "rate_limited": "ratelimit_backoff",
    "too_large": "send_error",
    "send_error": "send_error",
    "network": "network_error",
    "timeout": "network_error",
    "server_error": "network_error",
    "build_error": "internal_sdk_error",
    "overloaded": "buffer_overflow",
}
"""`reason` of slotel_dropped_total → that of Sentry. Source: Sentry SDK docs, "Client Reports"."""
_REFUSED: Final = "status_"
"""What a reason of a refused envelope begins with."""
_SENTRYS: Final = frozenset(
    {
        "before_send", "event_processor", "callback_error", "sample_rate", "ignored", "backpressure", "no_parent_span",
        "insufficient_data", "buffer_overflow", "cache_overflow", "internal_sdk_error", "network_error",
        "queue_overflow", "send_error", "ratelimit_backoff",
    }
)  # fmt: skip
_PAIRS: Final = tuple(product(CATEGORIES.values(), _SENTRYS))
"""All keys are there from the start: what a Counter lacks costs a call, in which a signal handler may run."""


class ClientReport:
    """Counts losses until they are reported, on any thread. The lock is held only around a sum (decision 0110).

    Args:
        dropped: is given each loss.
    """

    def __init__(self, dropped: Dropped) -> None:
        self.enabled = False
        self.dropped = dropped
        self._next = 0.0
        self.forget()

    def __call__(self, signal: str, reason: str, count: int) -> None:
        """Count a loss."""
        self.dropped(signal, reason, count)
        if self.enabled:
            self.add(signal, reason, count)

    def add(self, signal: str, reason: str, count: int) -> None:
        """Count a loss for the report alone; what an exit loses is in none."""
        told = "send_error" if reason.startswith(_REFUSED) else _REASONS.get(reason, reason)
        category = CATEGORIES.get(signal)
        if category is not None and told in _SENTRYS:
            key = (category, told)
            with self._leaf_lock:
                self._counts[key] += count

    def __bool__(self) -> bool:
        """Return whether there is a loss to report."""
        return any(self._counts.values())

    def forget(self) -> None:
        """Forget what was lost: in a forked child it is the parent's."""
        self._counts = dict.fromkeys(_PAIRS, 0)
        self._leaf_lock = threading.RLock()

    def take(self, *, now: bool) -> bytes | None:
        """Return an envelope that reports what was lost since the last one; None if there is nothing to report yet.

        Args:
            now: also if the last report was a moment ago.
        """
        if not self or (not now and time.monotonic() < self._next):
            return None
        self._next = time.monotonic() + INTERVAL
        fresh = dict.fromkeys(_PAIRS, 0)
        with self._leaf_lock:
            counts = self._counts
            self._counts = fresh
        at = time.time()
        discarded = [
            {"reason": reason, "category": category, "quantity": count}
            for (category, reason), count in counts.items()
            if count
        ]
        payload = serialize({"timestamp": at, "discarded_events": discarded})
        return envelope({}, [({"type": "client_report"}, payload)], at)
