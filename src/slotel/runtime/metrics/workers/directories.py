"""Chooses where the processes of a service share their counts: a directory, or memory where nothing can be written.

Tells which processes of it are running, and removes the directories of crashed services.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from slotel.config import names
from slotel.runtime.logs import LOG
from slotel.runtime.metrics.workers.files import Directory
from slotel.runtime.metrics.workers.identity import Process, this_process
from slotel.runtime.metrics.workers.runtime_directory import (
    NAMES,
    RuntimeDirectory,
    candidate_directories,
    first_process,
    has_a_place,
    is_of_service,
    new_path,
    process_of,
    stems,
)

if TYPE_CHECKING:
    from slotel.runtime.metrics.workers.inherited_memory import InheritedMemory

LEFT_ALONE: Final = 60.0
"""Seconds in which nothing came or went, before a directory without a live process counts as left over."""


def join_directory(environ: Mapping[str, str], service: str, booted: float) -> Directory:
    """Return what `SLOTEL_RUN_DIR` names, if it is this service's and usable; else one of this process's own.

    A directory is not created here. Memory is: a process that spawns others runs no callback before it does.

    Args:
        booted: the time of the boot by this process; see process/clock.py.
    """
    inherited = environ.get(names.SLOTEL_RUN_DIR, "")
    is_joined = is_of_service(inherited, service) and _is_usable(inherited)
    path = inherited if is_joined else new_path(environ, service, booted)
    with suppress(OSError):  # its process has ended, or belongs to another user: using the path reports that
        if path.startswith("/proc/"):
            from slotel.runtime.metrics.workers.inherited_memory import InheritedMemory

            memory = InheritedMemory(path)
            memory.attach()
            return memory
        if first_process(path) == this_process() and not has_a_place(environ):
            return memory_instead_of(path)
    return RuntimeDirectory(path)


def memory_instead_of(refused: str) -> InheritedMemory:
    """Return memory that this process shares with its descendants, for a path that cannot be used. Raises OSError."""
    from slotel.runtime.metrics.workers.inherited_memory import InheritedMemory, memory_path

    memory = InheritedMemory(memory_path(refused))
    memory.create()
    LOG.info(
        "metrics: there is no room for %s: the processes of the service count in memory that they share with "
        "process %d. Processes that start after it has ended cannot share it: set XDG_RUNTIME_DIR to a writable "
        "directory with 8 MiB of free space",
        refused, os.getpid(),
    )  # fmt: skip
    return memory


def _is_usable(path: str) -> bool:
    """Return whether an inherited path is free, or a directory of this user's."""
    run_dir = RuntimeDirectory(path)
    if not run_dir.exists():
        return True
    try:
        with run_dir.opened():
            return True
    except OSError as error:
        LOG.warning(
            "metrics: %s cannot be used (%s): this process and its children are not merged with the others",
            path,
            error,
        )
        return False


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
