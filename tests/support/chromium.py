"""A browser that is driven by a script of node: a command a line to it, an answer a line from it."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.real import require_real


class Driver:
    """One page in one browser.

    Attributes:
        ready: what the script said when it was ready.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.ready = self._answer()

    def ask(self, command: str, **parameters: Any) -> dict[str, Any]:
        """Have the script do something; return what it answers."""
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
def driven(script: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script with a browser, until the block ends."""
    chromium, node = require_real("chromium"), require_real("node")
    with subprocess.Popen(
        [node, str(script), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "CHROMIUM": chromium},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
