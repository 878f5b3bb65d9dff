"""Lists the unfinished jobs and requests of a process: another process of its service counts them if it is killed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from slotel.runtime.process.lifecycle import PROCESS

SUFFIX: Final = "progress"
"""Suffix of the file with the list."""


class InProgress:
    """The jobs and requests that this process has begun, as a list that outlives it.

    An entry is a list that JSON can hold. The code that adds it also reads it, in another process.

    Args:
        share: shares the list with the other processes of the service; returns False where there are none.
        redact: returns nested data without secrets; the list is a file.
    """

    def __init__(self, share: Callable[[bytes], bool], redact: Callable[[Any], Any]) -> None:
        self._share, self._redact = share, redact
        self._dead: list[bytes] = []
        self._begin()
        PROCESS.register("in_progress", after_fork_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[int, Sequence[Any]] = {}
        self._is_shared = False

    def add(self, entries: Mapping[int, Sequence[Any]]) -> None:
        """Add entries that have begun, by a key of this process."""
        with self._lock:
            self._open.update({key: self._redact(entry) for key, entry in entries.items()})
            self._is_shared = self._share(self._list())

    def remove(self, key: int) -> None:
        """Remove an entry that has ended; a key that was never added is ignored."""
        with self._lock:
            if self._open.pop(key, None) is not None and self._is_shared:
                self._share(self._list())

    def _list(self) -> bytes:
        return json.dumps([*self._open.values()], default=str).encode()

    def absorb(self, lists: Sequence[bytes]) -> bytes:
        """Take the lists of dead processes; return the empty list that replaces them."""
        self._dead.extend(lists)
        return b"[]"

    def take(self) -> list[list[Any]]:
        """Return the entries of processes that have died since the last call."""
        dead, self._dead = self._dead, []
        return [entry for entries in map(json.loads, dead) for entry in entries]
