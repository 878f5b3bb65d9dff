"""Identifies a process by pid and start time, and tells whether it is running."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_START_FIELD: Final = 19
"""Field of /proc/<pid>/stat, counted after the command's closing parenthesis: start time in ticks since boot."""
_USER_FIELD, _SYSTEM_FIELD, _RESIDENT_FIELD = 11, 12, 21
"""CPU time in ticks, resident memory in pages."""


class Process(NamedTuple):
    """A process: pid, and start time in ticks since boot (0 if unknown), which differs if the pid is reused."""

    pid: int
    start: int

    def is_alive(self) -> bool:
        """Return whether it is running in this PID namespace; False for a zombie."""
        try:
            found = _stat(self.pid)
            if found is None:
                with suppress(PermissionError):  # another user's
                    os.kill(self.pid, 0)
                return True
        except OSError:
            return False
        return found[0] not in "ZX" and self.start in {0, int(found[_START_FIELD])}

    def usage(self) -> tuple[float | None, float | None]:
        """Return CPU seconds and bytes of resident memory; None if there is no such process, or no /proc."""
        found = None
        with suppress(OSError):
            found = _stat(self.pid)
        if found is None or self.start not in {0, int(found[_START_FIELD])}:
            return None, None
        ticks, pages = int(found[_USER_FIELD]) + int(found[_SYSTEM_FIELD]), int(found[_RESIDENT_FIELD])
        return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


def this_process() -> Process:
    """Return the running process."""
    pid = os.getpid()
    with suppress(OSError):
        found = _stat(pid)
        if found is not None:
            return Process(pid, int(found[_START_FIELD]))
    return Process(pid, 0)


def _stat(pid: int) -> list[str] | None:
    """Return its fields from the state on; None where there is no /proc. Raises OSError for an unknown process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        if Path("/proc/self/stat").exists():
            raise
        return None
    return text.rpartition(")")[2].split()
