"""Resets the app's own instruments to zero in a forked child.

The SDK copies what its metric readers hold into the child, with every lock as it stood at the fork: the child would
push the parent's counts again, and it could wait for ever for a lock that a thread of the parent's held. There is no
public way to begin anew: `upstream/otel/metrics.py` knows the private one.

The SDK starts a reader's thread in the child before slotel's callback is called there: whichever is first, the callback
or that thread's collection, begins anew.
"""

from __future__ import annotations

import os
import threading
import weakref

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.otel.metrics import (
    before_collecting,
    measurement_consumer,
    readers_of,
    reset_readers,
)


def count_from_zero_after_fork(provider: object) -> bool:
    """Have every reader of a provider, also those that are added later, hold nothing in a forked child.

    Returns whether there is such a provider, and this SDK lets it be done. Call it once.
    """
    if not isinstance(provider, MeterProvider) or (consumer := measurement_consumer(provider)) is None:
        return False
    reset = _Reset(consumer)
    for reader in readers_of(provider):
        if isinstance(reader, PeriodicExportingMetricReader):
            before_collecting(reader, reset.once)

    def in_child() -> None:  # a function: a bound method would be held weakly
        reset.once()

    PROCESS.register("sdk_metric_readers", after_fork_in_child=in_child)
    return True


class _Reset:
    """Empties the readers of a measurement consumer once in each process but the first."""

    def __init__(self, consumer: object) -> None:
        self._consumer = weakref.ref(consumer)
        self._pid = os.getpid()
        self._locks: dict[int, threading.Lock] = {}
        """By process: a fork may find its parent's held."""

    def once(self) -> None:
        """Empty the readers, if this process has not."""
        pid = os.getpid()
        if self._pid == pid:
            return
        with self._locks.setdefault(pid, threading.Lock()):
            if self._pid != pid and (consumer := self._consumer()) is not None:
                reset_readers(consumer)
            self._pid = pid
