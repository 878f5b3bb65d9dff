"""Packages of npm that a test needs: installed once, in .cache, for each package.json."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from support.once import alone
from support.real import require_real

ROOT = Path(__file__).parents[2]
INSTALL_SECONDS = 1200


def installed(folder: Path) -> Path:
    """Return a copy of a folder, of which the package.json says what is in its node_modules."""
    npm = require_real("npm")
    require_real("node")
    digest = hashlib.sha256(b"\0".join(each.read_bytes() for each in sorted(folder.iterdir()))).hexdigest()[
        :12
    ]
    copy = ROOT / ".cache" / f"npm-{folder.name}-{digest}"
    copy.mkdir(parents=True, exist_ok=True)
    with alone(copy.name):
        if not (copy / "complete").exists():
            for each in folder.iterdir():
                shutil.copy(each, copy)
            done = subprocess.run(
                [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=copy, capture_output=True, text=True, timeout=INSTALL_SECONDS,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            (copy / "complete").touch()
    return copy
