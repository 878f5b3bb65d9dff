"""The two files in which one process counts where others can read: cells, mapped, and their catalogue.

What is written to a mapped file is there when the process is killed. Only this process writes; see peers.py for how
others read without a lock.
"""

from __future__ import annotations

import errno
import mmap
import os
from array import array
from collections.abc import Iterable
from typing import Final

from slotel.runtime.metrics.store.cells import Cells
from slotel.runtime.metrics.store.family import Labels, Shape
from slotel.runtime.metrics.store.table import Table
from slotel.runtime.metrics.workers.runtime_directory import CELLS, NAMES, RuntimeDirectory, lock
from slotel.runtime.metrics.workers.series_index import Head, exemplar_line, row_line, table_line

_CELL: Final = 8
_PAGE: Final = 4096
_MIN_BYTES: Final = 8 * _PAGE
_NO_FALLOCATE: Final = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""musl does not stand in where a file system cannot."""

_KEPT: Final[list[mmap.mmap]] = []
"""Every map ever made: to forget one would close a descriptor that a daemonising app may have closed and used anew."""


class MappedCounterFile:
    """This process's two files. Every method may raise OSError: the disk is full, the directory not writable.

    Args:
        stem: name of the files in the directory; new.
    """

    def __init__(
        self, run_dir: RuntimeDirectory, stem: str, head: Head, tables: Iterable[Table], counted: array[float]
    ) -> None:
        self.stem = stem
        self._dir = run_dir
        self._names = SharedFile(run_dir, f"{stem}.{NAMES}", os.O_RDWR | os.O_APPEND)
        self._file = SharedFile(run_dir, f"{stem}.{CELLS}", os.O_RDWR)
        try:
            self._names.create()
            self._file.create()
            self._lock()
            self.cells = self._map(len(counted))
            self.cells[: len(counted)] = memoryview(counted)
            self._append(b"".join([head.line(), *_lines(tables)]))
        except OSError:
            self.remove()
            raise

    def grow(self, size: int) -> Cells:
        """Return an array of at least `size` cells: the same memory, and more of it."""
        self.cells = self._map(max(size, len(self.cells) * 3 // 2))
        return self.cells

    def table(self, index: int, shape: Shape) -> None:
        """Note a table."""
        del index
        self._append(table_line(shape))

    def row(self, index: int, slot: int, values: Labels) -> None:
        """Note the row of a table."""
        self._append(row_line(index, slot, values))

    def exemplar(self, bucket: int, at: int) -> None:
        """Note where the exemplar of a bucket stands."""
        self._append(exemplar_line(bucket, at))

    def relock(self) -> None:
        """Lock again, if the app closed the descriptor. May raise OSError."""
        self._names.descriptor()
        if self._names.reopened:
            self._lock()

    def stands(self) -> bool:
        """Return whether the files are still in the directory: a cleaner of temporary files may have been there."""
        return all(os.fstat(file.descriptor()).st_nlink for file in (self._names, self._file))

    def close(self) -> None:
        """Close what a forked child inherited; the parent's lock and files stay."""
        self._names.close()
        self._file.close()

    def remove(self) -> None:
        """Remove the files."""
        self.close()
        self._dir.remove(self._names.name, self._file.name)

    def _map(self, size: int) -> memoryview[float]:
        needed = max(size * _CELL, _MIN_BYTES)
        needed = -(-needed // _PAGE) * _PAGE
        descriptor = self._file.descriptor()
        _allocate(descriptor, needed)
        mapped = mmap.mmap(descriptor, needed)
        _KEPT.append(mapped)
        return memoryview(mapped).cast("d")

    def _append(self, data: bytes) -> None:
        before = self._names.size
        descriptor = self._names.descriptor()
        if self._names.reopened:
            self._lock()
        try:
            _whole(os.write(descriptor, data), data)
        except OSError:
            os.ftruncate(descriptor, before)  # half a line would spoil the next
            raise
        self._names.size += len(data)

    def _lock(self) -> None:
        """Show that this process lives; a forked child closes its copy of the descriptor, and so does an exec."""
        lock(self._names.descriptor())
        self._names.reopened = False


class SharedFile:
    """A file by name and descriptor; opened again when somebody closed all descriptors, as daemons do."""

    def __init__(self, run_dir: RuntimeDirectory, name: str, flags: int) -> None:
        self.name = name
        self.size = 0
        self.reopened = False
        self._dir, self._flags = run_dir, flags
        self._descriptor = -1
        self._identity = (0, 0)

    def create(self, *, exclusive: bool = True) -> None:
        """Create and open it; another's may stand there already, unless it must be this process's alone."""
        self._descriptor = self._dir.open(
            self.name, self._flags | os.O_CREAT | (os.O_EXCL if exclusive else 0)
        )
        found = os.fstat(self._descriptor)
        self._identity = (found.st_dev, found.st_ino)

    def descriptor(self) -> int:
        """Return a descriptor that is this file's."""
        if not self._is_ours():
            self._descriptor = self._dir.open(self.name, self._flags)
            self.reopened = True
        return self._descriptor

    def write(self, data: bytes) -> None:
        """Write all of it, in one call."""
        _whole(os.write(self.descriptor(), data), data)

    def close(self) -> None:
        """Close the descriptor."""
        if self._is_ours():
            os.close(self._descriptor)
        self._descriptor = -1

    def _is_ours(self) -> bool:
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity


def _allocate(descriptor: int, size: int) -> None:
    """Give a file real blocks: to write to a mapped hole on a full disk would kill the process."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except AttributeError:  # macOS
        _fill(descriptor, size)
    except OSError as error:
        if error.errno not in _NO_FALLOCATE:
            raise
        _fill(descriptor, size)


def _fill(descriptor: int, size: int) -> None:
    end = os.lseek(descriptor, 0, os.SEEK_END)
    data = bytes(size - end)
    _whole(os.pwrite(descriptor, data, end), data)


def _whole(written: int, data: bytes) -> None:
    if written < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lines(tables: Iterable[Table]) -> Iterable[bytes]:
    for index, table in enumerate(tables):
        yield table_line(table.shape)
        for values, slot in table.slots.items():
            yield row_line(index, slot, values)
