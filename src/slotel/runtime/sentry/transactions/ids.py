"""Random ids from the system, fetched many at a time: each visit there lets go of the interpreter's lock."""

from __future__ import annotations

import os
from collections import deque
from typing import Final

_FETCHED: Final = 4096
_BYTES: Final = 8
"""Of one piece: a span's id. An event's has two."""


class Ids:
    """A store of random bytes for all threads; a forked child fetches its own."""

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
"""The store of this process."""
