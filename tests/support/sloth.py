"""The real Sloth: what it makes of a spec."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.once import alone
from support.otelcol import BUILD_LIMIT

HERE = Path(__file__).parent


def sloth_rules(spec: Path) -> str:
    """The rule file that `sloth generate` writes for a spec."""
    out = spec.with_suffix(".rules")
    done = subprocess.run(
        [_program(), "generate", "-i", str(spec), "-o", str(out)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return out.read_text()


def _program() -> str:
    """Sloth's path: built before, or now where nothing may be skipped."""
    built = sorted((HERE.parents[1] / ".cache" / "sloth").glob("v*/sloth"))
    if built:
        return str(built[-1])
    message = "Sloth is not built: run tests/support/build_sloth.sh (Go 1.26)"
    if os.environ.get("REQUIRE_REAL") != "1":
        pytest.skip(message)
    if shutil.which("go") is None:
        pytest.fail(message)
    with alone("sloth"):
        done = subprocess.run(
            ["sh", str(HERE / "build_sloth.sh")], capture_output=True, text=True, timeout=BUILD_LIMIT
        )
    assert done.returncode == 0, done.stderr
    return f"{done.stdout.strip()}/sloth"
