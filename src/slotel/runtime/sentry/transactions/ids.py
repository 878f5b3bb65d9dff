"""Random ids from the system, fetched many at a time: each visit there lets go of the interpreter's lock."""

from __future__ import annotations

import os
from typing import Final

_FETCHED: Final = 4096


class Ids:
    """A store of random bytes for one thread; a forked child fetches its own."""

    def __init__(self) -> None:
        self._bytes = b""
        self._process = -1

    def take(self, size: int) -> str:
        """Return `size` random bytes as hexadecimal digits."""
        process = os.getpid()
        if process != self._process or len(self._bytes) < size:
            self._process = process
            self._bytes = os.urandom(_FETCHED)
        taken, self._bytes = self._bytes[:size], self._bytes[size:]
        return taken.hex()
