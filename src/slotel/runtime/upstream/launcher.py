"""Does what `opentelemetry-instrument COMMAND` does, without its imports, which take an eighth of a start's CPU.

The command imports OpenTelemetry and reads all entry points to learn which options it has. Given none of them it puts
two folders into PYTHONPATH and becomes COMMAND. That is done here, before it begins, if it is a release whose source is
known; else it does it itself. This module imports nothing that Python has not imported at its start:
pathlib takes as long as all of it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

LAUNCHER: Final = "opentelemetry-instrument"
KNOWN: Final = {2469698718: "0.66b0"}
"""The CRC of the source of `run`, and the first release that has it."""
_FLAGS: Final = frozenset("BEIOPqsu")
"""Python's options that the first line of an installed script may have."""
_NO_SUCH_COMMAND: Final = 127
"""Source: POSIX, Shell Command Language, Exit Status for Commands."""
_PACKAGE: Final = os.path.join("opentelemetry", "instrumentation", "auto_instrumentation")
_CALL: Final = b"opentelemetry.instrumentation.auto_instrumentation import run"


def become_command(environ: Mapping[str, str], started: Sequence[str]) -> None:
    """Become the command that `opentelemetry-instrument` is given; return where that is left to it.

    Args:
        started: this process's command line, `sys.orig_argv`.
    """
    try:
        place = _script(started)
        command = started[place + 1 :]
        if not place or not command or command[0].startswith("-") or "--" in command:
            return
        folder = _folder()
        executable = _executable(command[0], environ)
        if not folder or not _is_known(started[place], folder):
            return
        if not executable:
            _say_missing(command[0], environ)
            return
        before = environ.get("PYTHONPATH", "")
        path = before.split(os.pathsep) if before else []
        if (here := os.getcwd()) not in path:
            path.insert(0, here)
        path = [folder, *(each for each in path if each != folder)]
        os.execve(executable, [executable, *command[1:]], {**environ, "PYTHONPATH": os.pathsep.join(path)})  # noqa: S606 it does so
    except (IndexError, OSError, ValueError):
        return  # it fails in the same way, and reports that as it does without slotel


def _script(started: Sequence[str]) -> int:
    """Return where `opentelemetry-instrument` stands as the script that Python runs; 0 if that is another."""
    place = 2 if started[1][:1] == "-" and _FLAGS.issuperset(started[1][1:]) else 1
    return place if os.path.basename(started[place]) == LAUNCHER else 0


def _folder() -> str:
    for each in sys.path:
        folder = os.path.abspath(os.path.join(each, _PACKAGE))
        if os.path.exists(os.path.join(folder, "__init__.py")):
            return folder
    return ""


def _is_known(script: str, folder: str) -> bool:
    import zlib

    with open(script, "rb") as file:
        calls = _CALL in file.read(4096)
    with open(os.path.join(folder, "__init__.py"), encoding="utf-8") as file:
        source = file.read()
    run = "def run(" + source.partition("\ndef run(")[2].partition("\ndef ")[0]
    return calls and zlib.crc32(run.encode()) in KNOWN


def _say_missing(command: str, environ: Mapping[str, str]) -> None:
    """End as a shell does where there is no such command: `opentelemetry-instrument` ends by a TypeError of `execv`."""
    if os.name == "posix" and (os.path.dirname(command) or environ.get("PATH")):
        name, is_assignment, _ = command.partition("=")
        shown = f"{name}=…" if is_assignment else command  # SENTRY_DSN=https://key@… in the wrong place
        sys.stderr.write(f"{LAUNCHER}: {shown}: not found in PATH, or not executable\n")
        sys.stderr.flush()
        os._exit(_NO_SUCH_COMMAND)


def _executable(command: str, environ: Mapping[str, str]) -> str:
    """Return the file of a command, as `shutil.which` does."""
    path = environ.get("PATH", "")
    for folder in [""] if os.path.dirname(command) else path.split(os.pathsep) if path else []:
        file = os.path.join(folder, command)
        if os.access(file, os.F_OK | os.X_OK) and not os.path.isdir(file):
            return file
    return ""
