"""A runtime directory in memory, for a service that can write nowhere: children inherit it, or open it by /proc.

One anonymous file holds a table of contents and, for each file, a region of its own, most of which is a hole. A file
appears by one number, which is written last, so a process that dies in between leaves nothing; files are claimed by
record locks, which the kernel takes from the dead. Nothing here waits for another process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slotel.runtime.metrics.workers.files import DiskFile, allocate, whole
from slotel.runtime.metrics.workers.memory_files import (
    DIRECTORY_LOCK,
    FILES,
    REGION,
    TABLE,
    Memory,
    MemoryFile,
)
from slotel.runtime.metrics.workers.runtime_directory import SERIES
from slotel.runtime.process.descriptors import standard_descriptors_reserved


def memory_path(refused: str) -> str:
    """Return what names the memory of this process, in place of a directory that cannot be made.

    A process that cannot open the memory cannot make a directory there either, in which no other process would look.
    """
    return f"/proc/{os.getpid()}/fd/{Path(refused).name}"


class InheritedMemory:
    """The files of a process and of its descendants, forked or not. Raises OSError as a disk does.

    Thread-safe. What one process removes is gone for the others at once. For `path` see `memory_path`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.former: frozenset[str] = frozenset()
        self._lock = threading.RLock()
        self._claimed: set[int] = set()
        self._alive: set[int] = set()
        self._memory: Memory | None = None

    def exists(self) -> bool:
        """Return whether it was made."""
        return self._memory is not None

    def create(self) -> bool:
        """Make it, in the process whose children inherit it."""
        if self._memory is not None:
            return False
        name = Path(self.path).name
        with standard_descriptors_reserved():
            made = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            allocate(made, 0, TABLE)
            fcntl.fcntl(made, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)  # nobody truncates what is mapped
            series = os.memfd_create(f"{name}.{SERIES}")
            fcntl.fcntl(series, fcntl.F_SETFL, os.O_APPEND)
            self._memory = Memory(made, series)
        return True

    def attach(self) -> None:
        """Open it in a process that was not forked from the one that made it, while that one lives. Raises OSError."""
        name, opened = Path(self.path).name, []
        with standard_descriptors_reserved():
            for wanted, flags in ((name, os.O_RDWR), (f"{name}.{SERIES}", os.O_RDWR | os.O_APPEND)):
                link = f"/memfd:{wanted} (deleted)"
                found = [each for each in Path(self.path).parent.iterdir() if _target(each) == link]
                if not found:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
                opened.append(os.open(found[0], flags | os.O_CLOEXEC))
            self._memory = Memory(*opened)

    def names(self) -> list[str]:
        """Return the names of all files."""
        return list({name for _, _, name in self._made().files()})

    def new_file(self, name: str, *, shows_life: bool = False) -> MemoryFile:
        """Create a file that only this process writes."""
        with self._claim(shows_life=shows_life) as index:
            return self._made().publish(index, name, 0)

    def list_file(self, name: str) -> DiskFile:
        """Return the one file to which every process appends."""
        del name
        return self._made().list

    def open_file(self, name: str) -> MemoryFile:
        """Open a file of another process's."""
        return self._find(name)

    def is_locked(self, name: str) -> bool:
        """Return whether a file's process lives."""
        with suppress(OSError), self._lock:
            index = self._find(name).index
            if index in self._alive or not self._made().lock(index):
                return True
            self._made().unlock(index)
        return False

    def read(self, name: str, start: int = 0) -> bytes:
        """Return a file's content from a byte on."""
        file = self._find(name)
        return file.read(max(file.size() - start, 0), start)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all, in place of the last."""
        memory = self._made()
        if len(data) > REGION:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        before = [index for _, index, found in memory.files() if found == name]
        with self._claim() as index:
            whole(os.pwrite(memory.descriptor(), data, MemoryFile(memory, index, 0).start), data)
            memory.publish(index, name, len(data))
        for index in before:
            self._clear(index)

    def remove(self, *files: str) -> None:
        """Remove files that may be there."""
        with suppress(OSError):
            for _, index, name in self._made().files():
                if name in files:
                    self._clear(index)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the directory's lock, which dies with its process; yield whether it was free."""
        memory = self._made()
        is_ours = memory.lock(DIRECTORY_LOCK)
        try:
            yield is_ours
        finally:
            if is_ours:
                memory.unlock(DIRECTORY_LOCK)

    def release_in_child(self) -> None:
        """Begin with no claim: a child inherits none of the parent's record locks."""
        self._lock = threading.RLock()
        self._claimed.clear()
        self._alive.clear()

    def give_to(self, user: int) -> None:
        """Do nothing: every process that inherits it can use it."""

    def remove_all(self) -> None:
        """Leave it: the kernel takes it with the last process."""

    def _made(self) -> Memory:
        if self._memory is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
        return self._memory

    def _find(self, name: str) -> MemoryFile:
        """Return the file that was written last under a name."""
        memory = self._made()
        found = [(number, index) for number, index, each in memory.files() if each == name]
        if not found:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        number, index = max(found)
        return MemoryFile(memory, index, number)

    @contextmanager
    def _claim(self, *, shows_life: bool = False) -> Iterator[int]:
        """Find a free place and keep others from it; a process shows by one that stays locked that it lives."""
        memory, claimed = self._made(), -1
        try:
            with self._lock:
                for index in range(FILES):
                    if memory.numbers[index] or index in self._claimed:
                        continue
                    self._claimed.add(index)
                    if memory.lock(index) and not memory.numbers[index]:
                        claimed = index
                        break
                    self._claimed.discard(index)
            if claimed < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield claimed
            if shows_life:
                self._alive.add(claimed)
        finally:
            if claimed >= 0:
                self._claimed.discard(claimed)
                if claimed not in self._alive:
                    memory.unlock(claimed)

    def _clear(self, index: int) -> None:
        memory = self._made()
        memory.numbers[index] = 0
        if index in self._alive:
            self._alive.discard(index)
            memory.unlock(index)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # just closed
        return ""
