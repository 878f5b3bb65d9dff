"""Reads slotel.yaml from disk. Only this module opens it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from slotel.config.names import SLOTEL_CONFIG
from slotel.config.problem import Problem, variable
from slotel.config.service import Reading, read_service

DEFAULT_FILE: Final = "slotel.yaml"
MAX_BYTES: Final = 1_000_000


def read_configuration(
    environ: Mapping[str, str],
    path: str | None = None,
    read: Callable[[Mapping[str, str], str, str], Reading] = read_service,
) -> Reading:
    """Return the service that slotel.yaml and the environment describe. Never raises: problems are in the result.

    Args:
        path: the file; default SLOTEL_CONFIG, else `slotel.yaml` in the working directory if it is there.
        read: parses the file: (environment, text, the file's name) → reading.
    """
    named = path or environ.get(SLOTEL_CONFIG, "").strip()
    source = named or DEFAULT_FILE
    if not named and not is_there(source):
        return read_service(environ)
    try:
        text = read_text(source)
    except (OSError, ValueError) as error:
        reading = read_service(environ)
        where = variable(SLOTEL_CONFIG, named) if named and not path else source
        problem = Problem(where, reason(error), "using the environment and defaults")
        return replace(reading, problems=(problem, *reading.problems))
    return read(environ, text, source)


def is_there(path: str | Path) -> bool:
    """Return whether a file or a link is there: never raises, also where the folder may not be looked into."""
    return os.path.lexists(path)


def read_text(source: str) -> str:
    """Return the text of a configuration file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, is too large, or is not UTF-8.
    """
    if not Path(source).is_dir() and Path(source).exists() and not Path(source).is_file():
        raise ValueError(
            "expected a file, this is a pipe, a socket or a device"
        )  # it might never end, or never begin
    with Path(source).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ValueError(f"the file has {size:,} bytes, a configuration at most {MAX_BYTES:,}")
        content = file.read(MAX_BYTES + 1)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text") from error


def reason(error: Exception) -> str:
    """Return in words why a file could not be read."""
    told: dict[type[Exception], str] = {
        FileNotFoundError: "there is no such file",
        IsADirectoryError: "expected a file, this is a directory",
        PermissionError: "the file may not be read by this user",
    }
    return told.get(type(error)) or (error.strerror if isinstance(error, OSError) else "") or str(error)
