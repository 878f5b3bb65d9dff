"""Metrics of each running process of a service: requests, errors, time, CPU and memory.

The label `worker` is the lowest number that no running worker has, so that a service has as many series as workers,
also if it recycles them every minute. The process that serves `/metrics` assigns the numbers; another one that takes
over may assign them differently, as after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Final, Literal, NamedTuple

from slotel.config import names
from slotel.config.slo import ENTRY_KIND_LABELS
from slotel.runtime.metrics.store.family import Family, ProcessSnapshot
from slotel.runtime.metrics.workers.identity import Process
from slotel.runtime.metrics.workers.runtime_directory import first_process
from slotel.runtime.metrics.workers.workers import Workers
from slotel.runtime.process.gil_yielder import yield_gil

_METRICS: Final[tuple[tuple[str, Literal["counter", "gauge"], str, str], ...]] = (
    (names.WORKER_REQUESTS, "counter", "Requests (entry spans) by worker.", "requests"),
    (names.WORKER_ERRORS, "counter", "Failed requests by worker.", "errors"),
    (names.WORKER_BUSY, "counter", "Time that requests took, by worker.", "busy"),
    (names.WORKER_CPU, "counter", "CPU time by worker.", "cpu"),
    (names.WORKER_MEMORY, "gauge", "Resident memory by worker.", "memory"),
)
"""Name, kind and help text of each worker's metrics, and the field of `Worker` that has the value."""


class Worker(NamedTuple):
    """A running process of the service.

    Args:
        number: value of the label `worker`.
        created: unix seconds since when it counts.
        busy: seconds that its requests took.
        cpu, memory: seconds and bytes; None where the system does not say.
    """

    number: str
    pid: int
    created: float
    requests: float
    errors: float
    busy: float
    cpu: float | None
    memory: float | None

    @property
    def serves(self) -> bool:
        """Whether it may serve requests; False for a process that only manages the others."""
        return self.number != names.MAIN or self.requests > 0


class ByWorker:
    """Reads the counts of each running process."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._first = first_process(workers.run_dir.path)
        self._numbers: dict[Process, str] = {}
        self._rows: dict[Process, tuple[int, list[int], list[int]]] = {}
        """Of each process: the number of its rows of spans, and which of them count passed and failed entry spans."""

    def workers(self) -> list[Worker]:
        """Return the running processes, sorted by number."""
        living = dict(sorted(self._workers.living(), key=lambda each: each[1].created))
        self._rows = {process: rows for process, rows in self._rows.items() if process in living}
        numbers = self._assign(living)
        found = []
        for process, part in living.items():
            found.append(self._worker(numbers[process], process, part))
            yield_gil()
        return sorted(found, key=lambda worker: (len(worker.number), worker.number))

    def families(self) -> Iterable[Family]:
        """Return the number of running processes and, if there are several, the metrics of each."""
        every = self.workers()
        serving = [worker for worker in every if worker.serves] or every
        text = "Running processes of the service that may serve requests."
        yield Family(names.WORKERS, "gauge", text, "", (), (), {(): (float(len(serving)),)})
        if self._workers.is_shared:
            for name, kind, text, field in _METRICS:
                of = every if field in {"cpu", "memory"} else serving
                read = ((each.number, getattr(each, field)) for each in of)
                rows: dict[tuple[str, ...], tuple[float]] = {
                    (number,): (value,) for number, value in read if value is not None
                }
                yield Family(name, kind, text, "", (names.LABEL_WORKER,), (), rows)

    def _assign(self, living: Iterable[Process]) -> dict[Process, str]:
        """Return each process's number: a known one keeps its own, a new one gets the lowest free."""
        kept = {process: self._numbers[process] for process in living if process in self._numbers}
        taken = set(kept.values())
        free = (number for number in map(str, count()) if number not in taken)
        for process in sorted(set(living) - kept.keys(), key=lambda process: (process.start, process.pid)):
            kept[process] = names.MAIN if process == self._first else next(free)
        self._numbers = kept
        return kept

    def _worker(self, number: str, process: Process, part: ProcessSnapshot) -> Worker:
        cells, counted, busy = part.cells, [0.0, 0.0], 0.0
        for is_error, slots in enumerate(self._entry_rows(process, part)):
            counted[is_error] = sum([cells[slot] for slot in slots])
            busy += sum([cells[slot - 1] for slot in slots])
        return Worker(number, process.pid, part.created, sum(counted), counted[1], busy, *process.usage())

    def _entry_rows(self, process: Process, part: ProcessSnapshot) -> tuple[list[int], list[int]]:
        """Return the cells of the counts of entry spans' rows, passed and failed; before each stands its sum.

        Rows are only ever added: a table of the same size has the same rows.
        """
        for shape, slots in part.tables:
            if shape.name == names.SPAN_DURATION:
                size, passed, failed = self._rows.get(process, (0, [], []))
                if size != len(slots):
                    passed, failed = [], []
                    kind = shape.label_names.index(names.LABEL_SPAN_KIND)
                    status = shape.label_names.index(names.LABEL_STATUS)
                    for labels, slot in slots.items():
                        if labels and labels[kind] in ENTRY_KIND_LABELS:
                            rows = failed if labels[status] == names.STATUS_ERROR else passed
                            rows.append(slot + shape.width - 1)
                    self._rows[process] = len(slots), passed, failed
                return passed, failed
        return [], []
