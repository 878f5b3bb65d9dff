"""A reader of the documentation: types a page's blocks into terminals, in a fresh folder, home and network of its own.

Runs as a program within `unshare`, so that the ports that a page names are free: reads JSON (a page) from standard input, prints
JSON. Installing is not done again: `pip install` checks that the package is in the environment with the frameworks, and
`slotel bootstrap` says what it would install. All else is as it is typed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOOLS, APPS = ROOT / ".venv/bin", ROOT / ".venv-apps/bin"
DEADLINE = 180.0
SERVES = re.compile(
    r"(gunicorn|uvicorn|waitress-serve|slotel sink|celery\b.*\bworker|python (app|server)\.py)[^&|\n]*$"
)
"""The last command of a block that goes on: the next block is typed into another terminal."""
PORTS = re.compile(r"(?:127\.0\.0\.1|localhost):(\d{4,5})")
STARTS = re.compile(r"(?:--port[= ]|--bind[= ]127\.0\.0\.1:|--listen=127\.0\.0\.1:)(\d{4,5})")

PIP = """\
#!{apps}/python
import importlib.metadata as m, re, sys
for word in sys.argv[2:]:
    if not word.startswith("-"):
        print("there:", m.version(re.split(r"[\\[<>=~ ]", word)[0]))
"""
SLOTEL = """\
#!/bin/sh
if [ "$1" = bootstrap ]; then shift; set -- bootstrap --dry-run "$@"; fi
exec {apps}/slotel "$@"
"""
PYTHON = """\
#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; : > "$3/bin/activate"; exit; fi
exec {apps}/python "$@"
"""
UVX = """\
#!/bin/sh
shift 2
exec {tools}/"$@"
"""


class Reader:
    """Types blocks; remembers the folder and the variables of the terminal, and what goes on in others."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.log = ""
        self._going: list[tuple[str, subprocess.Popen[str], Path]] = []
        programs = folder / "programs"
        for each in (programs, folder / "home", folder / "run", self.state, folder / "work"):
            each.mkdir(parents=True, exist_ok=True)
        for names, text in (("pip", PIP), ("slotel", SLOTEL), ("python python3", PYTHON), ("uvx", UVX)):
            for name in names.split():
                (programs / name).write_text(text.format(apps=APPS, tools=TOOLS))
                (programs / name).chmod(0o755)
        self.env = {
            "PATH": f"{programs}:{APPS}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(folder / "home"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }
        (self.state / "cwd").write_text(str(folder / "work"))

    def type(self, text: str, *, ends: bool = False) -> str | None:
        """Type a block; return what is wrong with it.

        Args:
            ends: whether it ends by itself, whatever its last command looks like.
        """
        goes_on = not ends and SERVES.search(text) is not None
        starts = {int(port) for port in STARTS.findall(text)}
        for port in starts:
            self._end(port)
        for port in {int(port) for port in PORTS.findall(text)} - starts:
            if not self._wait(lambda port=port: listens(port)):
                return f"{text}\nnothing listens on {port}"
        output = self.folder / f"output-{len(self._going)}-{time.monotonic_ns()}"
        # Before each command the terminal's folder and variables are noted: the last one may never return. Another terminal
        # may read them at any moment, so that each file is replaced as a whole.
        own = f"{self.state}/$BASHPID"
        note = f"pwd > {own}; mv {own} {self.state}/cwd; export -p > {own}; mv {own} {self.state}/env"
        script = (
            f'cd "$(cat {self.state}/cwd)"; [ ! -f {self.state}/env ] || . {self.state}/env; set -eE -o pipefail\n'
            f"trap '{note}' DEBUG\n{expected_failures(text)}\ntrap - DEBUG; {note}\n"
        )
        with output.open("w") as file:
            process = subprocess.Popen(
                ["bash", "-c", script], env=self.env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, text=True,
                start_new_session=True,
            )  # fmt: skip
        self._going.append((text, process, output))
        if goes_on:
            self._wait(
                lambda: process.poll() is not None or (all(map(listens, starts)) and output.stat().st_size)
            )
            failed = process.poll() is not None
        else:
            self._wait(lambda: process.poll() is not None)
            failed = process.poll() != 0
        return f"{text}\nended with {process.poll()}:\n{output.read_text()}" if failed else None

    def write(self, name: str, text: str) -> None:
        """Write a file into the folder that the terminal is in."""
        Path((self.state / "cwd").read_text().strip(), name).write_text(text + "\n")

    def said(self) -> str:
        """Return what every block has printed."""
        return "\n".join(output.read_text() for _, _, output in self._going)

    def close(self) -> None:
        for _, process, _ in self._going:
            stop(process)

    def _end(self, port: int) -> None:
        for text, process, _ in self._going:
            if str(port) in text and process.poll() is None:
                stop(process)

    @staticmethod
    def _wait(condition: Any) -> bool:
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            if condition():
                return True
            time.sleep(0.05)
        return False


def expected_failures(text: str) -> str:
    """Return the block with the commands that fail on purpose, as their comment says, marked for the shell."""
    return re.sub(r"^(.*\S)\s+# fails.*$", r"! \1", text, flags=re.MULTILINE)


def stop(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def listens(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.settimeout(1)
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def loopback_up() -> None:
    """Bring up the loopback interface of a new network: SIOCSIFFLAGS, IFF_UP."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))


def read(page: dict[str, Any]) -> dict[str, Any]:
    """Type a page's blocks, then ask until each answer holds what it should."""
    reader = Reader(Path(page["folder"]))
    try:
        for source in page.get("files", ()):
            shutil.copy(source, reader.folder / "work")
        if page["app"]:
            reader.write("app.py", page["app"])
        for language, text in page["blocks"]:
            failed = None
            if language == "sh":
                failed = reader.type(text)
            elif language == "python":
                reader.write(page["file"], text)
                failed = reader.type(page["python"], ends=True) if page.get("python") else None
            else:
                reader.write("slotel.yaml", text)
            if failed:
                return {"failed": failed, "said": reader.said()}
        for ask, words in page.get("then", ()):
            until = time.monotonic() + DEADLINE
            answer = ""
            while words not in answer:
                if time.monotonic() > until:
                    return {"failed": f"{ask}: no {words!r} in:\n{answer}", "said": reader.said()}
                answer = subprocess.run(
                    ["sh", "-c", ask], capture_output=True, text=True, timeout=170, env=reader.env
                ).stdout
                time.sleep(0.1)
        return {"failed": None, "said": reader.said()}
    finally:
        reader.close()


if __name__ == "__main__":
    loopback_up()
    sys.stdout.write(json.dumps(read(json.load(sys.stdin))))
