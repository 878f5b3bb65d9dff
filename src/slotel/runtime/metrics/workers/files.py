"""Files of a runtime directory, on a disk or in memory, independent of their content."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from slotel.runtime.process.descriptors import Identity, identity_of, standard_descriptors_reserved

if TYPE_CHECKING:
    import mmap

    from slotel.runtime.metrics.workers.inherited_memory import InheritedMemory
    from slotel.runtime.metrics.workers.memory_files import MemoryFile
    from slotel.runtime.metrics.workers.runtime_directory import RuntimeDirectory

PAGE: Final = 4096
_NO_FALLOCATE: Final = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""Errors of `posix_fallocate` on a file system without it, if the C library (musl) does not write zeros instead."""


Directory: TypeAlias = "RuntimeDirectory | InheritedMemory"
"""The files of a service's processes, on a disk or in memory. Every method may raise OSError, but for `exists`,
`is_locked`, `remove`, `release_in_child` and `remove_all`.

`former` are the stems under which this process, or the one that it was forked from, wrote before an exec
replaced its program: no process writes there any more, although one with that pid is running."""
File: TypeAlias = "DiskFile | MemoryFile"
"""A file of such a directory, this process's own or another's. Every method but `close` may raise OSError;
FileNotFoundError when it is gone."""


class DiskFile:
    """A file with a descriptor, which is opened again if the app has closed all descriptors, as daemons do.

    Args:
        opens: opens the file with the given flags.
        flags: the flags without those that create it.
        created: the flags that create it.
        locks: locks it, so that others see that this process is running; None for no lock.
    """

    def __init__(
        self,
        opens: Callable[[int], int],
        flags: int,
        created: int = 0,
        locks: Callable[[int], object] | None = None,
    ) -> None:
        self._opens, self._flags, self._locks = opens, flags, locks
        self._descriptor = opens(flags | created)
        self._identity: Identity | None = identity_of(self._descriptor)
        if locks is not None:
            locks(self._descriptor)

    def descriptor(self) -> int:
        """Return a descriptor that is this file's."""
        if not self._is_ours():
            self._descriptor = self._opens(self._flags)
            if self._locks is not None:
                self._locks(self._descriptor)
        return self._descriptor

    def size(self) -> int:
        """Return its length in bytes."""
        return os.fstat(self.descriptor()).st_size

    def read(self, size: int, at: int) -> bytes:
        """Return at most `size` bytes from byte `at` on."""
        return os.pread(self.descriptor(), size, at)

    def append(self, data: bytes) -> None:
        """Write at the end, in one call."""
        whole(os.write(self.descriptor(), data), data)

    def truncate(self, size: int) -> None:
        """Forget what stands behind `size` bytes."""
        os.ftruncate(self.descriptor(), size)

    def map(self, size: int) -> mmap.mmap:
        """Return its first `size` bytes as memory."""
        import mmap  # a process alone needs none

        descriptor = self.descriptor()
        allocate(descriptor, 0, size)
        with standard_descriptors_reserved():  # the map keeps a copy of the descriptor
            return mmap.mmap(descriptor, size)

    def stands(self) -> bool:
        """Return whether it is still in its directory."""
        return bool(os.fstat(self.descriptor()).st_nlink)

    def close(self) -> None:
        """Close the descriptor."""
        if self._is_ours():
            os.close(self._descriptor)
        self._descriptor = -1

    def _is_ours(self) -> bool:
        return self._identity is not None and identity_of(self._descriptor) == self._identity


def allocate(descriptor: int, start: int, size: int) -> None:
    """Allocate the blocks of a file: writing to a mapped hole on a full disk would kill the process. Raises OSError."""
    try:
        os.posix_fallocate(descriptor, start, size)
    except AttributeError:  # macOS
        _fill(descriptor, start + size)
    except OSError as error:
        if error.errno not in _NO_FALLOCATE:
            raise
        _fill(descriptor, start + size)


def _fill(descriptor: int, end: int) -> None:
    start = os.lseek(descriptor, 0, os.SEEK_END)
    data = bytes(max(end - start, 0))
    whole(os.pwrite(descriptor, data, start), data)


def whole(written: int, data: bytes) -> None:
    """Raise OSError unless all of the data was written."""
    if written < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
