"""Runs other projects' own test suites with slotel active beside the same suites without it, and explains the difference.

Usage: python tests/upstream/run.py [--only NAME,NAME] [--dsn]; `make upstream` runs both forms. The suites come in the source packages of the
package index, at the locked versions, into .cache/upstream. A test that passes without slotel and fails with it must stand in expected.toml
with its reason; an entry there that no test needs is an error, too.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree as ET

from slotel.cli.sink.server import SentrySink

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
CACHE: Final = (ROOT / ".cache").resolve() / "upstream"
"""Not by a symbolic link: pytest would name the tests by the way to it."""
TIMEOUT: Final = 1800
LONGEST: Final = 180.0
"""Seconds of one test with its fixtures."""
_MOST_HUNG: Final = 5
"""Tests of a suite that may not end; each is left out of the next attempt."""
_UNFORKED: Final = {"sentry-django": ("-p", "no:pytest_forked")}
"""Each fork of a process with Django ends with status 3 there, also without slotel."""

_AFTER_ALL: Final = 'failed on teardown with "AssertionError: {message : StarletteDeprecationWarning('
"""What sentry-sdk's suites say of the last test that runs, also without slotel: a test client has warned of itself while it was imported."""


class Suite(NamedTuple):
    """The tests of one source package."""

    name: str
    package: str
    tests: tuple[str, ...] = ("tests",)
    modes: tuple[str, ...] = ("start", "adopt")


def _contrib(*names: str) -> tuple[Suite, ...]:
    return tuple(Suite(name, f"opentelemetry-instrumentation-{name}") for name in names)


def _sentry(**tests: tuple[str, ...]) -> tuple[Suite, ...]:
    return tuple(Suite(f"sentry-{name}", "sentry-sdk", paths, ("start",)) for name, paths in tests.items())


SUITES: Final = (
    Suite("api", "opentelemetry-api", ("tests/trace", "tests/context", "tests/baggage", "tests/propagators")),
    Suite("sdk", "opentelemetry-sdk", ("tests/trace", "tests/context")),
    Suite("exporter-otlp", "opentelemetry-exporter-otlp-proto-http"),
    Suite("exporter-prometheus", "opentelemetry-exporter-prometheus"),
    *_contrib(
        "asgi", "asyncio", "celery", "dbapi", "django", "fastapi", "flask", "requests", "sqlite3", "starlette", "threading",
        "urllib", "urllib3", "wsgi",
    ),
    *_sentry(
        flask=("tests/integrations/flask",), fastapi=("tests/integrations/fastapi",),
        starlette=("tests/integrations/starlette",), wsgi=("tests/integrations/wsgi",),
        logging=("tests/integrations/logging",), django=("tests/integrations/django",),
        celery=("tests/integrations/celery",), tracing=("tests/tracing",),
        basics=(
            "tests/test_basics.py", "tests/test_scope.py", "tests/test_crons.py", "tests/test_sessions.py",
            "tests/test_exceptiongroup.py",
        ),
    ),
)  # fmt: skip
NEEDS: Final = (
    "opentelemetry-test-utils", "mocket", "flaky", "responses", "pytest-localserver", "pytest-forked", "pytest-asyncio", "pytest-watch",
    "jsonschema", "httpretty", "flask-login", "python-multipart", "asgiref", "pytest-xdist", "pytest-timeout", "brotli",
    "djangorestframework", "channels", "pytest-django", "executing", "daphne",
)  # fmt: skip
"""What the suites import, beside what the lock has."""


def prepare() -> str:
    """Return the interpreter of the environment that the suites run in."""
    python = CACHE / "venv" / "bin" / "python"
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    pip = [uv, "pip", "install", "--quiet", "--python", str(python)]
    lock = ROOT / "requirements.lock"
    stamp = CACHE / "venv" / hashlib.sha256(lock.read_bytes() + repr(NEEDS).encode()).hexdigest()
    if not stamp.exists():
        _do(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(CACHE / "venv"))
        _do(*pip, "--require-hashes", "-r", str(lock))
        _do(*pip, *NEEDS, "--constraint", str(_pins(uv, python)))
        stamp.touch()
    _do(*pip, "--no-deps", "-e", str(ROOT))
    return str(python)


def _pins(uv: str, python: Path) -> Path:
    """What is installed, as constraints: what the suites need beside it must not move it."""
    frozen = subprocess.run(
        [uv, "pip", "freeze", "--python", str(python)], capture_output=True, text=True, check=True
    )
    path = CACHE / "constraints.txt"
    path.write_text("\n".join(line for line in frozen.stdout.splitlines() if "==" in line))
    return path


