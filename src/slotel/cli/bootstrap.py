"""`slotel bootstrap`: installs the instrumentations for what is installed, in the versions slotel was tested with.

Runs with the standard library alone, so that a service's environment needs nothing but slotel itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slotel.runtime.setup.tested import (
    ALWAYS,
    LEFT_OUT,
    Tested,
    bare_name,
    constraints_path,
    is_reason,
    normalised,
    tested_set,
)

_LOOK: Final = """
import json, sys
from importlib.metadata import distributions
found = {}
for each in distributions():
    name = each.metadata["Name"]
    if name:
        found.setdefault(name, each.version)
print(json.dumps({"python": sys.version.split()[0], "packages": found}))
"""
_VERIFY: Final = """
import json
from importlib.metadata import entry_points
from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts
broken, skipped = {}, {}
for each in entry_points(group="opentelemetry_instrumentor"):
    try:
        each.load()
        conflict = get_dist_dependency_conflicts(each.dist)
        if conflict:
            skipped[each.name] = str(conflict)
    except Exception as error:
        broken[each.name] = type(error).__name__ + ": " + str(error)
print("\\n" + json.dumps({"broken": broken, "skipped": skipped}))
"""
_LOCKS: Final = {
    "uv.lock": "slotel bootstrap --requirements | uv add -r -",
    "poetry.lock": "poetry add $(slotel bootstrap --requirements)",
    "pdm.lock": "pdm add $(slotel bootstrap --requirements)",
    "Pipfile.lock": "pipenv install $(slotel bootstrap --requirements)",
}
"""Lock files, and what adds the instrumentations to them."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python environment; `packages`: normalised name → installed version."""

    python: str
    version: str
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The packages to install, and why."""

    wanted: tuple[Tested, ...]
    reasons: Mapping[str, str]
    left_out: Mapping[str, str]
    missing: tuple[Tested, ...]


def plan(environment: Environment, *, everything: bool = False) -> Plan:
    """Return what to install: the instrumentations of installed libraries and of the standard library."""
    wanted, reasons, left_out = [], {}, {}
    for each in tested_set():
        there = [
            library
            for library in each.libraries
            if library == ALWAYS or (bare_name(library) in environment.packages and is_reason(each, library))
        ]
        if not there:
            continue
        if each.short in LEFT_OUT and not everything:
            left_out[each.short] = LEFT_OUT[each.short]
            continue
        wanted.append(each)
        name = bare_name(there[0])
        is_standard = there[0] == ALWAYS
        reasons[each.short] = (
            "the standard library" if is_standard else f"{name} {environment.packages[name]}"
        )
    core = [each for each in tested_set() if not each.libraries and each.package in environment.packages]
    missing = tuple(
        each for each in (*core, *wanted) if environment.packages.get(each.package) != each.version
    )
    return Plan(tuple(wanted), reasons, left_out, missing)


def look(python: str) -> Environment:
    """Return what a Python interpreter's environment has installed.

    Raises:
        RuntimeError: it cannot be run.
    """
    answer = json.loads(_run_python(python, _LOOK))
    packages = {normalised(name): version for name, version in answer["packages"].items()}
    return Environment(python, answer["python"], packages)


def install_command(environment: Environment, packages: Sequence[Tested]) -> list[str]:
    """Return the command that installs the packages into the environment: its own pip, or uv.

    Raises:
        RuntimeError: there is neither.
    """
    what = ["--constraint", str(constraints_path()), *(each.pinned for each in packages)]
    if "pip" in environment.packages:
        return [environment.python, "-m", "pip", "install", "--disable-pip-version-check", *what]
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError(
            f"{environment.python} has no pip, and uv is not on PATH: "
            "install what `slotel bootstrap --requirements` prints with your own tool"
        )
    return [uv, "pip", "install", "--python", environment.python, *what]


def verify(environment: Environment, wanted: Iterable[Tested]) -> tuple[list[str], list[str]]:
    """Return the problems after an installation, and the instrumentations that will be skipped."""
    after = look(environment.python).packages
    wrong = [
        f"{each.pinned} is not installed (found: {after.get(each.package) or 'nothing'})"
        for each in wanted
        if after.get(each.package) != each.version
    ]
    answer = json.loads(_run_python(environment.python, _VERIFY).strip().splitlines()[-1])
    names = {each.short for each in wanted}
    wrong += [f"{name} cannot be loaded: {why}" for name, why in answer["broken"].items() if name in names]
    skipped = [f"{name} will be skipped: {why}" for name, why in answer["skipped"].items()]
    return wrong, skipped


def unlocked(folder: Path, wanted: Iterable[Tested]) -> str | None:
    """Return a hint if the folder has a lock file without these packages: the next sync would remove them."""
    for name, command in _LOCKS.items():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = (folder / name).read_text(encoding="utf-8")
            if any(each.package not in text for each in wanted):
                return f"{name} does not list them, and the next sync removes them: run {command}"
    return None


def default_python(environ: Mapping[str, str]) -> str:
    """Return the interpreter of the active virtual environment; else the one that runs slotel."""
    folder = environ.get("VIRTUAL_ENV", "")
    active = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return str(active) if folder and active.exists() else sys.executable


def _run_python(python: str, code: str) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(  # noqa: S603 the interpreter that the user names
            [python, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=environ
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{python} cannot be run: {error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise RuntimeError(f"{python}: {last}")
    return done.stdout


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    made = argparse.ArgumentParser(
        prog="slotel bootstrap",
        description="Install the instrumentations for the libraries of the app's environment, "
        "in the versions that this slotel was tested with, and check that they load.",
        epilog="Exit codes: 0 everything is installed and loads; 1 something is not; 2 the call is wrong.",
    )
    made.add_argument(
        "--python", metavar="PATH", help="the app's interpreter (default: the active virtual environment's)"
    )
    made.add_argument("--dry-run", action="store_true", help="print what would be installed, install nothing")
    made.add_argument(
        "--requirements", action="store_true", help="print the pinned packages for a requirements file"
    )
    made.add_argument("--all", action="store_true", help="also install what slotel leaves out by default")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    try:
        environment = look(options.python or default_python(os.environ))
        planned = plan(environment, everything=options.all)
        if options.requirements:
            _say("\n".join(each.pinned for each in planned.wanted))
            return 0
        return _install(environment, planned, dry=options.dry_run)
    except RuntimeError as error:
        return _fail(str(error))


def _install(environment: Environment, planned: Plan, *, dry: bool) -> int:
    if "slotel" not in environment.packages:
        return _fail(
            f"slotel is not installed for {environment.python}: run {environment.python} -m pip install slotel, "
            "or name the app's interpreter with --python"
        )
    _show(environment, planned)
    if planned.missing:
        command = install_command(environment, planned.missing)
        if dry:
            _say("would run: " + " ".join(command))
            return 0
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)  # noqa: S603 pip or uv, see above
        if done.returncode:
            return _fail(
                f"nothing is complete: {' '.join(command[:4])} … ended with {done.returncode}, see above"
            )
    if dry:
        _say("nothing to install")
        return 0
    wrong, skipped = verify(environment, planned.wanted)
    for line in skipped:
        _say(f"warning: {line}")
    if wrong:
        return _fail("; ".join(wrong))
    _say(f"ok: {len(planned.wanted)} instrumentations are installed and load")
    hint = unlocked(Path.cwd(), planned.wanted)
    if hint:
        _say(f"note: {hint}")
    return 0


def _show(environment: Environment, planned: Plan) -> None:
    _say(f"{environment.python} (Python {environment.version})")
    for each in planned.missing:
        if not each.libraries:
            now = environment.packages[each.package]
            _say(f"  {each.package}: {now} → {each.version}, the tested version")
    for each in planned.wanted:
        state = "installed"
        if each in planned.missing:
            found = environment.packages.get(each.package)
            state = f"{found} → {each.version}" if found else "to install"
        _say(f"  {each.short:22} {state:18} for {planned.reasons[each.short]}")
    for name, why in planned.left_out.items():
        _say(f"  {name:22} {'left out':18} {why}")


def _fail(text: str) -> int:
    sys.stderr.write(f"slotel bootstrap: error: {text}\n")
    return 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
