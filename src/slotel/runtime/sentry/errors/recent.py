"""The last errors handed to Sentry, for the status page: type, operation and ids; never a message or a value."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

MOST: Final = 10
_LONGEST: Final = 200


class RecentError(NamedTuple):
    """An error event.

    Args:
        at: unix seconds.
        error: type of the exception, or `message`.
        operation: name of the transaction that it belongs to.
    """

    at: float
    error: str
    operation: str
    event_id: str
    trace_id: str


class RecentErrors:
    """Remembers the last errors of this process. Thread-safe."""

    def __init__(self) -> None:
        self._kept: deque[RecentError] = deque(maxlen=MOST)

    def noted(self, redact: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
        """Return `redact`, given an item's type and payload, which remembers each error event that it has redacted."""

        def redacted(kind: str, payload: Any) -> Any:
            payload = redact(kind, payload)
            if kind == "event" and isinstance(payload, dict):
                self._note(payload)
            return payload

        return redacted

    def latest(self) -> list[RecentError]:
        """Return the last errors of this process, newest first."""
        return sorted(self._kept, reverse=True)

    def after_fork_in_child(self) -> None:
        """Forget what the parent has seen."""
        self._kept.clear()

    def _note(self, event: dict[str, Any]) -> None:
        values = (event.get("exception") or {}).get("values") or []
        error = str(values[-1].get("type") or "exception") if values else "message"
        trace = ((event.get("contexts") or {}).get("trace") or {}).get("trace_id") or ""
        made = RecentError(
            time.time(),
            error[:_LONGEST],
            str(event.get("transaction") or "")[:_LONGEST],
            str(event.get("event_id") or ""),
            str(trace),
        )
        if all(made.event_id != each.event_id for each in tuple(self._kept)):
            self._kept.append(made)
