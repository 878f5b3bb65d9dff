"""Counts the pending telemetry of this process, where other workers can read it.

When a worker is killed, its pending telemetry is counted as lost (workers/compaction.py).
"""

from __future__ import annotations

from typing import Final

from slotel.config import names
from slotel.runtime.metrics.store.store import Counter, Store


class Unsent:
    """Events and transactions that were accepted, and neither sent nor counted as lost yet. Thread-safe."""

    def __init__(self) -> None:
        self._table: Counter | None = None

    def count_in(self, store: Store) -> None:
        """Count in a store from now on."""
        self._table = store.internal(names.UNSENT, label_names=("signal",))

    def add(self, signal: str, count: int) -> None:
        """Change the number of pending events or transactions."""
        table = self._table
        if table is not None:
            table.add(table.slot((signal,)), count)


UNSENT: Final = Unsent()
"""The pending telemetry of this process."""
