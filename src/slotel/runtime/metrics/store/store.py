"""The store of rate, errors, duration and SLO events: counts, never decides what is an error.

Label values lead to a slot: the first cell of a row in one array of float64. The array is this process's own memory;
once the service has workers it is a file that all of them can read (workers.py), which changes nothing here.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from slotel.config import names
from slotel.runtime.metrics.store.cells import Cells, copy_cells
from slotel.runtime.metrics.store.family import (
    OVERFLOW,
    Exemplar,
    Family,
    Labels,
    ProcessSnapshot,
    Shape,
    merge,
)
from slotel.runtime.metrics.store.ring import Ring
from slotel.runtime.metrics.store.table import Counter, Histogram, Table
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.otel.context import span_id_of, trace_id_of
from slotel.runtime.upstream.stdlib import renew_lock

__all__ = ["OVERFLOW", "Counter", "Exemplar", "Family", "Histogram", "Ring", "Store"]


def _nobody(_max_age: float) -> Iterable[ProcessSnapshot]:
    return ()


AnyTable = TypeVar("AnyTable", bound=Table)


class SeriesLog(Protocol):
    """Holds a store's cells and names when other processes read them. Each call may raise OSError."""

    def grow(self, size: int) -> Cells:
        """Return an array of at least `size` cells with what was counted; new cells are 0."""

    def table(self, shape: Shape) -> None:
        """Note a table."""

    def row(self, index: int, slot: int, values: Labels) -> None:
        """Note the row of a table."""


