"""Tells which processes of a runtime directory are running, and removes the directories of crashed services."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from slotel.runtime.metrics.workers.files import Directory
from slotel.runtime.metrics.workers.identity import Process
from slotel.runtime.metrics.workers.runtime_directory import (
    NAMES,
    RuntimeDirectory,
    candidate_directories,
    first_process,
    process_of,
    stems,
)

LEFT_ALONE: Final = 60.0
"""Seconds in which nothing came or went, before a directory without a live process counts as left over."""


def is_alive(run_dir: Directory, stem: str) -> bool:
    """Return whether the process with this stem is running; False for a compacted file.

    A process is dead if its pid is not running here and its series index is not locked: a process of another container
    has no pid here, and one that has closed all descriptors holds no lock.
    """
    process = process_of(stem)
    if process is None or stem in run_dir.former:
        return False
    return process.is_alive() or run_dir.is_locked(f"{stem}.{NAMES}")


def former_stems(run_dir: Directory, process: Process) -> frozenset[str]:
    """Return the stems of a process that has just begun: it had them before an exec. May raise OSError."""
    found = stems(run_dir.names(), NAMES) if run_dir.exists() else ()
    return frozenset(
        stem for stem in found if process_of(stem) == process and not run_dir.is_locked(f"{stem}.{NAMES}")
    )


def remove_leftovers(
    environ: Mapping[str, str], keep: str, stops: Callable[[], bool] = lambda: False
) -> list[str]:
    """Remove the runtime directories of this user's crashed services; return their paths.

    Args:
        keep: the directory of this service.
        stops: called before each directory; True leaves the others to a later start.
    """
    removed: list[str] = []
    for base in dict.fromkeys(candidate_directories(environ)):
        for path in base.glob("slotel-*"):
            if stops():
                return removed
            if str(path) != keep and _is_left(path):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(str(path))
    return removed


def _is_left(path: Path) -> bool:
    run_dir = RuntimeDirectory(str(path))
    first = first_process(str(path))
    try:
        with run_dir.opened() as directory:
            changed = os.fstat(directory).st_mtime
        files = run_dir.names()
    except OSError:
        return False  # somebody else's, or just gone
    if first is None or first.is_alive() or time.time() - changed < LEFT_ALONE:
        return False
    return not any(is_alive(run_dir, stem) for stem in stems(files, NAMES))
