"""Grafana's npm libraries at the pinned versions, and what draws with them: installed and bundled once, in .cache."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from support.once import CACHE, alone
from support.real import require_real

HERE = Path(__file__).parents[1] / "grafana"
SOURCES = ("bundle.mjs", "draw/index.jsx", "draw/panels.jsx", "draw/prometheus.js")
INSTALL_SECONDS = 1200


def libraries() -> Path:
    """The folder whose node_modules has Grafana's libraries, esbuild, playwright-core and axe-core."""
    npm = require_real("npm")
    folder = CACHE / f"grafana-libraries-{_digest('package-lock.json')}"
    with alone("grafana-libraries"):
        if not (folder / "complete").exists():
            folder.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, folder / name)
            arguments = ["ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"]
            _run([npm, *arguments], cwd=folder)
            (folder / "complete").touch()
    return folder


def bundle() -> Path:
    """The folder with what draws dashboards, bundled with the libraries."""
    node, folder = require_real("node"), libraries()
    made = CACHE / f"grafana-bundle-{_digest('package-lock.json', *SOURCES)}"
    with alone("grafana-libraries"):
        if not (made / "index.js").exists():
            _run([node, str(HERE / "bundle.mjs"), str(folder), str(made)], cwd=folder)
    return made


def _digest(*names: str) -> str:
    return hashlib.sha256(b"\0".join((HERE / name).read_bytes() for name in names)).hexdigest()[:12]


def _run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
