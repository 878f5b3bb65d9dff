"""Pyright of npm at a pinned version: installed once, in .cache."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path
from typing import Final

from support.real import require_real

VERSION: Final = "1.1.414"
_FOLDER: Final = Path(__file__).parents[2] / ".cache/pyright" / VERSION


def pyright() -> str:
    """Return the program; the first call installs it."""
    npm = require_real("npm")
    require_real("node")
    program = _FOLDER / "node_modules/.bin/pyright"
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            subprocess.run(
                [npm, "install", "--prefix", str(_FOLDER), "--no-audit", "--no-fund", "--ignore-scripts", f"pyright@{VERSION}"],
                check=True, capture_output=True, timeout=600,
            )  # fmt: skip
    return str(program)
