"""Loopback ports for tests: each is reserved for the process that asked, so that tests run side by side.

The ports lie below the range from which the kernel takes ports by itself. A reservation is a lock on one byte of a shared
file; the kernel gives it back when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import threading
from pathlib import Path
from typing import Final

FIRST: Final = 12_000
LAST: Final = 31_999

_FILE: Final = Path(tempfile.gettempdir()) / f"slotel-test-ports-{os.getuid()}"
_LOCK: Final = threading.Lock()
_taken: set[int] = set()
_descriptor: list[tuple[int, int]] = []
"""The process and its descriptor: a forked child must open its own, since it does not inherit the locks."""


def free_port() -> int:
    """Return a port that is free on loopback and that no other test process gets while this process lives."""
    with _LOCK:
        start = random.randrange(FIRST, LAST + 1)
        for offset in range(LAST + 1 - FIRST):
            port = FIRST + (start - FIRST + offset) % (LAST + 1 - FIRST)
            if port not in _taken and _reserve(port):
                _taken.add(port)
                if _is_bindable(port):
                    return port
    raise OSError(f"no free port between {FIRST} and {LAST}")


def _reserve(port: int) -> bool:
    try:
        fcntl.lockf(_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port, os.SEEK_SET)
    except OSError:
        return False
    return True


def _file() -> int:
    if not _descriptor or _descriptor[0][0] != os.getpid():
        _descriptor[:] = [(os.getpid(), os.open(_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))]
    return _descriptor[0][1]


def _is_bindable(port: int) -> bool:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address, port))
        except OSError:
            if family == socket.AF_INET:
                return False
    return True
