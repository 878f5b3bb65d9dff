"""The private directory that the processes of one service share: its path, its files' names. Reads no counts.

Its path is chosen by the first process of a service and known to descendants through `SLOTEL_RUN_DIR`; it is created
only when there is something to share. The name tells the service and the first process:
`slotel-<service>-<pid>-<start>-<booted>-<random>`; `booted` makes the processes agree on the time (process/clock.py).
Files in it are called `<pid>-<start>-<random>.<suffix>` after the process that writes them,
`base-<generation>-<random>.<suffix>` for what dead processes left.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from slotel.runtime.metrics.workers.files import PAGE, DiskFile, allocate
from slotel.runtime.metrics.workers.identity import Process, this_process
from slotel.runtime.process.descriptors import Identity, standard_descriptors_reserved

BASE: Final = "base"
LOCK: Final = "lock"
NAMES: Final = "names"
"""Suffix of the series index: which series stands where."""
CELLS: Final = "cells"
"""Suffix of the counts."""
SERIES: Final = "series"
"""The list of series that have a place."""
SERVICE_FILES: Final = frozenset({LOCK, SERIES})
"""Those that belong to no process."""

_PATH_NAME: Final = re.compile(
    r"slotel-(?P<service>[0-9a-f]{8})-(?P<pid>\d{1,10})-(?P<start>\d{1,20})(?:-(?P<booted>\d{1,12}))?-[0-9a-f]{16}"
)
_STEM: Final = re.compile(r"(?P<pid>\d{1,10}|base)-(?P<start>\d{1,20})-[0-9a-f]{8}")
_PRIVATE: Final = 0o700
_ROOM: Final = 8 * 1024 * 1024
"""Bytes: 2,000 series of a histogram in 20 workers."""
_FILES: Final = 200
_LARGEST: Final = 256 * 1024 * 1024
"""Bytes of a file that is read whole: one that a fault has made longer must not fill the memory."""

# -- names -----------------------------------------------------------------------------------------------------


def new_path(environ: Mapping[str, str], service: str, booted: float = 0.0) -> str:
    """Return an unguessable path for a runtime directory, in memory if possible. Creates nothing.

    If no directory is writable, using the path raises the reason.
    """
    process = this_process()
    name = f"slotel-{_digest(service)}-{process.pid}-{process.start}-{max(int(booted), 0)}-{secrets.token_hex(8)}"
    usable = list(candidate_directories(environ))
    return str(next(filter(_has_room, usable), usable[0] if usable else Path("/tmp")) / name)  # noqa: S108 as above


def is_of_service(path: str, service: str) -> bool:
    """Return whether a process of this service has chosen an inherited path."""
    match = _PATH_NAME.fullmatch(Path(path).name)
    return Path(path).is_absolute() and match is not None and match["service"] == _digest(service)


def first_process(path: str) -> Process | None:
    """Return the process that chose a path."""
    match = _PATH_NAME.fullmatch(Path(path).name)
    return Process(int(match["pid"]), int(match["start"])) if match is not None else None


def booted_of(path: str) -> float | None:
    """Return the time of the boot by which the processes of a path agree on the time."""
    match = _PATH_NAME.fullmatch(Path(path).name)
    return float(match["booted"]) if match is not None and match["booted"] else None


def new_stem(process: Process) -> str:
    """Return a name for the files of a process; after an exec the same process needs a new one."""
    return f"{process.pid}-{process.start}-{secrets.token_hex(4)}"


def compacted_stem(generation: int) -> str:
    """Return a name for the files that hold what dead processes counted."""
    return f"{BASE}-{generation}-{secrets.token_hex(4)}"


def generation(stem: str) -> int:
    """Return the number of a compacted file; -1 for a process's files."""
    kind, number, _ = stem.split("-")
    return int(number) if kind == BASE else -1


def process_of(stem: str) -> Process | None:
    """Return the process that files belong to; None for a compacted file."""
    pid, start, _ = stem.split("-")
    return None if pid == BASE else Process(int(pid), int(start))


def _digest(service: str) -> str:
    return sha256(service.encode("utf-8", "replace")).hexdigest()[:8]


