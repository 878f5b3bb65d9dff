"""Tables of the store: each maps label values to the cells of a row. The caller decides what is counted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from slotel.runtime.metrics.store.cells import Cells
from slotel.runtime.metrics.store.family import OVERFLOW, Labels, Shape

if TYPE_CHECKING:
    from slotel.runtime.metrics.store.store import Store

MAX_LABEL: Final = 200
"""Characters of a label value that are kept."""
LOOK_AGAIN: Final = 1.0
"""Seconds for which the counts of other processes are cached where a window is computed."""


class Table:
    """Label values to the first cell of their row."""

    def __init__(self, store: Store, shape: Shape) -> None:
        self.shape = shape
        self.slots: dict[Labels, int] = {}
        self.cells: Cells = store.cells
        self.lock = store.lock
        self._store = store

    def slot(self, values: Labels) -> int:
        """Find the row of label values, or open it; beyond the bound, return that of `OVERFLOW`.

        Values are strings, one for each label name. A long one is cut, and says how long it was.
        """
        found = self.slots.get(values)
        return found if found is not None else self._open(tuple(map(bounded, values)))

    def _open(self, values: Labels) -> int:
        store = self._store
        refusal = ""
        with self.lock:
            found = self.slots.get(values)
            if found is not None:
                return found
            if len(self.slots) <= store.max_series:
                try:
                    if store.admits(self.shape.name, values):
                        return store.open_row(self, values)
                except OSError:
                    refusal = "disk_full"
        store.overflowed(self)
        if refusal:
            store.refused(refusal, self.shape.name)
        return self.slots[OVERFLOW]

    def _others(self) -> list[tuple[Cells, Mapping[Labels, int]]]:
        """Return this table in each other process: its cells, and the first of each row."""
        return [
            (part.cells, slots)
            for part in self._store.others(LOOK_AGAIN)
            for shape, slots in part.tables
            if shape.name == self.shape.name and shape.identity == self.shape.identity
        ]


class Counter(Table):
    """A counter: one cell for each series."""

    def add(self, slot: int, n: float = 1.0) -> None:
        """Add `n`, not negative."""
        with self.lock:
            self.cells[slot] += n

    def value(self, slot: int) -> float:
        """Return what this process alone counted."""
        return self.cells[slot]

    def total(self, values: Labels) -> float:
        """Return what all processes of the service counted: of the others, at most `LOOK_AGAIN` seconds ago."""
        slot, kept = self.slot(values), tuple(map(bounded, values))
        return self.value(slot) + sum(cells[slots[kept]] for cells, slots in self._others() if kept in slots)


class Histogram(Table):
    """A histogram with fixed bounds: the counts of the buckets, their sum, their count."""

    def __init__(self, store: Store, shape: Shape) -> None:
        super().__init__(store, shape)
        self._bounds = shape.bounds
        self._exemplars, self._clock = store.exemplars, store.clock
        self._sum = len(shape.bounds) + 1

    def observe(
        self,
        slot: int,
        value: float,
        counters: tuple[int, ...] = (),
        exemplar: Sequence[Any] | None = None,
    ) -> None:
        """Count a value, and 1 in each of the counters' slots, which are one cell each.

        Args:
            value: in the family's unit; negative or NaN counts as 0.
            exemplar: starts with trace id and span id of a sampled span, as its SpanContext does; the latest of
                each bucket is kept.
        """
        if not value >= 0.0:
            value = 0.0
        bucket = slot + bisect_left(self._bounds, value)
        at = slot + self._sum
        with (
            self.lock
        ):  # not acquire and release: a signal's exception between them would leave it held for ever
            cells = self.cells
            cells[bucket] += 1.0
            cells[at] += value
            for counter in counters:
                cells[counter] += 1.0
            cells[at + 1] += 1.0  # last: see Shape.width
        if exemplar is not None:
            self._exemplars[bucket] = exemplar, value, self._clock()


def bounded(value: str) -> str:
    """Return a label value of at most some 200 characters that every encoder takes.

    >>> bounded("x" * 1000)[-7:]
    '…(1000)'
    """
    if len(value) > MAX_LABEL:
        value = f"{value[:MAX_LABEL]}…({len(value)})"
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
