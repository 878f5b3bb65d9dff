"""The index of a process's series as lines of JSON: which series stands where. Writes and reads lines, no files.

The first line says what the file is. A process appends a line when it opens a table or a row; a line without its end
was cut by the process's death, and counts nothing.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, fields
from itertools import chain
from typing import Any, Final

from slotel.runtime.metrics.store.family import Labels, Shape, portions

VERSION: Final = 1
_TABLE: Final = "table"
_ROW: Final = "row"
_EXEMPLAR: Final = "exemplar"
_MAX_CELLS: Final = 1 << 40
_RING: Final = 3
"""Numbers that describe a ring."""


class UnreadableError(ValueError):
    """An index that cannot be used; its argument is a reason for `slotel_dropped_total`."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first line.

    Args:
        created: unix seconds since when the cells count.
        absorbs: the stems whose counts these are now; what is still there of them counts nothing.
    """

    service: str
    created: float
    absorbs: tuple[str, ...] = ()

    def line(self) -> bytes:
        """Return the first line of a file."""
        return _line({"slotel": VERSION, "order": sys.byteorder, **asdict(self)})


def table_line(shape: Shape) -> bytes:
    """Return the line of a table; tables are numbered by their lines, from 0."""
    return _line([_TABLE, asdict(shape)])


def row_line(table: int, slot: int, values: Labels) -> bytes:
    """Return the line of a row."""
    return _line([_ROW, table, slot, list(values)])


def exemplar_line(bucket: int, at: int) -> bytes:
    """Return the line that tells where the exemplar of a bucket's cell stands."""
    return _line([_EXEMPLAR, bucket, at])


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


@dataclass(slots=True)
class SeriesIndex:
    """The part of an index that was read until now. `parse` adds to it."""

    known: dict[Labels, Labels]
    """Label values of every process, to have each once."""
    head: Head | None = None
    tables: list[tuple[Shape, dict[Labels, int]]] = field(default_factory=list)
    exemplars: dict[int, int] = field(default_factory=dict)
    size: int = 0
    """Cells that are needed."""
    read: int = 0
    """Bytes that were understood."""

    def parse(self, data: bytes) -> None:
        """Read more of the file, from byte `read` on. Raises UnreadableError."""
        whole = data[: data.rfind(b"\n") + 1]
        try:
            for line in chain.from_iterable(portions(whole.splitlines())):
                self._take(json.loads(line))
        except UnreadableError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise UnreadableError("corrupt_file") from error
        self.read += len(whole)

    def _take(self, value: Any) -> None:
        if self.head is None:
            self.head = _head(value)
            return
        kind, *rest = value
        if kind == _TABLE:
            self.tables.append((_shape(rest[0]), {}))
        elif kind == _ROW:
            shape, slots = self.tables[_index(rest[0])]
            slot = self._needs(rest[1], shape.width)
            values = tuple(str(part) for part in rest[2])
            if len(values) not in {0, len(shape.label_names)}:
                raise UnreadableError("corrupt_file")
            slots[self.known.setdefault(values, values)] = slot
        elif kind == _EXEMPLAR:
            self.exemplars[_index(rest[0])] = self._needs(rest[1], EXEMPLAR_CELLS)

    def _needs(self, slot: object, width: int) -> int:
        first = _index(slot)
        self.size = max(self.size, first + width)
        return first


EXEMPLAR_CELLS: Final = 8
"""Unix seconds, trace id in three parts, span id in two, value, unix seconds again: equal when it is whole."""


def _index(value: object) -> int:
    if isinstance(value, int) and 0 <= value < _MAX_CELLS:
        return value
    raise UnreadableError("corrupt_file")


def _head(value: Any) -> Head:
    if not isinstance(value, dict) or "slotel" not in value:
        raise UnreadableError("foreign_file")
    if value["slotel"] != VERSION or value["order"] != sys.byteorder:
        raise UnreadableError("other_version")
    return Head(str(value["service"]), float(value["created"]), tuple(map(str, value["absorbs"])))


def _shape(value: Any) -> Shape:
    if not isinstance(value, dict) or value.keys() != {part.name for part in fields(Shape)}:
        raise UnreadableError("other_version")
    lists = {name: tuple(value[name]) for name in ("label_names", "bounds", "ring")}
    shape = Shape(**{**value, **lists})
    texts = (shape.name, shape.help, shape.unit, shape.count_name or "", *shape.label_names)
    if (
        shape.kind not in {"counter", "histogram", "ring", "internal"}
        or not all(isinstance(text, str) for text in texts)
        or not all(isinstance(bound, (int, float)) for bound in shape.bounds)
        or len(shape.ring) != _RING
        or not all(isinstance(size, int) and 0 <= size < _MAX_CELLS for size in shape.ring)
    ):
        raise UnreadableError("corrupt_file")
    return shape
