"""The store of rate, errors, duration and SLO events: counts, never decides what is an error."""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slotel.model import names

Exemplar = tuple[int, int, float, float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its series, as it was at one moment."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    unit: str
    label_names: tuple[str, ...]
    bounds: tuple[float, ...]
    series: Mapping[tuple[str, ...], Sequence[float]]
    exemplars: Mapping[tuple[str, ...], Mapping[int, Exemplar]]
    created: float


class Store:
    """Label tuple → slot in one float64 array."""

    def __init__(self, *, max_series: int = 2000, clock: Callable[[], float] = time.time) -> None:
        self.cells = array("d")
        self.lock = threading.Lock()
        self.max_series = max_series
        self.created = clock()
        self._families: list[Histogram | Counter] = []
        self._overflow = self.counter(
            names.SERIES_OVERFLOW, help="Series beyond the bound.", label_names=("metric",)
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
        """Make a histogram."""
        made = Histogram(self, name, help, unit, label_names, bounds, count_name)
        self._families.append(made)
        return made

    def counter(self, name: str, *, help: str, label_names: tuple[str, ...]) -> Counter:  # noqa: A002 Prometheus' word
        """Make a counter."""
        made = Counter(self, name, help, "", label_names, (), None)
        self._families.append(made)
        return made

    def ring(self, name: str, *, buckets: int, width_seconds: int, columns: int) -> Ring:
        """Make a ring of buckets."""
        del name
        return Ring(self, self.reserve(buckets * (columns + 1)), buckets, width_seconds, columns)

    def reserve(self, size: int) -> int:
        """Return the first of `size` new cells."""
        with self.lock:
            first = len(self.cells)
            self.cells.extend([0.0] * size)
            return first

    def overflowed(self, name: str) -> None:
        """Count a series that found no place."""
        self._overflow.add(self._overflow.slot((name,)))

    def snapshot(self) -> tuple[Family, ...]:
        """Return every family, consistent."""
        with self.lock:
            return tuple(family for made in self._families for family in made.families())


class _Slots:
    def __init__(
        self,
        store: Store,
        name: str,
        text: str,
        unit: str,
        label_names: tuple[str, ...],
        bounds: tuple[float, ...],
        count_name: str | None,
    ) -> None:
        self.store, self.name, self.text, self.unit = store, name, text, unit
        self.label_names, self.bounds, self.count_name = label_names, bounds, count_name
        self.slots: dict[tuple[str, ...], int] = {}
        self.width = len(bounds) + 2 if bounds else 1

    def slot(self, values: tuple[str, ...]) -> int:
        """Find or open the series."""
        found = self.slots.get(values)
        if found is None:
            if len(self.slots) >= self.store.max_series:
                self.store.overflowed(self.name)
                values = ("",) * len(self.label_names)
                found = self.slots.get(values)
            if found is None:
                found = self.slots.setdefault(values, self.store.reserve(self.width))
        return found


class Counter(_Slots):
    """A counter."""

    def add(self, slot: int, n: float = 1.0) -> None:
        """Add."""
        with self.store.lock:
            self.store.cells[slot] += n

    def value(self, slot: int) -> float:
        """Return what this process alone counted."""
        return self.store.cells[slot]

    def families(self) -> list[Family]:
        """Return the family."""
        cells = self.store.cells
        series = {values: (cells[slot],) for values, slot in self.slots.items()}
        return [
            Family(self.name, "counter", self.text, "", self.label_names, (), series, {}, self.store.created)
        ]


class Histogram(_Slots):
    """A histogram."""

    def observe(
        self, slot: int, value: float, counters: tuple[int, ...] = (), exemplar: tuple[Any, ...] | None = None
    ) -> None:
        """Count a value, and 1 in each counter cell; an exemplar starts with trace id and span id."""
        del exemplar
        bucket = slot + bisect_left(self.bounds, value)
        total = slot + self.width - 1
        with self.store.lock:
            cells = self.store.cells
            cells[bucket] += 1.0
            cells[total] += value
            for counter in counters:
                cells[counter] += 1.0

    def families(self) -> list[Family]:
        """Return the family, and its count as a counter."""
        cells, store = self.store.cells, self.store
        series = {values: tuple(cells[slot : slot + self.width]) for values, slot in self.slots.items()}
        made = [
            Family(
                self.name,
                "histogram",
                self.text,
                self.unit,
                self.label_names,
                self.bounds,
                series,
                {},
                store.created,
            )
        ]
        if self.count_name:
            counts = {values: (sum(row[:-1]),) for values, row in series.items()}
            made.append(
                Family(
                    self.count_name,
                    "counter",
                    "Ended spans.",
                    "",
                    self.label_names,
                    (),
                    counts,
                    {},
                    store.created,
                )
            )
        return made


class Ring:
    """Buckets of [epoch, column, …] for sliding windows."""

    def __init__(self, store: Store, first: int, buckets: int, width: int, columns: int) -> None:
        self._store, self._first, self._buckets, self._width, self._columns = (
            store,
            first,
            buckets,
            width,
            columns,
        )

    def add(self, t_seconds: float, column: int, n: float = 1.0) -> None:
        """Add to the bucket of a time."""
        epoch = int(t_seconds // self._width)
        at = self._first + (epoch % self._buckets) * (self._columns + 1)
        with self._store.lock:
            cells = self._store.cells
            if cells[at] != epoch:
                if cells[at] > epoch:
                    return
                cells[at] = epoch
                for index in range(self._columns):
                    cells[at + 1 + index] = 0.0
            cells[at + 1 + column] += n

    def sums(self, now: float, window_seconds: float) -> list[float]:
        """Return each column's sum over the window."""
        last = int(now // self._width)
        first = last - int(window_seconds // self._width) + 1
        sums = [0.0] * self._columns
        with self._store.lock:
            cells = self._store.cells
            for bucket in range(self._buckets):
                at = self._first + bucket * (self._columns + 1)
                if first <= cells[at] <= last:
                    for index in range(self._columns):
                        sums[index] += cells[at + 1 + index]
        return sums