class Store:
    """Every table of a process. Thread-safe; a forked child starts at zero with the same slots.

    Args:
        max_series: bound of the series of each table. What is beyond is counted in one row, `OVERFLOW`, so that
            totals stay right.
        clock: unix seconds.
    """

    def __init__(self, *, max_series: int = 2000, clock: Callable[[], float] = time.time) -> None:
        self.max_series = max_series
        self.clock = clock
        self.created = clock()
        self.lock = threading.RLock()  # re-entrant: a signal handler or a finalizer may record in the middle
        self.cells: Cells = array("d")
        self.size = 0
        self.exemplars: dict[int, tuple[Any, float, float]] = {}
        self.others: Callable[[float], Iterable[ProcessSnapshot]] = _nobody
        """Returns what other processes counted, at most so many seconds ago."""
        self.refused: Callable[[str, str], None] = lambda _reason, _what: None
        """Called with reason and metric where a series got no row (full disk) or was not merged (another shape)."""
        self.admits: Callable[[str, Labels], bool] = lambda _table, _values: True
        """Return whether a new series has a place, of all processes' together. May raise OSError."""
        self.series_log: SeriesLog | None = None
        self.tables: list[Table] = []
        self._overflow = self.counter(
            names.SERIES_OVERFLOW,
            help="Label sets that were added to the overflow series, by metric.",
            label_names=("metric",),
        )
        PROCESS.register(
            "store",
            before_fork=self._hold,
            after_fork_in_parent=self._release,
            after_fork_in_child=self._begin_in_child,
        )

    def histogram(
        self,
        name: str,
        *,
        help: str,  # noqa: A002 Prometheus' word
        unit: str,
        label_names: tuple[str, ...],
        bounds: tuple[float, ...],
        count_name: str | None = None,
    ) -> Histogram:
        """Make a histogram.

        Args:
            bounds: upper bounds of the finite buckets, rising.
            count_name: the same cells also answer as a counter of this name: one write serves both.
        """
        return self._add(
            Histogram(self, Shape(name, "histogram", help, unit, label_names, bounds, count_name))
        )

    def counter(self, name: str, *, help: str, label_names: tuple[str, ...]) -> Counter:  # noqa: A002 Prometheus' word
        """Make a counter; its name carries no `_total`."""
        return self._add(Counter(self, Shape(name, "counter", help, "", label_names)))

    def internal(self, name: str, *, label_names: tuple[str, ...]) -> Counter:
        """Make a counter that is no family of the snapshot."""
        return self._add(Counter(self, Shape(name, "internal", label_names=label_names)))

    def ring(self, name: str, *, buckets: int, width_seconds: int, columns: int) -> Ring:
        """Make a ring of time buckets; it is no family of the snapshot."""
        return self._add(Ring(self, Shape(name, "ring", ring=(buckets, width_seconds, columns))))

    def snapshot(self) -> tuple[Family, ...]:
        """Return every family, each series consistent: this process and all others of the service."""
        parts = (self.part(), *self.others(0.0))
        return merge(parts, lambda name: self.refused("other_shape", name))

    def part(self) -> ProcessSnapshot:
        """Return what this process counted, all at one moment."""
        tables = tuple((table.shape, table.slots.copy()) for table in tuple(self.tables))
        exemplars = self.latest_exemplars()
        with (
            self.lock
        ):  # as short as can be: every record waits for it. Rows of a table that was copied are there
            copied = copy_cells(self.cells, self.size)
        return ProcessSnapshot(self.created, tables, copied, exemplars)

    def latest_exemplars(self) -> dict[int, Exemplar]:
        """Return this process's exemplars by the cell of their bucket."""
        kept = self.exemplars.copy()
        return {
            at: (trace_id_of(ids), span_id_of(ids), value, seconds)
            for at, (ids, value, seconds) in kept.items()
        }

    # -- where the cells are ---------------------------------------------------------------------------------

    def place(self, cells: Cells, series_log: SeriesLog | None) -> None:
        """Continue in other cells, which hold the counts so far; the caller holds the lock."""
        self.cells = cells
        self.series_log = series_log
        for table in self.tables:
            table.cells = self.cells  # of a finalizer that has let them grow meanwhile

    def reserve(self, size: int) -> int:
        """Return the first of `size` new cells; the caller holds the lock. Raises OSError on a full disk."""
        first, self.size = self.size, self.size + size  # before any call: a finalizer in it may reserve, too
        try:
            while (missing := self.size - len(self.cells)) > 0:
                if self.series_log is not None:
                    self.place(self.series_log.grow(self.size), self.series_log)
                else:
                    self.cells.extend(bytes(missing))  # type: ignore[union-attr]  # without a log it is an array
        except OSError:
            if self.size == first + size:
                self.size = first
            raise
        return first

    def open_row(self, table: Table, values: Labels) -> int:
        """Return the first cell of a new row; the caller holds the lock. Raises OSError on a full disk."""
        slot = self.reserve(table.shape.width)
        found = table.slots.setdefault(values, slot)
        if found != slot:  # a finalizer that ran meanwhile has opened the row
            return found
        if self.series_log is not None:
            try:
                self.series_log.row(self.tables.index(table), slot, values)
            except OSError:
                del table.slots[values]
                raise
        return slot

    def overflowed(self, table: Table) -> None:
        """Count a series that found no place."""
        if table is not self._overflow:
            self._overflow.add(self._overflow.slot((table.shape.name,)))

    def _add(self, table: AnyTable) -> AnyTable:
        with self.lock:
            table.cells = self.cells
            self.tables.append(table)
            try:
                if self.series_log is not None:
                    self.series_log.table(table.shape)
                self.open_row(table, OVERFLOW)
            except OSError:  # what is counted from now on stays in this process; better than no metric
                self.place(copy_cells(self.cells, self.size), None)
                self.open_row(table, OVERFLOW)
        return table

    def start_at_zero(self) -> None:
        """Forget what was counted, keep every slot: for a forked child, whose parent keeps the counts."""
        self.exemplars.clear()
        self.created = self.clock()
        self.others = _nobody
        self.place(array("d", bytes(8 * self.size)), None)

    def _hold(self) -> None:
        """Hold the lock over a fork, so that the child's copy is whole."""
        self.lock.acquire()

    def _release(self) -> None:
        self.lock.release()

    def _begin_in_child(self) -> None:
        self.start_at_zero()
        renew_lock(self.lock)  # also where a foreign server forks without the phase before
