"""A library that moves the wall clock of one service, and only its; `wall_clock.c`, built once."""

import os
import shutil
import subprocess
from pathlib import Path

from support.once import CACHE, alone

SOURCE = Path(__file__).with_name("wall_clock.c")
LIBRARY = CACHE / "wall_clock.so"


def built() -> str:
    """Build it if it is not, or is older than its source; return why it cannot be, or nothing."""
    if shutil.which("cc") is None:
        return "no C compiler"
    with alone("wall-clock"):
        if LIBRARY.exists() and LIBRARY.stat().st_mtime > SOURCE.stat().st_mtime:
            return ""
        made = LIBRARY.with_suffix(f".{os.getpid()}")
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl"]
        if subprocess.run(command).returncode:
            return "cc refused wall_clock.c"
        made.replace(LIBRARY)  # a process that has mapped the former one keeps it
    return ""


def environ(file: Path, *, suspends: bool = False) -> dict[str, str]:
    """What a service needs whose wall clock is off by the seconds in a file, looked at once a second.

    Args:
        suspends: the time since boot is off, too, as after a suspension: the monotonic clock has stood still.
    """
    made = {"LD_PRELOAD": str(LIBRARY), "WALL_CLOCK": str(file)}
    return {**made, "WALL_CLOCK_SUSPENDS": "1"} if suspends else made
