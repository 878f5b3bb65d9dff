"""Shares what the status page shows of each process: last deliveries, active instrumentations, recent errors.

Each process shares its own at a tick: the one that serves the page, such as gunicorn's master, may export nothing and
import no framework.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from slotel.runtime.sentry.errors.recent import MOST, RecentError
from slotel.runtime.upstream.otel.exports import DELIVERIES
from slotel.runtime.upstream.otel.instrumentations.instrumentors import active_instrumentations

if TYPE_CHECKING:
    from slotel.runtime.state import Runtime

SUFFIX: Final = "status"
SENTRY: Final = "sentry"


class Last(NamedTuple):
    """The last delivery to one destination.

    Args:
        delivered: unix seconds; None if nothing was delivered.
        failed: unix seconds of the last failure that no delivery followed; None without.
        waiting: envelopes that are not sent yet; None where that is not known.
    """

    delivered: float | None = None
    failed: float | None = None
    waiting: int | None = None


class ProcessStatus(NamedTuple):
    """The data of one process, or of several, on the page.

    Args:
        deliveries: by destination: `sentry`, and the signals that are exported by OTLP.
        instrumentations: names of those that are active, sorted: `flask`, `urllib3`.
        errors: the last error events, newest first.
    """

    deliveries: Mapping[str, Last] = {}
    instrumentations: Sequence[str] = ()
    errors: Sequence[RecentError] = ()


class SharedStatus:
    """The status of this process, shared with the others, and that of all."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def share(self) -> None:
        """Give the other processes what changed here."""
        if self._runtime.workers is not None and any(own := self._own()):
            self._runtime.workers.share(SUFFIX, encode(own))

    def after_fork_in_child(self) -> None:
        """Forget the parent's deliveries."""
        for each in DELIVERIES.values():
            each.delivered = each.failed = None

    def all(self) -> ProcessStatus:
        """Return the status of all processes."""
        workers = self._runtime.workers
        files = workers.shared(SUFFIX) if workers is not None else ()
        others = (decode(file.data) if file.is_alive else _of_the_dead(file.data) for file in files)
        return merged((self._own(), *others))

    def _own(self) -> ProcessStatus:
        found = {signal: Last(each.delivered, each.failed) for signal, each in DELIVERIES.items()}
        client = self._runtime.sentry.client if self._runtime.sentry is not None else None
        sender = getattr(getattr(client, "transport", None), "sender", None)
        if sender is not None:
            found[SENTRY] = Last(getattr(sender, "delivered", None), None, len(sender))
        deliveries = {name: last for name, last in found.items() if any(last)}
        return ProcessStatus(deliveries, active_instrumentations(), self._runtime.recent_errors.latest())


def merged(every: Iterable[ProcessStatus]) -> ProcessStatus:
    """Return the latest delivery of each destination and all that waits, all instrumentations, the last errors."""
    deliveries: dict[str, Last] = {}
    instrumentations: set[str] = set()
    errors: dict[str, RecentError] = {}
    for one in every:
        instrumentations.update(one.instrumentations)
        errors.update({each.event_id: each for each in one.errors})
        for name, last in one.deliveries.items():
            delivered, failed, waiting = (
                [value for value in pair if value is not None]
                for pair in zip(deliveries.get(name, Last()), last, strict=True)
            )
            deliveries[name] = Last(
                max(delivered, default=None),
                max(failed, default=None),
                int(sum(waiting)) if waiting else None,
            )
    for name, last in deliveries.items():
        if (last.failed or 0.0) < (last.delivered or 0.0):
            deliveries[name] = last._replace(failed=None)
    newest = sorted(errors.values(), reverse=True)[:MOST]
    return ProcessStatus(deliveries, tuple(sorted(instrumentations)), newest)


def encode(status: ProcessStatus) -> bytes:
    """Return a status as the file that other processes read."""
    return json.dumps(status).encode()


def decode(data: bytes) -> ProcessStatus:
    """Return the status of a file; an empty one of a file that is not whole."""
    try:
        deliveries, instrumentations, errors = json.loads(data)
        lasts: dict[str, Any] = {str(name): Last(*values) for name, values in deliveries.items()}
        return ProcessStatus(lasts, list(map(str, instrumentations)), [RecentError(*each) for each in errors])
    except (ValueError, TypeError, AttributeError):
        return ProcessStatus()


def combine(files: Sequence[bytes]) -> bytes:
    """Return one file of those of dead processes."""
    return encode(merged(map(_of_the_dead, files)))


def _of_the_dead(data: bytes) -> ProcessStatus:
    """Return what still holds of a dead process: it has no pending envelopes, and instruments nothing."""
    status = decode(data)
    lasts = {name: last._replace(waiting=None) for name, last in status.deliveries.items()}
    return status._replace(deliveries=lasts, instrumentations=())
