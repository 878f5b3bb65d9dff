"""`opentelemetry-instrument COMMAND` becomes COMMAND at once, if it is a release that is known to do nothing else."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from opentelemetry.instrumentation import auto_instrumentation

from slotel.runtime.upstream import launcher
from support.launch import OPENTELEMETRY_INSTRUMENT, clean_environ

SOURCE = Path(auto_instrumentation.__file__)


def imported(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command, and let it tell what it imports."""
    return subprocess.run(
        [OPENTELEMETRY_INSTRUMENT, *arguments],
        env=clean_environ(PYTHONPROFILEIMPORTTIME="1", **environ),
        capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip


@pytest.mark.process
def test_it_imports_nothing_of_opentelemetry():
    done = imported("true")
    assert done.returncode == 0
    assert "slotel.launch" in done.stderr
    assert "opentelemetry" not in done.stderr.replace("opentelemetry-instrument", ""), (
        "the source of `run` is another: read it, and add its CRC to slotel.runtime.upstream.launcher.KNOWN"
    )


@pytest.mark.process
def test_a_release_that_is_not_known_does_it_itself(tmp_path):
    copy = tmp_path / "opentelemetry" / "instrumentation" / "auto_instrumentation"
    copy.mkdir(parents=True)
    for each in SOURCE.parent.glob("*.py"):
        (copy / each.name).write_text(each.read_text())
    path = copy / "__init__.py"
    path.write_text(
        SOURCE.read_text().replace("\ndef run() -> None:\n", "\ndef run() -> None:\n    print('another')\n")
    )
    done = imported("true", PYTHONPATH=str(tmp_path))
    assert done.stdout == "another\n"


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("gunicron", "gunicron"),
        ("/no/such/app", "/no/such/app"),
        (".", "."),
        ("SENTRY_DSN=http://key@x", "SENTRY_DSN=…"),
    ],
)
def test_a_command_that_does_not_exist_is_named_as_a_shell_names_it(command, shown):
    """`opentelemetry-instrument` alone ends with the traceback of a TypeError."""
    done = imported(command)
    assert done.returncode == 127
    last = done.stderr.splitlines()[-1]
    assert last == f"opentelemetry-instrument: {shown}: not found in PATH, or not executable"
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_an_option_and_a_wrong_name_are_its_own_matter():
    assert "opentelemetry.instrumentation" in imported("--traces_exporter", "none", "true").stderr
    named = imported("true", OTEL_PYTHON_DISTRO="pigeon")
    assert "SLO119" in named.stderr
    assert named.returncode == 0


@pytest.mark.parametrize(
    ("started", "place"),
    [
        (["/v/bin/python", "/v/bin/opentelemetry-instrument", "app"], 1),
        (["/v/bin/python", "-E", "/v/bin/opentelemetry-instrument", "app"], 2),
        (["/v/bin/python", "/v/bin/coverage", "run", "/v/bin/opentelemetry-instrument", "app"], 0),
        (["/v/bin/python", "-m", "pdb", "/v/bin/opentelemetry-instrument", "app"], 0),
        (["/v/bin/python", "-i", "/v/bin/opentelemetry-instrument", "app"], 0),
        (["/v/bin/python", "/v/bin/my-opentelemetry-instrument", "app"], 0),
    ],
)
def test_only_the_script_that_python_runs_is_the_command(monkeypatch, started, place):
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("a script of another kind is left alone"))
    launcher.become_command({"PATH": os.environ["PATH"]}, started)  # there is no such script
    assert launcher._script(started) == place


def test_nothing_is_begun_that_the_command_would_not(monkeypatch, tmp_path):
    begun, ended = [], []
    monkeypatch.setattr(os, "execve", lambda *given: begun.append(given))
    monkeypatch.setattr(os, "_exit", ended.append)
    script = str(OPENTELEMETRY_INSTRUMENT)
    environ = {"PATH": os.environ["PATH"], "X": "y"}
    for arguments in ([], ["--version"], ["true", "--", "x"], ["no-such-command"], [str(tmp_path)]):
        launcher.become_command(environ, [sys.executable, script, *arguments])
    launcher.become_command({"PATH": ""}, [sys.executable, script, "true"])
    launcher.become_command(environ, [sys.executable])
    assert (begun, ended) == ([], [127, 127])  # no such command, a folder
    launcher.become_command(environ, [sys.executable, script, "true", "-x"])
    (file, arguments, given), = begun  # fmt: skip
    assert (arguments, given["X"]) == ([file, "-x"], "y")
    monkeypatch.setattr(launcher, "KNOWN", {zlib.crc32(b"another"): "x"})
    launcher.become_command(environ, [sys.executable, script, "true"])
    assert len(begun) == 1
