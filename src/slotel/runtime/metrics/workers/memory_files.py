"""The anonymous file behind inherited_memory.py: its table of contents, and the file in each of its regions."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from contextlib import suppress
from typing import Final

from slotel.runtime.metrics.workers.files import PAGE, DiskFile, allocate, whole
from slotel.runtime.process.descriptors import identity_of, standard_descriptors_reserved

FILES: Final = 1024
REGION: Final = 64 * 1024 * 1024
"""Bytes that a file may have."""
_NAME: Final = 120
_CELL: Final = 8
_PID_BITS: Final = 22
_SIZES: Final = FILES * _CELL
_NAMES: Final = _SIZES + FILES * _CELL
TABLE: Final = -(-(_NAMES + FILES * _NAME) // PAGE) * PAGE
DIRECTORY_LOCK: Final = FILES
"""Byte that is locked for the whole directory; those before are each file's."""


class Memory:
    """The anonymous file: for each file a number (0: there is none; else rising), a size, a name and a region."""

    def __init__(self, descriptor: int, series: int) -> None:
        self._descriptor = descriptor
        self._identity = identity_of(self._descriptor)
        self._table = memoryview(mmap.mmap(self._descriptor, TABLE))
        self.numbers = self._table[:_SIZES].cast("Q")
        self.sizes = self._table[_SIZES:_NAMES].cast("Q")
        self.list = _List(series)
        self._last = 0

    def descriptor(self) -> int:
        """Return the descriptor. Raises OSError when the app has closed it."""
        if identity_of(self._descriptor) != self._identity:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._descriptor

    def files(self) -> list[tuple[int, int, str]]:
        """Return number, index and name of each; a name that is being written belongs to none."""
        used = [(number, index) for index, number in enumerate(self.numbers.tolist()) if number]
        named = [(number, index, bytes(self._name(index)).rstrip(b"\0").decode()) for number, index in used]
        return [(number, index, name) for number, index, name in named if self.numbers[index] == number]

    def publish(self, index: int, name: str, size: int) -> MemoryFile:
        """Make a file appear, whole, in a place that has none.

        Its number is higher than all, and no process gives it twice: two may publish at once.
        """
        self._name(index)[:] = name.encode().ljust(_NAME, b"\0")
        self.sizes[index] = size
        self._last = max(max(self.numbers) >> _PID_BITS, self._last) + 1
        self.numbers[index] = number = self._last << _PID_BITS | os.getpid() & (1 << _PID_BITS) - 1
        return MemoryFile(self, index, number)

    def _name(self, index: int) -> memoryview:
        start = _NAMES + index * _NAME
        return self._table[start : start + _NAME]

    def lock(self, index: int) -> bool:
        """Lock a byte until this process unlocks it or ends; return whether it was free."""
        try:
            fcntl.lockf(self.descriptor(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)
        except BlockingIOError:
            return False
        return True

    def unlock(self, index: int) -> None:
        """Release a byte."""
        with suppress(OSError):
            fcntl.lockf(self.descriptor(), fcntl.LOCK_UN, 1, index)


class _List(DiskFile):
    """An anonymous file to which all append: the system decides on the order."""

    def __init__(self, descriptor: int) -> None:
        made = [descriptor]

        def opens(_flags: int) -> int:
            if made:
                return made.pop()
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # the app has closed it

        super().__init__(opens, 0)

    def stands(self) -> bool:
        """Return True: memory cannot be removed."""
        return True

    def close(self) -> None:
        """Do nothing: it is kept for the others."""


class MemoryFile:
    """One file of the memory, until another takes its place."""

    def __init__(self, memory: Memory, index: int, number: int) -> None:
        self.index = index
        self.start = (index + 1) * REGION
        """Where its region begins."""
        self._memory, self._number = memory, number
        self._mapped = 0

    def size(self) -> int:
        """Return its length in bytes."""
        size = self._memory.sizes[self.index]
        self._check()
        return size

    def read(self, size: int, at: int) -> bytes:
        """Return at most `size` bytes from byte `at` on."""
        size = max(min(size, self.size() - at), 0)
        data = os.pread(self._memory.descriptor(), size, self.start + at)
        self._check()
        return data

    def append(self, data: bytes) -> None:
        """Write at the end, in one call."""
        size = self.size()
        if size + len(data) > REGION:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        whole(os.pwrite(self._memory.descriptor(), data, self.start + size), data)
        self._memory.sizes[self.index] = size + len(data)

    def truncate(self, size: int) -> None:
        """Forget what stands behind `size` bytes."""
        self._memory.sizes[self.index] = size

    def map(self, size: int) -> mmap.mmap:
        """Return its first `size` bytes, whole pages, as memory; what is new is 0."""
        if size > REGION:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        descriptor = self._memory.descriptor()
        allocate(descriptor, self.start, size)
        with standard_descriptors_reserved():
            mapped = mmap.mmap(descriptor, size, offset=self.start)
        mapped[self._mapped : size] = bytes(size - self._mapped)  # of the last file in this place
        self._memory.sizes[self.index] = self._mapped = size
        return mapped

    def stands(self) -> bool:
        """Return whether no other file has taken its place."""
        return self._memory.numbers[self.index] == self._number

    def close(self) -> None:
        """Do nothing: the memory is kept for the others."""

    def _check(self) -> None:
        if not self.stands():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
