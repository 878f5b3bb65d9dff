"""Runs every bench/micro_*.py by the convention of bench/README.md and gathers their rows."""

from __future__ import annotations

import json
import subprocess
import sys

from variants import HERE

KEYS = {"what", "baseline", "ratio", "target", "unit", "value", "baseline_value"}


def measure(quick: bool) -> dict[str, dict]:
    """Return for each file its rows, or why it has none."""
    return {path.name: _run(str(path), quick) for path in sorted(HERE.glob("micro_*.py"))}


def _run(path: str, quick: bool) -> dict:
    command = [sys.executable, path, "--json", *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode == 2 and quick:  # argparse: it has no quick profile
        done = subprocess.run(command[:-1], capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        return {"rows": [], "failed": done.stderr[-1000:]}
    try:
        rows = json.loads(done.stdout)
    except ValueError as error:
        return {"rows": [], "failed": f"--json printed no JSON: {error}"}
    if missing := [row for row in rows if set(row) < KEYS]:
        return {"rows": [], "failed": f"a row lacks {sorted(KEYS - set(missing[0]))}"}
    return {"rows": rows}
