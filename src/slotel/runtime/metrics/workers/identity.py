"""A process and whether it lives, told apart from a later one with the same number."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_START_FIELD: Final = 19
"""Of /proc/<pid>/stat, counted after the command's closing parenthesis: start time in ticks since boot."""


class Process(NamedTuple):
    """A process, told apart from a later one with the same pid by its start (0 where the system does not say)."""

    pid: int
    start: int

    def is_alive(self) -> bool:
        """Return whether it runs in this namespace of pids; a zombie does not."""
        try:
            found = _stat(self.pid)
        except OSError:
            return False
        if found is None:
            return _answers(self.pid)
        state, start = found
        return state not in "ZX" and self.start in {0, start}


def this_process() -> Process:
    """Return the running process."""
    pid = os.getpid()
    with suppress(OSError):
        found = _stat(pid)
        if found is not None:
            return Process(pid, found[1])
    return Process(pid, 0)


def _stat(pid: int) -> tuple[str, int] | None:
    """Return state and start; None where there is no /proc. Raises OSError when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        if Path("/proc/self/stat").exists():
            raise
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[_START_FIELD])


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
