"""promtool on texts: checks rule files and runs their tests, with the Debian package's program."""

import os
import subprocess
from functools import cache
from pathlib import Path

from support.kept import run_kept
from support.real import require_real

LEAN = {"GOGC": "400", "GOMEMLIMIT": "1500MiB"}
"""promtool collects its garbage less often: a quarter less CPU."""


def check_rules(directory: Path) -> str:
    """The output of `promtool check rules`, which must succeed."""
    return _run("check", "rules", str(directory / "rules.yaml"))


def check_metrics(text: str) -> str:
    """What `promtool check metrics` finds in an exposition."""
    done = subprocess.run(
        [require_real("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=170,
    )
    return done.stdout + done.stderr


def run_tests(directory: Path, name: str = "rules.test.yaml") -> tuple[bool, str]:
    """Whether `promtool test rules` passed, and what it printed: now, or when it was asked the same before."""
    command = [require_real("promtool"), "test", "rules", str(directory / name)]
    done = run_kept(command, directory, env=LEAN, elsewhere=directory)
    return done.returncode == 0, done.stdout + done.stderr


@cache
def _version() -> str:
    return _run("--version")


def is_left_open() -> bool:
    """Whether this Prometheus leaves a range's first instant out (3.0 and later)."""
    return "version 2." not in _version()


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory / "prometheus"


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [require_real("promtool"), *arguments],
        capture_output=True,
        text=True,
        timeout=170,
        env={**LEAN, **os.environ},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
