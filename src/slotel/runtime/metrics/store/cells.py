"""The kinds of array that counts are kept in: own memory, a mapped file, or one that is opened at its first write."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, TypeAlias


class Unopened:
    """Cells of a process that has counted nothing yet: all 0; the first write opens the real ones.

    So a child that only execs, or never counts, leaves no file behind. Used under the store's lock.

    Args:
        size: number of cells.
        begin: opens the real cells and puts them into the store; must not raise.
    """

    def __init__(self, size: int, begin: Callable[[], Cells]) -> None:
        self._size = size
        self._begin = begin
        self._real: Cells | None = None

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, at: Any) -> Any:
        if self._real is not None:
            return array("d", self._real[at]) if isinstance(at, slice) else self._real[at]
        return array("d", bytes(8 * len(range(*at.indices(self._size))))) if isinstance(at, slice) else 0.0

    def __setitem__(self, at: int, value: float) -> None:
        if self._real is None:
            self._real = self._begin()
        self._real[at] = value  # the write under way; later ones find the real cells in the store

    def extend(self, data: bytes) -> None:
        """Add cells of 0."""
        self._size += len(data)


Cells: TypeAlias = "array[float] | memoryview[float] | Unopened"


def copy_cells(cells: Cells, size: int) -> array[float]:
    """Return the first `size` cells in own memory."""
    if isinstance(cells, array):
        return cells[:size]
    copied = array("d")
    if isinstance(cells, memoryview):
        copied.frombytes(cells[:size].cast("B"))
    else:
        copied.extend(cells[0:size])
    return copied