def source(suite: Suite) -> Path:
    """Return the unpacked source package of a suite, at the locked version."""
    found = re.search(
        rf"^{suite.package}==([^ \\;]+)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE
    )
    if found is None:
        raise SystemExit(f"{suite.package} is not in requirements.lock")
    folder = CACHE / f"{suite.package.replace('-', '_')}-{found[1]}"
    if not folder.is_dir():
        wanted = f"{suite.package}=={found[1]}"
        # `:all:` would build the tools that build the package from their sources, too
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        _do(*pip, "--no-binary", suite.package, "--dest", str(CACHE), wanted)
        with tarfile.open(folder.with_name(folder.name + ".tar.gz")) as archive:
            archive.extractall(CACHE, filter="data")
    return folder


class Result(NamedTuple):
    """What came of a test.

    Args:
        state: passed, failed or skipped.
        message: the line with which it failed.
        asks_for: what of Sentry's options it needs, as the plugin knows.
    """

    state: str
    message: str = ""
    asks_for: str = ""


GONE: Final = Result("gone", "it was not run")
HUNG: Final = Result("hung", "it did not end")


def run(
    python: str,
    suite: Suite,
    folder: Path,
    mode: str,
    dsn: str,
    only: Iterable[str] = (),
    left_out: Iterable[str] = (),
) -> tuple[dict[str, Result], list[str]]:
    """Return each test's result in a mode, and the tests that did not end; what slotel's own client sends goes to the DSN.

    Args:
        only: tests to run, as in the result; without any, all.
        left_out: tests to leave out, as pytest names them.
    """
    report, running = CACHE / f"{suite.name}-{mode}.xml", CACHE / f"{suite.name}-{mode}.running"
    tests = [path for path in suite.tests if (folder / path).exists()]
    command = [
        python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "slotel_active", f"--junitxml={report}", "-o", "addopts=",
        f"--rootdir={folder}", "--confcutdir", str(folder), "-c", "/dev/null",
        "-W", "default", "--timeout=60", *_UNFORKED.get(suite.name, ()), *tests,
    ]  # fmt: skip
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "SENTRY_", "SLOTEL_"))
    }
    environ |= {
        "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT / "tests"), str(folder)]),
        "SLOTEL_UPSTREAM_MODE": mode,
        "SLOTEL_UPSTREAM_DSN": dsn,
        "SLOTEL_UPSTREAM_ONLY": json.dumps([name.partition("::")[2] for name in only]),
        "SLOTEL_UPSTREAM_RUNNING": str(running),
        "DJANGO_SETTINGS_MODULE": "tests.integrations.django.myapp.settings"
        if suite.name == "sentry-django"
        else "",
    }
    hung: list[str] = []
    while True:
        report.unlink(missing_ok=True)
        running.unlink(missing_ok=True)
        leaves = [f"--deselect={name}" for name in (*left_out, *hung)]
        with (CACHE / f"{suite.name}-{mode}.log").open("w") as log:
            process = subprocess.Popen(
                [*command, *leaves],
                cwd=folder,
                env=environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            _wait(process, running)
        if report.exists():
            break
        if len(hung) == _MOST_HUNG or not running.exists():
            raise SystemExit(
                f"{suite.name} has not ended in mode {mode}: {CACHE / f'{suite.name}-{mode}.log'}"
            )
        hung.append(running.read_text())
    results = {}
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        told = {child.tag: child for child in case}
        failure = next((told[tag] for tag in ("failure", "error") if tag in told), None)
        asks_for = " ".join(str(each.get("value")) for each in case.iter("property"))
        state = "failed" if failure is not None else "skipped" if "skipped" in told else "passed"
        message = "" if failure is None else str(failure.get("message"))
        if message.startswith(_AFTER_ALL):
            state, message = "passed", ""
        results[name] = Result(state, message, asks_for)
    results.update({_as_in_report(name): HUNG for name in hung})
    return results, hung


def _wait(process: subprocess.Popen[bytes], running: Path) -> None:
    """Wait for a suite; end it, with its stacks in its log, where a test stands.

    From outside, since pytest-timeout raises once, and a fixture's teardown may wait after that; and since a thread in the process
    would be held by the forks of some tests.
    """
    until = time.monotonic() + TIMEOUT
    while process.poll() is None:
        stands = running.exists() and time.time() - running.stat().st_mtime > LONGEST
        if stands or time.monotonic() > until:
            os.killpg(process.pid, signal.SIGABRT)
            process.wait()
        time.sleep(0.1)


def _as_in_report(name: str) -> str:
    """Return the name that the report has for a test of pytest's name."""
    path, *inside = name.split("::")
    parameters = "[" + inside[-1].partition("[")[2] if "[" in inside[-1] else ""
    inside[-1] = inside[-1].partition("[")[0]
    *classes, function = inside
    return ".".join([path.removesuffix(".py").replace("/", "."), *classes]) + f"::{function}{parameters}"


def explained(
    suite: str, mode: str, test: str, result: Result, entries: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return the entry of expected.toml that explains a failure: all that it names must be so."""
    for entry in entries:
        if (
            _is_like(suite, entry["suite"])
            and entry.get("mode", mode) == mode
            and entry.get("asks_for", result.asks_for) == result.asks_for
            and _is_like(test, entry.get("test", "*"))
            and _is_like(result.message, entry.get("message", "*"))
        ):
            return entry
    return None


def needless(
    entries: list[dict[str, Any]], used: set[tuple[int, str]], ran: set[tuple[str, str]]
) -> list[str]:
    """Return which entry explains nothing in which of its suites.

    Args:
        used: number of an entry, and the suite in which it explained something.
        ran: suites, and the modes in which they were run.
    """
    found = []
    names = {each.name for each in SUITES}
    for number, entry in enumerate(entries):
        helped = {name for rule, name in used if rule == number}
        for pattern in [entry["suite"]] if isinstance(entry["suite"], str) else entry["suite"]:
            meant = {name for name in names if fnmatch.fnmatchcase(name, pattern)}
            have_run = {name for name, mode in ran if entry.get("mode", mode) == mode}
            if meant <= have_run and not meant & helped:  # of several suites, once all have run
                found.append(f"rule {number + 1} in {pattern}: {entry['reason']}")
    return found


def _is_like(text: str, patterns: str | list[str]) -> bool:
    given = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatchcase(text, each.replace("[", "[[]")) for each in given)


def main() -> int:
    """Print a table for docs/compatibility.md; return 1 where a difference has no reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="comma-separated names of suites")
    parser.add_argument(
        "--dsn",
        action="store_true",
        help="sentry-sdk's suites, with a DSN: slotel takes over the client of each test",
    )
    asked = parser.parse_args()
    with SentrySink(keep=0) as sink:
        return compare(asked, sink)


def compare(asked: argparse.Namespace, sink: SentrySink) -> int:
    """Run what is asked for, and print what came of it."""
    wanted = {name for name in asked.only.split(",") if name}
    CACHE.mkdir(parents=True, exist_ok=True)
    python = prepare()
    entries = tomllib.loads((HERE / "expected.toml").read_text()).get("difference", [])
    used: set[tuple[int, str]] = set()
    unexplained: list[str] = []
    ran: set[tuple[str, str]] = set()
    print(
        "| suite | passed without slotel | started | adopted | with a DSN | explained, by rule of expected.toml |\n"
        "| --- | --- | --- | --- | --- | --- |",
        flush=True,
    )
    for suite in SUITES:
        if (wanted and suite.name not in wanted) or (asked.dsn and suite.package != "sentry-sdk"):
            continue
        folder = source(suite)
        plain, hung = run(python, suite, folder, "off", sink.dsn())
        for name in hung:
            print(f"left out in each mode, since it does not end without slotel: {name}")
        good = {name for name, result in plain.items() if result.state == "passed"}
        cells, rules = {}, Counter[int]()
        for mode in ("dsn",) if asked.dsn else suite.modes:
            ran.add((suite.name, mode))
            results, _ = run(python, suite, folder, mode, sink.dsn(), left_out=hung)
            lost = sorted(name for name in good if results.get(name, GONE).state != "passed")
            again = plain
            if any(
                explained(suite.name, mode, name, results.get(name, GONE), entries) is None for name in lost
            ):  # a test that passes the second time depends on the machine's load, not on slotel
                again, _ = run(python, suite, folder, "off", sink.dsn(), lost, hung)
                second, _ = run(python, suite, folder, mode, sink.dsn(), lost, hung)
                lost = [name for name in lost if second.get(name, GONE).state != "passed"]
            for name in lost:
                entry = explained(suite.name, mode, name, results.get(name, GONE), entries)
                if entry is not None:
                    rule = entries.index(entry)
                    used.add((rule, suite.name))
                    rules[rule + 1] += 1
                elif again.get(name, GONE).state == "passed":
                    unexplained.append(
                        f"{suite.name}, {mode}: {name}: {results.get(name, GONE).message[:200]}"
                    )
            cells[mode] = len(good) - len(lost)
        print(
            f"| {suite.name} | {len(good)} | {cells.get('start', '')} | {cells.get('adopt', '')} | {cells.get('dsn', '')} "
            f"| {', '.join(f'{count} by {rule}' for rule, count in sorted(rules.items()))} |",
            flush=True,
        )
    unused = needless(entries, used, ran)
    for line in unexplained:
        print(f"no reason for: {line}")
    for line in unused:
        print(f"expected.toml explains what did not happen: {line}")
    return 1 if unexplained or unused else 0


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
