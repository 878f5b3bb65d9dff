"""Programs that are Go modules: built once into .cache/tools/, skipped loudly without Go."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.once import alone
from support.otelcol import ROOT
from support.real import require_real

BUILD_LIMIT = 40 * 60.0
"""Seconds; helm takes about four minutes on two busy cores."""


def go_tool(package: str) -> str:
    """The path of a program.

    Args:
        package: its import path and version, `helm.sh/helm/v3/cmd/helm@v3.22.0`.
    """
    path, version = package.split("@")
    name = path.rsplit("/", 1)[1]
    folder = ROOT / ".cache" / "tools" / version
    program = folder / name
    if not program.exists():
        if os.environ.get("REQUIRE_REAL") != "1" and os.environ.get("KUBERNETES") != "all":
            pytest.skip(f"{name} {version} is not built: make kubernetes")
        go = require_real("go")
        folder.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "GOBIN": str(folder.resolve()), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
        with alone(f"tool-{name}"):
            if not program.exists():
                subprocess.run([go, "install", package], env=env, check=True, timeout=BUILD_LIMIT)
    return str(program)


def built(script: Path, *arguments: str) -> str:
    """The path that a build script prints."""
    require_real("go")
    with alone("-".join(("built", script.parent.name, *arguments))):
        run = subprocess.run(
            ["sh", str(script), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            timeout=BUILD_LIMIT,
            check=True,
            cwd=ROOT,
        )
    return run.stdout.strip()
