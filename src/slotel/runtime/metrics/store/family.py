"""The types of a snapshot (families of series), and how the snapshots of several processes are merged. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import add, itemgetter
from typing import Final, Literal, NamedTuple, TypeVar

from slotel.config import names
from slotel.runtime.process.gil_yielder import yield_gil

Labels = tuple[str, ...]
Exemplar = tuple[int, int, float, float]
"""Trace id, span id, value (in the family's unit), unix seconds."""

OVERFLOW: Final[Labels] = ()
"""Key, inside the store, of a table's row for what is beyond the bound.

A table without labels has its only row under this key; that one never overflows. In a family the row carries
`otel_metric_overflow="true"` and the service's name, so that sums over a service stay right.
"""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its series, as it was at one moment.

    Args:
        name: without the suffix `_total` for a counter.
        unit: "seconds", "ratio", … or "".
        bounds: upper bounds of a histogram's finite buckets, rising; else empty.
        series: label values to numbers. Counter and gauge: [value]. Histogram: the count of each bucket, not
            cumulative, the last one +Inf, then the sum.
        exemplars: label values to bucket number to exemplar; of a counter, bucket 0.
        created: unix seconds since when the numbers count; 0.0 for a gauge.
        adds_up: of a gauge: whether the values of several processes add up (an up-down counter's do).
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    unit: str
    label_names: Labels
    bounds: tuple[float, ...]
    series: Mapping[Labels, Sequence[float]]
    exemplars: Mapping[Labels, Mapping[int, Exemplar]] = field(default_factory=dict)
    created: float = 0.0
    adds_up: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The properties of a table that must be equal for two processes' tables to be added.

    Args:
        count_name: the counter family that a histogram's counts answer as, too.
        kind: "internal" is a counter that is no family.
        ring: (buckets, seconds of a bucket, columns) of a ring of sliding windows; its cells are one row.
    """

    name: str
    kind: Literal["counter", "histogram", "ring", "internal"]
    help: str = ""
    unit: str = ""
    label_names: Labels = ()
    bounds: tuple[float, ...] = ()
    count_name: str | None = None
    ring: tuple[int, int, int] = (0, 0, 0)

    @property
    def width(self) -> int:
        """Return the number of cells of a row.

        Counter: value. Histogram: buckets, +Inf, sum, count. Ring: for each bucket its epoch and columns.
        The count is redundant on purpose: it is written last, so a row whose buckets do not add up to it was
        caught in the middle of a write.
        """
        if self.kind == "histogram":
            return len(self.bounds) + 3
        buckets, _, columns = self.ring
        return buckets * (columns + 1) if self.kind == "ring" else 1

    @property
    def identity(self) -> tuple[object, ...]:
        """Return what decides whether rows may be added; the help text may differ."""
        return self.kind, self.unit, self.label_names, self.bounds, self.count_name, self.ring


class ProcessSnapshot(NamedTuple):
    """The counts of one process: its tables over one array of cells.

    Args:
        tables: each shape with its rows: label values to first cell.
        exemplars: by the cell of their bucket.
    """

    created: float
    tables: tuple[tuple[Shape, Mapping[Labels, int]], ...]
    cells: array[float]
    exemplars: Mapping[int, Exemplar]


_PARTS: Final = float(1 << 20)
"""Parts of a second that sums are kept to: multiples of it are added exactly up to 272 years."""
PORTION: Final = 100
"""Series that are added in one go: a few tenths of a millisecond."""
_Item = TypeVar("_Item")


def merge(
    parts: Iterable[ProcessSnapshot],
    refuse: Callable[[str], None] = lambda _name: None,
) -> tuple[Family, ...]:
    """Return the families of all parts, their rows added; the first part decides on order and shape.

    Args:
        refuse: called with a table's name where a later part's shape differs: those rows are left out.
    """
    shapes: dict[str, Shape] = {}
    rows: dict[str, dict[Labels, array[float]]] = {}
    exemplars: dict[str, dict[Labels, dict[int, Exemplar]]] = {}
    created = float("inf")
    for part in parts:
        created = min(created, part.created)
        for shape, slots in part.tables:
            if shape.kind in {"ring", "internal"}:
                continue
            if shapes.setdefault(shape.name, shape).identity != shape.identity:
                refuse(shape.name)
                continue
            added, marked = rows.setdefault(shape.name, {}), exemplars.setdefault(shape.name, {})
            is_empty = not added
            for portion in portions(slots.items()):
                _add_rows(added, shape, portion, part.cells, is_empty=is_empty)
                if part.exemplars and shape.kind == "histogram":
                    _add_exemplars(marked, shape, portion, part.exemplars)
    made: list[Family] = []
    for name, shape in shapes.items():
        made += _families(shape, rows[name], exemplars[name], created)
    return tuple(made)


def portions(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Yield the items, `PORTION` at a time; others may run after each."""
    every = iter(items)
    while portion := list(islice(every, PORTION)):
        yield portion
        yield_gil()


def _add_rows(
    into: dict[Labels, array[float]],
    shape: Shape,
    portion: Iterable[tuple[Labels, int]],
    cells: array[float],
    *,
    is_empty: bool,
) -> None:
    size = shape.width - 1 if shape.kind == "histogram" else 1
    if is_empty:
        into.update([(values, cells[slot : slot + size]) for values, slot in portion])
        return
    get = into.get
    for values, slot in portion:
        row = cells[slot : slot + size]
        standing = get(values)
        into[values] = row if standing is None else add_rows(shape, standing, row)


def add_rows(shape: Shape, first: Sequence[float], second: Sequence[float]) -> array[float]:
    """Return the sum of two rows: the same whatever the order in which several rows are added.

    Prometheus takes a counter that falls by the last bit for one that began anew. So the sums of a histogram's values
    are rounded up to a microsecond before they are added: then no addition rounds.
    """
    added = array("d", map(add, first, second))
    if shape.kind == "histogram":
        at = len(shape.bounds) + 1
        added[at] = _rounded_up(first[at]) + _rounded_up(second[at])
    return added


def _rounded_up(seconds: float) -> float:
    """Return a multiple of `1 / _PARTS`; float arithmetic alone, which a broken file's infinity raises nothing in."""
    return -(-seconds * _PARTS // 1.0) / _PARTS


def _add_exemplars(
    into: dict[Labels, dict[int, Exemplar]],
    shape: Shape,
    portion: Iterable[tuple[Labels, int]],
    exemplars: Mapping[int, Exemplar],
) -> None:
    """Keep the latest exemplar of each bucket."""
    buckets = range(len(shape.bounds) + 1)
    for values, slot in portion:
        for bucket in buckets:
            found = exemplars.get(slot + bucket)
            if found is not None:
                standing = into.setdefault(values, {}).get(bucket)
                if standing is None or standing[3] < found[3]:
                    into[values][bucket] = found


def _families(
    shape: Shape,
    rows: dict[Labels, array[float]],
    exemplars: Mapping[Labels, Mapping[int, Exemplar]],
    created: float,
) -> Iterable[Family]:
    label_names = shape.label_names
    if label_names and OVERFLOW in rows:
        overflow = rows.pop(OVERFLOW)
        if any(overflow):
            key = _overflow_key(label_names, rows)
            label_names = (*label_names, names.LABEL_OVERFLOW)
            rows = {(*values, ""): row for values, row in rows.items()}
            rows[key] = overflow
            exemplars = {(*values, "") if values else key: found for values, found in exemplars.items()}
    kind: Literal["counter", "histogram"] = "histogram" if shape.kind == "histogram" else "counter"
    yield Family(
        shape.name, kind, shape.help, shape.unit, label_names, shape.bounds, rows, exemplars, created
    )
    if shape.count_name:
        counts: dict[Labels, tuple[float]] = {}
        for portion in portions(rows.items()):
            counts.update([(values, (sum(row[:-1]),)) for values, row in portion])
        latest = {values: {0: max(found.values(), key=itemgetter(3))} for values, found in exemplars.items()}
        text = f"Number of observations of {shape.name}."
        yield Family(shape.count_name, "counter", text, "", label_names, (), counts, latest, created)


def _overflow_key(label_names: Labels, rows: Mapping[Labels, object]) -> Labels:
    """The service's name stays, every other label is empty."""
    known = next(iter(rows), ("",) * len(label_names))
    named = zip(label_names, known, strict=True)
    return (*[value if name == names.LABEL_SERVICE else "" for name, value in named], "true")
