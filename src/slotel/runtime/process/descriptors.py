"""File descriptors that the app may close: a daemon closes all of them when it starts.

Their numbers are then reused. So slotel compares device and inode before it uses or closes a long-lived descriptor.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

_STANDARD: Final = (0, 1, 2)

Identity = tuple[int, int]
"""Device and inode."""


def identity_of(descriptor: int) -> Identity | None:
    """Return device and inode of a descriptor; None if it is closed."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def standard_descriptors_reserved() -> Iterator[None]:
    """Keep descriptors 0, 1 and 2 occupied meanwhile, so that no file gets one of these numbers.

    An app that has closed them would print into that file. Raises OSError if no descriptor is free.
    """
    taken: list[int] = []
    try:
        if not all(map(identity_of, _STANDARD)):
            while not taken or taken[-1] <= _STANDARD[-1]:
                taken.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        yield
    finally:
        for each in taken:
            os.close(each)


def close_own(closable: Any, identity: Identity | None) -> None:
    """Close a socket, or what behaves like one, if its descriptor is still its own; else only detach it."""
    with suppress(OSError):
        if identity_of(closable.fileno()) == identity:
            closable.close()
        else:
            closable.detach()


class Waker:
    """Wakes a thread that waits in a selector for its descriptor. Thread-safe.

    Raises:
        OSError: no descriptor is left.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._descriptors: tuple[int, int] | None = os.pipe()
        for each in self._descriptors:
            os.set_blocking(each, False)
        self._identity = identity_of(self._descriptors[0])

    @property
    def is_usable(self) -> bool:
        """Return whether both ends are still this pipe's: a pipe's ends share their inode."""
        return self._descriptors is not None and all(
            identity_of(each) == self._identity for each in self._descriptors
        )

    def fileno(self) -> int:
        """Return the descriptor that becomes readable, for a selector."""
        return self._descriptors[0] if self._descriptors is not None else -1

    def wake(self) -> None:
        """Make the descriptor readable."""
        with self._lock:
            if self._descriptors is not None and self.is_usable:
                with suppress(OSError):  # full: it is readable already
                    os.write(self._descriptors[1], b"!")

    def drain(self) -> None:
        """Make it unreadable until the next `wake`."""
        with self._lock:
            if self._descriptors is not None and self.is_usable:
                with suppress(OSError):
                    os.read(self._descriptors[0], 4096)

    def close(self) -> None:
        """Close what is still this pipe's."""
        with self._lock:
            self.close_in_child()

    def close_in_child(self) -> None:
        """Close it in a forked child, where a thread of the parent's may have held the lock."""
        descriptors, self._descriptors = self._descriptors, None
        for each in descriptors or ():
            if identity_of(each) == self._identity:
                os.close(each)
