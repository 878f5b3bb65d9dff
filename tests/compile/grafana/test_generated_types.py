"""Generated JSON against the types that Grafana (@grafana/schema) and Sentry (@sentry/api) publish, by TypeScript.

A type says that keys and values are known, not that a server accepts them: no Grafana and no Sentry is here.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import services
from support.real import require_real

TYPED = Path(__file__).parent / "typed"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's SDK needs Python 3.11"),
]


@pytest.fixture(scope="module")
def typed() -> Path:
    """A directory with the types and the compiler, installed once for these versions."""
    npm = require_real("npm")
    stamp = hashlib.sha256((TYPED / "package.json").read_bytes()).hexdigest()[:16]
    directory = services.ROOT / ".cache" / "typed" / stamp
    if not (directory / "installed").exists():
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(TYPED / "package.json", directory)
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=directory,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        (directory / "installed").touch()
    shutil.copy(TYPED / "declare.mjs", directory)
    return directory


def faults(typed: Path, root: Path) -> list[str]:
    """What the compiler says against the generated files below a directory."""
    node = require_real("node")
    written = f"generated-{os.getpid()}.ts"  # the directory is shared by tests that run side by side
    declare = [node, "declare.mjs", str(root), written]
    declared = subprocess.run(declare, cwd=typed, capture_output=True, text=True)
    assert declared.returncode == 0, declared.stderr
    assert int(declared.stdout) > 200
    compiler = [node, "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck"]
    # @sentry/api's types import each other without extensions: only a bundler's resolution finds them
    modern = ["--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022"]
    done = subprocess.run([*compiler, *modern, written], cwd=typed, capture_output=True, text=True)
    (typed / written).unlink()
    return [line for line in done.stdout.splitlines() if "error TS" in line]


def test_every_dashboard_panel_query_alert_rule_and_endpoint_is_of_its_published_type(typed):
    assert faults(typed, services.ROOT) == []


def test_an_unknown_key_and_a_wrong_value_are_found(typed, tmp_path):
    """The check has teeth: a misspelt option of a panel, a query format that does not exist, a name that is a number."""
    for name in ("grafana", "sentry"):
        shutil.copytree(services.ROOT / name, tmp_path / name)
    board_file, rule_file = (
        tmp_path / "grafana/dashboards/service.json",
        tmp_path / "sentry/alert-rules/latency-p95.json",
    )
    board, rule = json.loads(board_file.read_text()), json.loads(rule_file.read_text())
    panels = [panel for panel in board["panels"] if panel["type"] == "stat"]
    panels[0]["options"]["colourMode"] = "value"
    panels[1]["targets"][0]["format"] = "timeseries"
    rule["name"] = 45
    board_file.write_text(json.dumps(board))
    rule_file.write_text(json.dumps(rule))
    found = "\n".join(faults(typed, tmp_path))
    assert "colourMode" in found and '"timeseries"' in found
    assert "Type 'number' is not assignable to type 'string'" in found
