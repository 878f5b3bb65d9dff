"""The last errors handed to Sentry, for the status page: type, operation and ids; never a message or a value."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from slotel.runtime.metrics.workers.workers import Workers

SUFFIX: Final = "errors"
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
    """Remembers the last errors of this process, and reads those of the others. Thread-safe."""

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

    def share(self, workers: Workers | None) -> None:
        """Give the other processes what is new here."""
        if workers is not None and self._kept:
            workers.share(SUFFIX, encode(self._kept))

    def latest(self, workers: Workers | None) -> list[RecentError]:
        """Return the last errors of all processes, newest first."""
        others = workers.shared(SUFFIX) if workers is not None else ()
        found = {each.event_id: each for file in others for each in decode(file.data)}
        found.update({each.event_id: each for each in tuple(self._kept)})
        return sorted(found.values(), reverse=True)[:MOST]

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


def encode(errors: Iterable[RecentError]) -> bytes:
    """Return errors as the file that other processes read."""
    return json.dumps([list(each) for each in tuple(errors)]).encode()


def decode(data: bytes) -> list[RecentError]:
    """Return the errors of a file; none of one that is not whole."""
    try:
        return [RecentError(*each) for each in json.loads(data)]
    except (ValueError, TypeError):
        return []


def combine(files: Sequence[bytes]) -> bytes:
    """Return one file of those of dead processes."""
    return encode(sorted(each for file in files for each in decode(file))[-MOST:])
