"""The two files of a process's counts: the mapped cells, and the index of their series.

Counts in a mapped file survive SIGKILL of the process. Only this process writes; file_reader.py reads without a lock.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterable
from typing import Final

from slotel.runtime.metrics.store.cells import Cells
from slotel.runtime.metrics.store.family import Labels, Shape
from slotel.runtime.metrics.store.table import Table
from slotel.runtime.metrics.workers.files import PAGE, Directory
from slotel.runtime.metrics.workers.runtime_directory import CELLS, NAMES
from slotel.runtime.metrics.workers.series_index import Head, exemplar_line, row_line, table_line
from slotel.runtime.process.bus_errors import has_lost_pages, protect

_CELL: Final = 8
MIN_BYTES: Final = 8 * PAGE

_KEPT: Final[list[mmap.mmap]] = []
"""Every map ever made: to forget one would close a descriptor that a daemonising app may have closed and used anew."""


class MappedCounterFile:
    """This process's two new files. Every method may raise OSError: the disk is full, the directory not writable."""

    def __init__(
        self, run_dir: Directory, stem: str, head: Head, tables: Iterable[Table], counted: array[float]
    ) -> None:
        self.stem = stem
        self._size = 0
        self._mapped: set[int] = set()
        self.files = f"{stem}.{NAMES}", f"{stem}.{CELLS}"
        try:
            self._names = run_dir.new_file(self.files[0], shows_life=True)
            self._file = run_dir.new_file(self.files[1])
            self.cells = self._map(len(counted))
            self.cells[: len(counted)] = memoryview(counted)
            self._append(b"".join([head.line(), *_lines(tables)]))
        except OSError:
            run_dir.remove(*self.files)
            raise

    def grow(self, size: int) -> Cells:
        """Return an array of at least `size` cells: the same memory, and more of it."""
        self.cells = self._map(max(size, len(self.cells) * 3 // 2))
        return self.cells

    def table(self, shape: Shape) -> None:
        """Add a table to the index."""
        self._append(table_line(shape))

    def row(self, index: int, slot: int, values: Labels) -> None:
        """Add the row of a table to the index."""
        self._append(row_line(index, slot, values))

    def exemplar(self, bucket: int, at: int) -> None:
        """Add the cell of a bucket's exemplar to the index."""
        self._append(exemplar_line(bucket, at))

    def stands(self) -> bool:
        """Return whether the files are still in the directory: a cleaner of temporary files may have been there.

        What the app has closed is opened again, and locked, so that others see that this process lives.
        """
        try:
            return self._names.stands() and self._file.stands()
        except FileNotFoundError:  # removed, and closed by the app
            return False

    def is_damaged(self) -> bool:
        """Return whether somebody has truncated a file, or a page of the cells could not be read or written."""
        return (
            self._names.size() < self._size
            or self._file.size() < len(self.cells) * _CELL
            or any(map(has_lost_pages, self._mapped))
        )

    def close(self) -> None:
        """Close what a forked child inherited; the parent's lock and files stay."""
        self._names.close()
        self._file.close()

    def _map(self, size: int) -> memoryview[float]:
        needed = -(-max(size * _CELL, MIN_BYTES) // PAGE) * PAGE
        mapped = self._file.map(needed)
        _KEPT.append(mapped)
        self._mapped.add(protect(mapped, self._file.read))
        return memoryview(mapped).cast("d")

    def _append(self, data: bytes) -> None:
        try:
            self._names.append(data)
        except OSError:
            self._names.truncate(self._size)  # half a line would spoil the next
            raise
        self._size += len(data)


def _lines(tables: Iterable[Table]) -> Iterable[bytes]:
    for index, table in enumerate(tables):
        yield table_line(table.shape)
        for values, slot in table.slots.items():
            yield row_line(index, slot, values)
