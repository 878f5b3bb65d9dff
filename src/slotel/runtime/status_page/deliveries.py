"""Times of the last delivery and failure, and pending envelopes, by destination, over all processes of the service.

Each process shares its own at its tick: the one that serves the page, as gunicorn's master, may export nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from slotel.runtime.upstream.otel.exports import DELIVERIES

if TYPE_CHECKING:
    from slotel.runtime.state import Runtime

SUFFIX: Final = "deliveries"
SENTRY: Final = "sentry"


class Last(NamedTuple):
    """Of one destination.

    Args:
        delivered: unix seconds; None if nothing was delivered.
        failed: unix seconds of the last failure that no delivery followed; None without.
        waiting: envelopes that are not sent yet; None where that is not known.
    """

    delivered: float | None = None
    failed: float | None = None
    waiting: int | None = None


class Deliveries:
    """Those of this process, shared with the others, and those of all."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def share(self) -> None:
        """Give the other processes what changed here."""
        workers, own = self._runtime.workers, self.own()
        if workers is not None and own:
            workers.share(SUFFIX, encode(own))

    def own(self) -> dict[str, Last]:
        """Return this process's, by destination: `sentry`, and the signals that go by OTLP."""
        found = {signal: Last(each.delivered, each.failed) for signal, each in DELIVERIES.items()}
        client = self._runtime.sentry.client if self._runtime.sentry is not None else None
        sender = getattr(getattr(client, "transport", None), "sender", None)
        if sender is not None:
            found[SENTRY] = Last(getattr(sender, "delivered", None), None, len(sender))
        return {name: last for name, last in found.items() if any(last)}

    def all(self) -> dict[str, Last]:
        """Return those of all processes; a dead process has no pending envelopes."""
        workers = self._runtime.workers
        files = workers.shared(SUFFIX) if workers is not None else ()
        others = (decode(file.data) if file.is_alive else _of_the_dead(decode(file.data)) for file in files)
        return merged((self.own(), *others))


def merged(every: Iterable[Mapping[str, Last]]) -> dict[str, Last]:
    """Return the latest of each destination, and all that waits."""
    found: dict[str, Last] = {}
    for one in every:
        for name, last in one.items():
            before = found.get(name, Last())
            delivered, failed, waiting = (
                [value for value in pair if value is not None] for pair in zip(before, last, strict=True)
            )
            found[name] = Last(
                max(delivered, default=None),
                max(failed, default=None),
                int(sum(waiting)) if waiting else None,
            )
    return {
        name: last._replace(failed=None) if (last.failed or 0.0) < (last.delivered or 0.0) else last
        for name, last in found.items()
    }


def encode(lasts: Mapping[str, Last]) -> bytes:
    """Return them as the file that other processes read."""
    return json.dumps(lasts).encode()


def decode(data: bytes) -> dict[str, Last]:
    """Return those of a file; none of one that is not whole."""
    try:
        return {str(name): Last(*values) for name, values in json.loads(data).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def combine(files: Sequence[bytes]) -> bytes:
    """Return one file of those of dead processes."""
    return encode(merged(_of_the_dead(decode(file)) for file in files))


def _of_the_dead(lasts: Mapping[str, Last]) -> dict[str, Last]:
    return {name: last._replace(waiting=None) for name, last in lasts.items()}
