"""What follows from what is asked is asked once: the answer is kept in .cache, if the test that asked has passed.

A test that fails has all answers that it can have read asked anew the next time, and `make long` asks each anew: a bad answer is kept
only where a test passes with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from support.once import CACHE

T = TypeVar("T")

ROOM = CACHE / "answers"
UNREAD = 30 * 24 * 3600
"""Seconds, after which an answer that nobody has read is removed."""
_new: dict[Path, bytes] = {}
_read: set[Path] = set()


def kept(question: bytes, ask: Callable[[], T]) -> T:
    """The answer that was kept, else the one that is asked for now.

    Args:
        question: all that the answer follows from, the programs that make it among it.
    """
    path = ROOM / hashlib.sha256(question).hexdigest()
    if os.environ.get("LONG") != "1" and "PYTEST_CURRENT_TEST" in os.environ and path.exists():
        _read.add(path)
        os.utime(path)
        found: T = pickle.loads(path.read_bytes())
        return found
    answer = ask()
    _new[path] = pickle.dumps(answer)  # as it is now: a test may change it
    return answer


def run_kept(
    command: Sequence[str],
    *read: Path,
    env: Mapping[str, str] | None = None,
    given: str = "",
    cwd: Path | None = None,
    elsewhere: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """What a program says, and its status: one whose answer follows from its words, its input and the files that it reads.

    Args:
        command: the program first; a file or folder that a word names by its whole path, also behind `=`, is among what it reads.
        read: more files and folders that it reads.
        env: of the environment; None passes it on and takes it to be of no importance.
        given: its input.
        elsewhere: a folder of this test; its name is no part of the question.
    """
    program = shutil.which(command[0])
    assert program, command[0]
    named = [Path(word.rpartition("=")[2]) for word in command[1:] if word.rpartition("=")[2].startswith("/")]
    files = [each for path in (*named, *read) for each in ([path] if path.is_file() else path.rglob("*"))]
    files = sorted({path for path in files if path.is_file()})
    asked = [
        Path(program).resolve().stat().st_size,
        *command,
        str(cwd),
        given,
        dict(env or {}),
        *map(str, files),
    ]
    text = json.dumps(asked).replace(str(elsewhere), "")

    def run() -> subprocess.CompletedProcess[str]:
        limit = float(os.environ.get("PROMTOOL_SECONDS", "600"))
        return subprocess.run(
            command, env=env, input=given, cwd=cwd, capture_output=True, text=True, timeout=limit
        )

    return kept(b"\0".join([text.encode(), *(path.read_bytes() for path in files)]), run)


def installed(python: Path) -> bytes:
    """The machine, an interpreter, and every package that it has, with its version: for `kept`."""
    home = python.parent.parent
    packages = sorted(str(path) for path in home.glob("lib/python3*/site-packages/*.dist-info"))
    settings = home / "pyvenv.cfg"
    version = settings.read_text() if settings.exists() else ""
    return json.dumps([platform.node(), str(home), version, packages]).encode()


def sources(*folders: Path) -> bytes:
    """The Python files of folders: for `kept`."""
    return b"\0".join(path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py")))


def test_has(outcome: str) -> None:
    """Keep what is new, if the test has passed; forget what was read, if it has failed."""
    if outcome == "passed" and _new:
        ROOM.mkdir(parents=True, exist_ok=True)
        for path, answer in _new.items():
            written = path.with_suffix(f".{os.getpid()}")
            written.write_bytes(answer)
            written.replace(path)  # whoever looks sees nothing or the whole
        for path in ROOM.iterdir():
            if path.stat().st_mtime < time.time() - UNREAD:
                path.unlink(missing_ok=True)
    elif outcome == "failed":
        for path in _read:
            path.unlink(missing_ok=True)
        _read.clear()
    _new.clear()
