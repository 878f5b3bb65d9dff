"""Lets the app's own instruments count from zero in a forked child. Collects nothing, sends nothing.

The SDK copies what its metric readers hold into the child, with every lock as it stood at the fork: the child would
push the parent's counts again, over the parent's connection, in the middle of what the parent says there; and it
could wait for ever for a lock that a thread of the parent's held. There is no public way to begin anew, so this one
file gives each reader a new storage, by private names of the SDK. If they go, a line says so, and children repeat what
their parent counted.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider

from slotel.runtime.logs import LOG
from slotel.runtime.process.lifecycle import PROCESS


def count_from_zero_after_fork(provider: object) -> bool:
    """Have every reader of a provider, also those that are added later, hold nothing in a forked child.

    Returns whether there is such a provider, and this SDK lets it be done. Call it once.
    """
    if not isinstance(provider, MeterProvider):
        return False
    consumer = getattr(provider, "_measurement_consumer", None)
    if not all(hasattr(consumer, name) for name in ("_reader_storages", "_sdk_config", "_lock")):
        LOG.error("this OpenTelemetry SDK is unknown to slotel: forked children repeat the app's own counts")
        return False
    reference = weakref.ref(consumer)

    def in_child() -> None:
        if (standing := reference()) is not None:
            reset_readers_after_fork(standing)

    PROCESS.register("sdk_metric_readers", after_fork_in_child=in_child)
    return True


def reset_readers_after_fork(consumer: Any) -> None:
    """Give each reader of a measurement consumer a new storage, new locks, and a connection of its own.

    Instruments stay: they know only the consumer. A new storage's points start at their first measurement.
    """
    consumer._lock = threading.Lock()  # noqa: SLF001 see the module's first lines
    storages = consumer._reader_storages  # noqa: SLF001 likewise
    consumer._reader_storages = {  # noqa: SLF001 replaced as a whole, as the SDK does
        reader: type(storage)(
            consumer._sdk_config,  # noqa: SLF001 likewise
            reader._instrument_class_temporality,  # noqa: SLF001 likewise
            reader._instrument_class_aggregation,  # noqa: SLF001 likewise
        )
        for reader, storage in storages.items()
    }
    for reader in storages:
        if hasattr(reader, "_export_lock"):
            reader._export_lock = threading.Lock()  # noqa: SLF001 held while the parent's thread was exporting
        client = getattr(getattr(reader, "_exporter", None), "_client", None)
        close = getattr(getattr(client, "_transport", None), "close", None)
        if callable(
            close
        ):  # the OTLP/HTTP exporter's: closes this side, and connects again at the next export
            with suppress(Exception):
                close()
