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
from collections.abc import Callable

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
    reset = _once_per_process(consumer)
    for reader in readers_of(provider):
        if isinstance(reader, PeriodicExportingMetricReader):
            before_collecting(reader, reset)
    PROCESS.register("sdk_metric_readers", after_fork_in_child=reset)
    return True


def _once_per_process(consumer: object) -> Callable[[], None]:
    """Return a function that empties the readers of a measurement consumer once in each process but this one."""
    kept, done_in = weakref.ref(consumer), os.getpid()
    locks: dict[int, threading.Lock] = {}  # by process: a fork may find its parent's held

    def reset() -> None:
        nonlocal done_in
        pid = os.getpid()
        if done_in == pid:
            return
        with locks.setdefault(pid, threading.Lock()):
            if done_in != pid and (found := kept()) is not None:
                reset_readers(found)
            done_in = pid

    return reset
