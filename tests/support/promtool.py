"""promtool on texts: checks rule files and runs their tests, with the Debian package's program."""

import hashlib
import json
import os
import subprocess
from functools import cache
from pathlib import Path

from support.real import require_real

KEPT = Path(__file__).parents[2] / ".cache" / "promtool"
"""What `promtool test rules` said, by its version and files: it follows from these alone. `make long` asks anew."""


def check_rules(directory: Path) -> str:
    """The output of `promtool check rules`, which must succeed."""
    return _run("check", "rules", str(directory / "rules.yaml")).stdout


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
    kept = KEPT / _key(directory, name)
    if os.environ.get("LONG") != "1" and kept.exists():
        passed, output = json.loads(kept.read_text())
        return passed, output
    done = _run("test", "rules", str(directory / name), check=False)
    result = done.returncode == 0, done.stdout + done.stderr
    if done.returncode == 0 or "FAILED" in result[1]:  # not what the machine did: no space, no memory
        KEPT.mkdir(parents=True, exist_ok=True)
        written = kept.with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps(result))
        written.replace(kept)  # whoever looks sees nothing or the whole
    return result


@cache
def _version() -> str:
    return _run("--version").stdout


def _key(directory: Path, name: str) -> str:
    """The digest of all that an answer depends on: the program, and every file of the folder."""
    program = Path(require_real("promtool"))
    found = hashlib.sha256(f"{_version()}{program.resolve().stat().st_size} {name}".encode())
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        found.update(f"\0{path.relative_to(directory)}\0".encode() + path.read_bytes())
    return found.hexdigest()


def is_left_open() -> bool:
    """Whether this Prometheus leaves a range's first instant out (3.0 and later)."""
    return "version 2." not in _version()


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory / "prometheus"


def _run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [require_real("promtool"), *arguments],
        capture_output=True,
        text=True,
        timeout=float(os.environ.get("PROMTOOL_SECONDS", "600")),
        env={
            "GOGC": "400",
            "GOMEMLIMIT": "1500MiB",
            **os.environ,
        },  # collects its garbage less often: a quarter less CPU
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done
