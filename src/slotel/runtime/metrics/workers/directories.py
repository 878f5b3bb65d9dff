"""Chooses where the processes of a service share their counts: a directory, or memory where nothing can be written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from slotel.config import names
from slotel.runtime.logs import LOG
from slotel.runtime.metrics.workers.files import Directory
from slotel.runtime.metrics.workers.identity import this_process
from slotel.runtime.metrics.workers.runtime_directory import (
    RuntimeDirectory,
    first_process,
    has_a_place,
    is_of_service,
    new_path,
)

if TYPE_CHECKING:
    from slotel.runtime.metrics.workers.inherited_memory import InheritedMemory


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
