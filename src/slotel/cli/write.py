"""Writes a set of files: all of them are replaced, each at once, or none is."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_STAGED: Final = ".slotel-new"
_FORMER: Final = ".slotel-old"


def write_all(directory: Path, files: Mapping[str, str]) -> None:
    """Replace every file, or leave everything as it was.

    Args:
        files: path relative to the directory → content, written as UTF-8.

    Raises:
        OSError: it could not; the directory is as it was, but for empty folders.
    """
    staged: list[Path] = []
    try:
        for name, content in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(21, f"{name} is a directory")
            staged.append(path)
            _beside(path, _STAGED).write_text(content, encoding="utf-8", newline="\n")
        _swap(staged)
    finally:
        for path in staged:
            for end in (_STAGED, _FORMER):
                _beside(path, end).unlink(missing_ok=True)


def differing(directory: Path, files: Mapping[str, str]) -> list[str]:
    """Return the paths whose file is missing or has other content."""
    stale = []
    for name, content in files.items():
        try:
            current: bytes | None = (directory / name).read_bytes()
        except OSError:
            current = None
        if current != content.encode():
            stale.append(name)
    return stale


def _swap(paths: list[Path]) -> None:
    done: list[Path] = []
    try:
        for path in paths:
            if path.exists():
                shutil.copy2(path, _beside(path, _FORMER))
            done.append(path)
            _beside(path, _STAGED).replace(path)
    except OSError:
        for path in done:
            with contextlib.suppress(OSError):
                _restore(path)
        raise


def _restore(path: Path) -> None:
    former = _beside(path, _FORMER)
    if former.exists():
        former.replace(path)
    elif not _beside(path, _STAGED).exists():
        path.unlink(missing_ok=True)


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)
