"""A ring of time buckets for sliding windows, in the store's cells: adds and sums, knows no objective."""

from __future__ import annotations

from array import array
from itertools import compress
from typing import TYPE_CHECKING

from slotel.runtime.metrics.store.cells import copy_cells
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
        self._buckets, self.bucket_seconds, self._columns = shape.ring
        self._stride = self._columns + 1

    def add(self, t_seconds: float, column: int, n: float = 1.0) -> None:
        """Add to the bucket of a unix time; a time older than what holds its place is forgotten."""
        epoch = int(t_seconds // self.bucket_seconds)
        at = self.slots[OVERFLOW] + (epoch % self._buckets) * self._stride
        with self.lock:
            cells = self.cells
            standing = cells[at]
            if standing > epoch:
                return
            if standing < epoch:
                # columns first: another process must not see old numbers under the new epoch
                for index in range(at + 1, at + 1 + self._columns):
                    cells[index] = 0.0
                cells[at] = float(epoch)
            cells[at + 1 + column] += n

    def sums(self, now: float, window_seconds: float) -> list[float]:
        """Return each column's sum over the window that ends with the bucket of `now`, over all workers."""
        last = int(now // self.bucket_seconds)
        first = last - int(window_seconds // self.bucket_seconds) + 1
        totals = [0.0] * self._columns
        for cells in self._every_worker():
            chosen = [first <= epoch <= last for epoch in cells[:: self._stride]]
            for column in range(self._columns):
                totals[column] += sum(compress(cells[1 + column :: self._stride], chosen))
        return totals

    def marked(self, column: int, first: int, last: int) -> dict[int, list[float]]:
        """Return the columns, summed over all workers, of each epoch from first to last with counts in `column`."""
        workers, epochs = self._every_worker(), set[int]()
        for cells in workers:
            found = compress(cells[:: self._stride], cells[1 + column :: self._stride])
            epochs.update(int(epoch) for epoch in found if first <= epoch <= last)
        return {epoch: self._bucket(workers, epoch) for epoch in epochs}

    def counted_since(self) -> float:
        """Return the unix time since when the service counts: the oldest worker's start."""
        others = self._store.others(LOOK_AGAIN)
        return min((self._store.created, *(part.created for part in others)))

    def _bucket(self, workers: list[array[float]], epoch: int) -> list[float]:
        at = (epoch % self._buckets) * self._stride
        rows = [cells[at + 1 : at + self._stride] for cells in workers if cells[at] == epoch]
        return [sum(column) for column in zip(*rows, strict=True)]

    def _every_worker(self) -> list[array[float]]:
        """Return a copy of the ring of this process, and of each other one."""
        start, width = self.slots[OVERFLOW], self.shape.width
        with self.lock:
            own = copy_cells(self.cells[start : start + width], width)
        others = [(cells, slots[OVERFLOW]) for cells, slots in self._others()]
        return [own, *(copy_cells(cells[at : at + width], width) for cells, at in others)]


def merge_ring(into: array[float], other: array[float], columns: int) -> None:
    """Add one ring's cells to another's: the same epoch sums, a newer one wins."""
    stride = columns + 1
    for at in range(0, len(into), stride):
        if into[at] == other[at]:
            for index in range(at + 1, at + stride):
                into[index] += other[index]
        elif into[at] < other[at]:
            into[at : at + stride] = other[at : at + stride]
