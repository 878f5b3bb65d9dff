"""Chromium that looks at a status page, and what it sees."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.grafana_libraries import libraries
from support.real import require_real

HERE = Path(__file__).parent


class Look:
    """One page in one browser."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answer()

    def open(self, url: str, **options: Any) -> dict[str, str]:
        """Open the page (width, height, theme, javascript); return the answer's headers."""
        return self.ask("open", url=url, **options)["headers"]

    def read(self) -> dict[str, Any]:
        """What stands there now."""
        return self.ask("read")

    def ask(self, command: str, **parameters: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **parameters}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert "failed" not in answer, answer["failed"]
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the browser's driver ended"
        return json.loads(line)


@contextmanager
def looking() -> Iterator[Look]:
    node, chromium = require_real("node"), require_real("chromium")
    command = [node, str(HERE / "look.mjs"), str(libraries())]
    environ = {**os.environ, "CHROMIUM": chromium}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        try:
            yield Look(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def rows(seen: dict[str, Any], caption: str) -> list[list[str]]:
    """The rows of the table whose caption begins so."""
    (found,) = [body for title, body in seen["tables"] if title.startswith(caption)]
    return found
