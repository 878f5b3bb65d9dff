"""Random ids from the operating system, fetched many at a time: each system call releases the GIL."""

from __future__ import annotations

import os
from collections import deque
from typing import Final

_FETCHED: Final = 4096
_BYTES: Final = 8
"""Bytes of a span id. An event id has twice as many."""


class Ids:
    """A buffer of random bytes for all threads. A forked child fetches its own."""

    def __init__(self) -> None:
        self._pieces: deque[str] = deque()
        self._process = -1

    def take(self, size: int) -> str:
        """Return `size` random bytes, a multiple of 8, as hexadecimal digits."""
        process = os.getpid()
        if process != self._process:
            self._pieces.clear()
            self._process = process
        taken = ""
        while len(taken) < 2 * size:
            try:
                taken += self._pieces.popleft()  # in one step, so that no two threads get the same
            except IndexError:
                fetched = os.urandom(_FETCHED)
                self._pieces.extend(fetched[at : at + _BYTES].hex() for at in range(0, _FETCHED, _BYTES))
        return taken


IDS: Final = Ids()
"""The buffer of this process."""
