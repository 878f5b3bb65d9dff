"""Runs the suites that touch other projects, over the oldest and the newest of each, and over every interpreter here.

Usage: python tests/support/matrix.py [--sets NAME,NAME] [pytest arguments]; `make matrix` is the short way. Each set gets a
virtual environment of its own in .cache/matrix, made anew from the lock, and changed in the one thing that its name says.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = ROOT / ".cache" / "matrix"
SUITES: Final = (
    "tests/runtime",
    "tests/tracker",
    "tests/e2e/test_counting.py",
    "tests/e2e/test_auto_instrumentation.py",
)
WORKERS: Final = os.environ.get("WORKERS", "4")
OLDEST_OTEL: Final = (
    "opentelemetry-api==1.45.0", "opentelemetry-sdk==1.45.0", "opentelemetry-semantic-conventions==0.66b0",
    "opentelemetry-instrumentation==0.66b0", "opentelemetry-exporter-prometheus==0.66b0",
)  # fmt: skip
"""The lower bounds of pyproject.toml."""
OLDEST_LIBRARIES: Final = ("ruamel.yaml==0.18", "urllib3==1.26.11", "wrapt==1.15")
"""Of the other dependencies: an application's own pins may ask for them (OctoPrint: wrapt < 1.18)."""


class Set(NamedTuple):
    """One environment: what differs from the lock, and which tests it runs."""

    name: str
    install: tuple[str, ...] = ()
    upgrade: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    suites: tuple[str, ...] = SUITES
    python: str = sys.executable


SENTRY: Final = ("tests/runtime/sentry", "tests/tracker", "tests/e2e/test_sentry.py")
SETS: Final = (
    Set("otel-oldest", install=OLDEST_OTEL),
    Set("otel-newest", upgrade=("opentelemetry-api", "opentelemetry-sdk", "opentelemetry-instrumentation")),
    Set("sentry-oldest", install=("sentry-sdk==2.61.0",), suites=SENTRY),
    Set("sentry-newest-2", install=("sentry-sdk<3",), upgrade=("sentry-sdk",), suites=SENTRY),
    Set("sentry-3", install=("sentry-sdk==3.0.0b2",), suites=SENTRY),
    Set("libraries-oldest", install=OLDEST_LIBRARIES),
    Set("plain", remove=("orjson", "isal"), suites=SENTRY),
)


def interpreters() -> Iterator[Set]:
    """Yield a set for every CPython from 3.10 that this machine has, beside the one that runs this."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    folders += sorted(pyenv.glob("*/bin"))
    seen = {_version(Path(sys.executable))}
    for folder in folders:
        for program in sorted(folder.glob("python3.*")):
            if re.fullmatch(r"python3\.\d\d(t)?", program.name):
                version = _version(program)
                if version not in {None, *seen}:
                    seen.add(version)
                    yield Set(f"python{version}", python=str(program))


def _version(program: Path) -> str | None:
    """Return `3.13`, or `3.13t` without the GIL; None for what does not run or is no CPython from 3.10."""
    code = "import sys, sysconfig; print(sys.implementation.name, *sys.version_info[:2], sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
    done = subprocess.run([str(program), "-c", code], capture_output=True, text=True)
    if done.returncode != 0:
        return None
    name, major, minor, free = done.stdout.split()
    return f"{major}.{minor}{'t' if free == '1' else ''}" if name == "cpython" and int(minor) >= 10 else None


def uv() -> str:
    """The uv that `make` installs."""
    return shutil.which("uv") or str(Path(sys.executable).with_name("uv"))


def run(each: Set, arguments: list[str]) -> str:
    """Return what pytest said last, or what could not be installed."""
    environment = HERE / each.name
    python = str(environment / "bin" / "python")
    pip = [uv(), "pip", "install", "--quiet", "--python", python]
    steps = [
        [uv(), "venv", "--quiet", "--clear", "--python", each.python, str(environment)],
        [*pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")],
        [*pip, "--no-deps", "-e", str(ROOT)],
    ]
    if each.install or each.upgrade:
        upgrades = [word for name in each.upgrade for word in ("--upgrade-package", name)]
        steps.append([*pip, *upgrades, *(each.install or each.upgrade)])
    if each.remove:
        steps.append([uv(), "pip", "uninstall", "--quiet", "--python", python, *each.remove])
    for step in steps:
        done = subprocess.run(step, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            return f"FAILED to install: {done.stderr.strip().splitlines()[-1]}"
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        WORKERS,
        *(arguments or each.suites),
    ]
    with (HERE / f"{each.name}.log").open("w") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT).returncode
    last = (HERE / f"{each.name}.log").read_text().strip().splitlines()[-1]
    return last.strip("= ") if code == 0 else f"FAILED: {last.strip('= ')} (see {log.name})"


def main() -> int:
    """Run the sets and print a table; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sets",
        default=os.environ.get("SETS", ""),
        help="comma-separated; `python` is every interpreter, `python3.13` one",
    )
    options, arguments = parser.parse_known_args()
    wanted = set(options.sets.replace(",", " ").split())
    pythons = list(interpreters()) or [Set(f"python{sys.version_info.major}.{sys.version_info.minor}")]
    names = {each.name: each for each in (*SETS, *pythons)}
    if unknown := wanted - {*names, "python"}:
        parser.error(f"unknown sets: {', '.join(sorted(unknown))}; here are {', '.join(names)}")
    chosen = [
        each
        for each in names.values()
        if not wanted or each.name in wanted or (each in pythons and "python" in wanted)
    ]
    HERE.mkdir(parents=True, exist_ok=True)
    failed = False
    print("| set | result |\n| --- | --- |", flush=True)
    for each in chosen:
        result = run(each, arguments)
        failed = failed or result.startswith("FAILED")
        print(f"| {each.name} | {result} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
