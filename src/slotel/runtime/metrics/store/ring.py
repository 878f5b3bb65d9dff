"""A ring of time buckets for sliding windows, in the store's cells: adds and sums, knows no objective."""

from __future__ import annotations

from array import array
from itertools import compress
from typing import TYPE_CHECKING

from slotel.runtime.metrics.store.cells import Cells
from slotel.runtime.metrics.store.family import OVERFLOW, Shape
from slotel.runtime.metrics.store.table import LOOK_AGAIN, Table

if TYPE_CHECKING:
    from slotel.runtime.metrics.store.store import Store


class Ring(Table):
    """Buckets of [epoch, column, …]; the bucket of a time is `int(t // width) % buckets`.

    A window must be shorter than the ring by a bucket. Memory is fixed; a bucket is cleared when its place is
    needed again. Thread-safe.
    """

    def __init__(self, store: Store, shape: Shape) -> None:
        super().__init__(store, shape)
        self._buckets, self._width, self._columns = shape.ring

    def add(self, t_seconds: float, column: int, n: float = 1.0) -> None:
        """Add to the bucket of a unix time; a time older than what holds its place is forgotten."""
        epoch = int(t_seconds // self._width)
        at = self.slots[OVERFLOW] + (epoch % self._buckets) * (self._columns + 1)
        with self.lock:
            cells = self.cells
            standing = cells[at]
            if standing > epoch:
                return
            if (
                standing < epoch
            ):  # columns first: another process must not see old numbers under the new epoch
                for index in range(at + 1, at + 1 + self._columns):
                    cells[index] = 0.0
                cells[at] = float(epoch)
            cells[at + 1 + column] += n

    def sums(self, now: float, window_seconds: float) -> list[float]:
        """Return each column's sum over the window that ends with the bucket of `now`, over all workers."""
        last = int(now // self._width)
        first = last - int(window_seconds // self._width) + 1
        with self.lock:
            totals = self._totals(self.cells, self.slots[OVERFLOW], first, last)
        for cells, slots in self._others():
            found = self._totals(cells, slots[OVERFLOW], first, last)
            totals = [a + b for a, b in zip(totals, found, strict=True)]
        return totals

    def marked(self, column: int, first: int, last: int) -> dict[int, list[float]]:
        """Return the columns, summed over all workers, of each bucket in which any of them counted in `column`.

        Args:
            first, last: epochs, both within.
        """
        with self.lock:
            start = self.slots[OVERFLOW]
            own = self.cells[start : start + self.shape.width]
            rows: list[tuple[Cells, int]] = [(array("d", own), 0)]
        rows += [(cells, slots[OVERFLOW]) for cells, slots in self._others()]
        stride = self._columns + 1
        epochs: set[int] = set()
        for cells, start in rows:
            end = start + self.shape.width
            found = compress(cells[start:end:stride], cells[start + 1 + column : end : stride])
            epochs.update(int(epoch) for epoch in found if first <= epoch <= last)
        return {epoch: self._bucket(rows, epoch) for epoch in epochs}

    def counted_since(self) -> float:
        """Return the unix time since when the service counts: the oldest worker's start."""
        others = self._store.others(LOOK_AGAIN, lambda: None)
        return min((self._store.created, *(part.created for part in others)))

    def _bucket(self, rows: list[tuple[Cells, int]], epoch: int) -> list[float]:
        totals = [0.0] * self._columns
        offset = (epoch % self._buckets) * (self._columns + 1)
        for cells, start in rows:
            at = start + offset
            if cells[at] == epoch:
                for column in range(self._columns):
                    totals[column] += cells[at + 1 + column]
        return totals

    def _totals(self, cells: Cells, start: int, first: int, last: int) -> list[float]:
        stride = self._columns + 1
        end = start + self._buckets * stride
        chosen = [first <= epoch <= last for epoch in cells[start:end:stride]]
        return [sum(compress(cells[start + 1 + c : end : stride], chosen)) for c in range(self._columns)]


def merge_ring(into: array[float], other: array[float], columns: int) -> None:
    """Add one ring's cells to another's: the same epoch sums, a newer one wins."""
    stride = columns + 1
    for at in range(0, len(into), stride):
        if into[at] == other[at]:
            for index in range(at + 1, at + stride):
                into[index] += other[index]
        elif into[at] < other[at]:
            into[at : at + stride] = other[at : at + stride]