def candidate_directories(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the candidates for the parent directory: in memory first, because writes to a disk may wait for it."""
    places = [environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"]  # noqa: S108 a private directory in it
    with suppress(OSError):  # no place for temporary files
        places.append(tempfile.gettempdir())
    for place in places:
        if place and Path(place).is_absolute() and os.access(place, os.W_OK | os.X_OK):
            yield Path(place)


def has_a_place(environ: Mapping[str, str]) -> bool:
    """Return whether there is a place for a runtime directory that has room."""
    return any(map(_has_room, candidate_directories(environ)))


def _has_room(place: Path) -> bool:
    """Return whether a service's counts are likely to fit, and files can be made."""
    try:
        free = os.statvfs(place)
    except OSError:
        return True  # it does not say
    return free.f_bavail * free.f_frsize >= _ROOM and (free.f_files == 0 or free.f_favail >= _FILES)


# -- the directory ---------------------------------------------------------------------------------------------


class RuntimeDirectory:
    """A directory with mode 0700 of this user. Every access checks that, and follows no symbolic link.

    A directory that root has given to its workers' user can still be used by root.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.former: frozenset[str] = frozenset()
        self._locked = -1
        self._ours: Identity | None = None

    def exists(self) -> bool:
        """Return whether something is there."""
        return os.path.lexists(self.path)

    def create(self) -> bool:
        """Create it; return whether it is new. Raises OSError if it cannot be created, or belongs to another user."""
        try:
            Path(self.path).mkdir(_PRIVATE)
            is_new = True
        except FileExistsError:
            is_new = False
        with self.opened():
            return is_new

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the directory; yield its descriptor. Raises OSError when it is not private to this user."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found, user = os.fstat(descriptor), os.geteuid()
            identity = found.st_dev, found.st_ino
            is_given = user == 0 and identity == self._ours
            if (found.st_uid != user and not is_given) or stat.S_IMODE(found.st_mode) & 0o077:
                raise PermissionError(f"{self.path} is not private to this user")
            self._ours = identity
            yield descriptor
        finally:
            os.close(descriptor)

    def new_file(self, name: str, *, shows_life: bool = False) -> DiskFile:
        """Create a file that only this process writes; with `shows_life` it is locked for as long as this one lives.

        A forked child closes its copy of the descriptor, which would hold the lock, and so does an exec.
        """
        opens = partial(self.open, name)
        flags = os.O_RDWR | (os.O_APPEND if shows_life else 0)
        return DiskFile(opens, flags, os.O_CREAT | os.O_EXCL, lock if shows_life else None)

    def list_file(self, name: str) -> DiskFile:
        """Open or create a file to which every process appends."""
        return DiskFile(partial(self.open, name), os.O_RDWR | os.O_APPEND, os.O_CREAT)

    def open_file(self, name: str) -> DiskFile:
        """Open a file of another process's."""
        return DiskFile(partial(self.open, name), os.O_RDONLY | os.O_NONBLOCK)

    def is_locked(self, name: str) -> bool:
        """Return whether a file's process lives."""
        with suppress(OSError):
            descriptor = self.open(name, os.O_RDONLY | os.O_NONBLOCK)
            try:
                return not lock(descriptor, shared=True)
            finally:
                os.close(descriptor)
        return False

    def can_be_made(self) -> bool:
        """Return whether it is there, or can be made and has room; leaves nothing."""
        if self.exists():
            return True
        if not _has_room(Path(self.path).parent):
            return False
        name = f"{new_stem(this_process())}.tmp"
        try:
            if self.create():
                try:
                    with closing(self.new_file(name)) as file:
                        allocate(file.descriptor(), 0, PAGE)
                finally:
                    self.remove(name)
                    with suppress(OSError):  # another process has a file there by now
                        Path(self.path).rmdir()
        except OSError:
            return False
        return True

    def open(self, name: str, flags: int) -> int:
        """Open a file in it, following no link; return its descriptor."""
        with standard_descriptors_reserved(), self.opened() as directory:
            descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
            if flags & os.O_CREAT and os.geteuid() == 0:
                owner = os.fstat(directory).st_uid
                if owner != 0:  # given meanwhile; never back to root
                    os.fchown(descriptor, owner, -1)
            return descriptor

    def give_to(self, user: int) -> None:
        """Let this process go on with it as another user; only root can. Raises OSError."""
        with self.opened() as directory:
            os.fchown(directory, user, -1)  # first: what another process makes meanwhile has its new owner
            for name in os.listdir(directory):  # noqa: PTH208 by descriptor
                os.chown(name, user, -1, dir_fd=directory, follow_symlinks=False)

    def read(self, name: str, start: int = 0) -> bytes:
        """Return a regular file's content from a byte on."""
        with open(self.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 by descriptor
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
                raise OSError(f"{name} is not a regular file, or is too large")
            file.seek(start)
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        part = f"{name}.{secrets.token_hex(4)}.tmp"
        try:
            with open(self.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:  # noqa: PTH123 by descriptor
                file.write(data)
            with self.opened() as directory:
                os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            self.remove(part)
            raise

    def remove(self, *files: str) -> None:
        """Remove files that may be there."""
        with suppress(OSError), self.opened() as directory:
            for name in files:
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the directory's lock, which dies with its process; yield whether it was free."""
        descriptor = self._locked = self.open(LOCK, os.O_RDWR | os.O_CREAT)
        try:
            yield lock(descriptor)
        finally:
            self._locked = -1
            os.close(descriptor)

    def release_in_child(self) -> None:
        """Let go of the lock, if a thread of the parent's held it at the fork: each copy of a descriptor holds it."""
        descriptor, self._locked = self._locked, -1
        if descriptor >= 0:
            os.close(descriptor)

    def names(self) -> list[str]:
        """Return the names of all files."""
        with self.opened() as directory:
            return os.listdir(directory)  # noqa: PTH208 by descriptor

    def remove_all(self) -> None:
        """Remove the directory and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock a file until every copy of the descriptor is closed; return whether it was free.

    Not a POSIX record lock: the process that holds one loses it as soon as it closes any other descriptor of the file.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def stems(files: list[str], suffix: str) -> set[str]:
    """Return the stems that have a file with a suffix."""
    split = (name.rpartition(".") for name in files)
    return {stem for stem, _, found in split if found == suffix and _STEM.fullmatch(stem)}


def is_foreign_file(name: str) -> bool:
    """Return whether a file in a runtime directory is none of slotel's."""
    return name not in SERVICE_FILES and not _STEM.fullmatch(name.split(".", maxsplit=1)[0])
