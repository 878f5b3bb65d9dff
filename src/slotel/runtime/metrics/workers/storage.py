"""The storage of this process's counts: memory, or files of the runtime directory from the first count on.

A process that has counted nothing leaves no file. If the directory cannot be used, the process counts in memory, and
logs that once.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from slotel.runtime.logs import LOG
from slotel.runtime.metrics.store.cells import Cells, Unopened, copy_cells
from slotel.runtime.metrics.store.family import Exemplar, Labels
from slotel.runtime.metrics.workers.files import Directory
from slotel.runtime.metrics.workers.identity import this_process
from slotel.runtime.metrics.workers.runtime_directory import new_stem
from slotel.runtime.process.interrupts import comes_from_handler

if TYPE_CHECKING:
    from slotel.runtime.metrics.store.store import Store
    from slotel.runtime.metrics.workers.mapped_file import MappedCounterFile
    from slotel.runtime.metrics.workers.series_limiter import SeriesLimiter


TRUNCATED: Final = "truncated_file"
TAKEN_FOR_DEAD: Final = "taken_for_dead"


class CounterStorage:
    """The cells of a store, and the names of what they count, where the others can read them.

    `failed` is called once when the directory cannot be used.
    """

    def __init__(self, store: Store, run_dir: Directory, service: str, failed: Callable[[], None]) -> None:
        self.run_dir = run_dir
        """The directory of the files; set it before there are any."""
        self._store, self._service, self._failed = store, service, failed
        self._series_limiter: SeriesLimiter | None = None
        self._begin()

    def _begin(self) -> None:
        """Set what is this process's alone, at start and in a forked child."""
        self._counter_file: MappedCounterFile | None = None
        self._failure = ""
        self._is_reported = False
        self._exemplars: dict[int, tuple[int, Exemplar]] = {}
        self.has_created = False
        """Whether this process made the directory."""

    @property
    def stem(self) -> str:
        """Return the name of this process's files; "" while it has none."""
        return self._counter_file.stem if self._counter_file is not None else ""

    def open_at_first_count(self) -> None:
        """Open the own file at the first count; the store's lock is held."""
        store = self._store
        if any(store.cells[0 : store.size]):
            self._open()
        else:
            store.place(Unopened(len(store.cells), self._open), None)

    def migrate(self) -> None:
        """Move the counts into a file that others can read, if there are any."""
        if self._counter_file is None and not isinstance(self._store.cells, Unopened):
            with self._store.lock:
                if self._counter_file is None:
                    self.open_at_first_count()

    def open_now(self) -> bool:
        """Create the files, also without a count; return whether they exist."""
        with self._store.lock:
            if self._counter_file is None:
                self._open()
        return self._counter_file is not None

    def report_failure(self) -> None:
        """Log once that the directory cannot be used. Not under the store's lock: log handlers take locks."""
        if self._failure and not self._is_reported:
            self._is_reported = True
            LOG.error(
                "metrics: process %d cannot write to %s: %s. Its counts are missing from the service's /metrics, "
                "unless it serves /metrics itself. Free space there, or set XDG_RUNTIME_DIR to a writable directory",
                os.getpid(), self.run_dir.path, self._failure,
            )  # fmt: skip
            self._failed()

    def recreate(self, absorbed: Callable[[], AbstractSet[str]]) -> str:
        """Count in new files when somebody removed or damaged the own ones; return why counts were lost by that, or "".

        May raise OSError.

        Args:
            absorbed: returns the stems whose counts are in the file of dead processes: to write those of a living
                process that was taken for dead again would double them.
        """
        own, store, lost = self._counter_file, self._store, ""
        is_there = own is None or own.stands()
        if own is not None and is_there and own.is_damaged():
            is_there, lost = False, TRUNCATED
        if own is not None and not is_there and self.run_dir.exists() and own.stem in absorbed():
            lost = TAKEN_FOR_DEAD
        with store.lock:
            if not is_there and own is not None and own is self._counter_file:
                self.run_dir.remove(*own.files)
                own.close()  # the cells stay mapped until they are copied
                self._counter_file = None
                self._exemplars.clear()
                if lost == TAKEN_FOR_DEAD:
                    store.place(array("d", bytes(8 * store.size)), None)
                self._open()
            elif self._series_limiter is not None and not self._series_limiter.stands():
                self._add_existing_rows()
        return lost

    def begin_in_child(self) -> None:
        """Wait for the child's first count; what the parent has open is closed on this side."""
        counter_file = self._counter_file
        self._begin()
        if counter_file is not None:
            counter_file.close()
        store = self._store
        store.place(Unopened(len(store.cells), self._open), None)

    def _open(self) -> Cells:
        """Move the cells into a file, or go on in memory; the store's lock is held."""
        store = self._store
        counted = copy_cells(store.cells, store.size)
        try:
            from slotel.runtime.metrics.workers.mapped_file import MappedCounterFile
            from slotel.runtime.metrics.workers.series_index import Head

            self.has_created = self.run_dir.create() or self.has_created
            self._add_existing_rows()
            head = Head(self._service, store.created)
            counter_file = MappedCounterFile(
                self.run_dir, new_stem(this_process()), head, store.tables, counted
            )
        except Exception as error:
            store.place(counted, None)
            if comes_from_handler(error):
                raise
            self._failure = f"{type(error).__name__}: {error}"
            return store.cells
        self._failure, self._is_reported = "", False
        self._counter_file = counter_file
        store.place(counter_file.cells, counter_file)
        return counter_file.cells

    # -- the service's list of series --------------------------------------------------------------------------

    def admits(self, table: str, values: Labels) -> bool:
        """Return whether a series has a place in the service; the store's lock is held. May raise OSError.

        Where there is no other process yet, or the directory cannot be used, each process applies the bound alone.
        """
        if self._series_limiter is None:
            if not self.run_dir.exists():
                return True
            with suppress(OSError):
                self._add_existing_rows()
        return self._series_limiter is None or self._series_limiter.try_add(table, values)

    def _add_existing_rows(self) -> None:
        """Have the series that this process has opened on the service's list. May raise OSError."""
        from slotel.runtime.metrics.workers.series_limiter import SeriesLimiter

        store, known = self._store, self._series_limiter
        rows = [(table.shape.name, values) for table in store.tables for values in table.slots]
        if known is None or not known.stands():
            rows += known.close() if known is not None else []
            known = self._series_limiter = SeriesLimiter(self.run_dir, store.max_series)
        known.add_existing(rows)

    # -- exemplars ---------------------------------------------------------------------------------------------

    def share_exemplars(self) -> None:
        """Write changed exemplars to the file next to the cells. May raise OSError."""
        from slotel.runtime.metrics.workers.file_reader import exemplar_row

        store = self._store
        for bucket, exemplar in store.latest_exemplars().items():
            at, shown = self._exemplars.get(bucket, (-1, None))
            if shown == exemplar:
                continue
            with store.lock:
                if self._counter_file is None or store.series_log is not self._counter_file:
                    return
                if at < 0:
                    at = store.reserve(8)
                    self._counter_file.exemplar(bucket, at)
                row = exemplar_row(exemplar)
                for index in (7, 1, 2, 3, 4, 5, 6, 0):  # the first and the last are equal when all is written
                    store.cells[at + index] = row[index]
            self._exemplars[bucket] = at, exemplar
