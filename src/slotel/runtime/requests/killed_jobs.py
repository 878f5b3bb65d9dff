"""Which jobs a process runs, told to the other processes of its service: they count those that it was killed with."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from time import time_ns
from typing import Final

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.jobs.jobs import Job

SUFFIX: Final = "jobs"
"""Of the file with the list."""


class KilledJobs:
    """The jobs of this process whose library does not tell if the process is killed.

    Args:
        share: gives the list to the other processes of the service; returns False where there are none.
    """

    def __init__(self, share: Callable[[bytes], bool]) -> None:
        self._share = share
        self._dead: list[bytes] = []
        self._begin()
        PROCESS.register("killed_jobs", after_fork_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[int, tuple[object, ...]] = {}
        self._is_shared = False

    def add(self, library: str, job: Job) -> None:
        """Note that a job begins."""
        if job.if_killed is not None:
            entry = (library, job.name, job.queue, job.job_id, dict(job.carrier), job.if_killed, time_ns())
            with self._lock:
                self._open[id(job)] = entry
                self._is_shared = self._share(json.dumps([*self._open.values()], default=str).encode())

    def remove(self, job: Job) -> None:
        """Note that a job has ended."""
        with self._lock:
            if self._open.pop(id(job), None) is not None and self._is_shared:
                self._share(json.dumps([*self._open.values()], default=str).encode())

    def absorb(self, lists: Sequence[bytes]) -> bytes:
        """Take the lists of dead processes; return the empty one that stands for them from now on."""
        self._dead.extend(lists)
        return b"[]"

    def take(self) -> Iterable[tuple[str, Job]]:
        """Return the jobs of processes that have died since the last call, with their library."""
        dead, self._dead = self._dead, []
        for entries in map(json.loads, dead):
            for library, name, queue, job_id, carrier, state, started in entries:
                job = Job(None, name, queue, job_id, carrier)
                job.state, job.started, job.stands_alone = state, started, True
                yield library, job
