"""Runs `slotel …` in this process: as a process of its own does, without an interpreter's start and its imports for each."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path

from slotel.cli import main

OF_THE_ENVIRONMENT = ("OTEL_", "SLOTEL_", "ERROR_BUDGET_", "SENTRY_")
"""Beginnings of variables that a command reads; those of the test's own process are not passed on."""


def slotel(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What `slotel ARGUMENTS` in a directory says, and with which status it ends.

    Args:
        variables: of the environment, beside those that are not of telemetry.
    """
    streams = [TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    with (
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
        _inside(cwd, variables),
    ):
        try:
            main(arguments)
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                sys.stderr.write(f"{ended.code}\n")
    out, err = (stream.buffer.getvalue().decode() for stream in streams)
    return subprocess.CompletedProcess(["slotel", *arguments], status, out, err)


@contextlib.contextmanager
def _inside(cwd: Path, variables: dict[str, str]) -> Iterator[None]:
    before, directory = dict(os.environ), Path.cwd()
    os.chdir(cwd)
    for name in before:
        if name.startswith(OF_THE_ENVIRONMENT):
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(before)
