"""Lets the app's own instruments count from zero in a forked child. Collects nothing, sends nothing.

The SDK copies what its metric readers hold into the child, with every lock as it stood at the fork: the child would
push the parent's counts again, over the parent's connection, in the middle of what the parent says there; and it
could wait for ever for a lock that a thread of the parent's held. There is no public way to begin anew:
`upstream/otel/metrics.py` knows the private one.
"""

from __future__ import annotations

import weakref

from opentelemetry.sdk.metrics import MeterProvider

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.otel.metrics import measurement_consumer, reset_readers


def count_from_zero_after_fork(provider: object) -> bool:
    """Have every reader of a provider, also those that are added later, hold nothing in a forked child.

    Returns whether there is such a provider, and this SDK lets it be done. Call it once.
    """
    consumer = measurement_consumer(provider) if isinstance(provider, MeterProvider) else None
    if consumer is None:
        return False
    reference = weakref.ref(consumer)

    def in_child() -> None:
        if (standing := reference()) is not None:
            reset_readers(standing)

    PROCESS.register("sdk_metric_readers", after_fork_in_child=in_child)
    return True
