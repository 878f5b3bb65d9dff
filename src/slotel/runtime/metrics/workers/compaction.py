"""Adds the counts of dead processes to one compacted file, exactly once.

The compacted file is complete before its name appears. Its head lists the files that it has absorbed; from then on
readers ignore those files, even if this process dies before it has removed them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from slotel.config import names
from slotel.config.drops import drop
from slotel.runtime.logs import LOG
from slotel.runtime.metrics.store.family import OVERFLOW, Labels, ProcessSnapshot, Shape, add_rows
from slotel.runtime.metrics.store.ring import merge_ring
from slotel.runtime.metrics.workers.directories import is_alive
from slotel.runtime.metrics.workers.file_reader import Peer, WorkerFileReader
from slotel.runtime.metrics.workers.files import Directory
from slotel.runtime.metrics.workers.identity import Process
from slotel.runtime.metrics.workers.runtime_directory import (
    CELLS,
    NAMES,
    SERVICE_FILES,
    compacted_stem,
    generation,
    is_foreign_file,
    process_of,
    stems,
)
from slotel.runtime.metrics.workers.series_index import Head, row_line, table_line

Combine = Callable[[Sequence[bytes]], bytes]
"""Makes one file of several processes' files of the same suffix."""

KILLED: Final = "killed"
"""Reason under which is counted what a process had not sent when it ended."""
PORTION: Final = 8
"""Files of dead processes that are absorbed in one go: some milliseconds, for which a fork may have to wait."""
MANY: Final = 64
"""Number of dead processes' files above which a fork waits until all are absorbed: workers that crash in a loop fork
all the time."""
_KNOWN: Final = (NAMES, CELLS)


class Compaction(NamedTuple):
    """Makes compacted files. Every method may raise OSError.

    Args:
        max_series: bound of the series of each table in the compacted file; the rest is added to its overflow row.
        combine: for each further suffix, how its files become one. Where one is not known, nothing is absorbed.
        stops: asked between portions of `PORTION` files, unless very many are left; the rest is absorbed the next time.
    """

    run_dir: Directory
    file_reader: WorkerFileReader
    service: str
    max_series: int
    combine: Mapping[str, Combine]
    stops: Callable[[], bool]

    def run(self) -> None:
        """Absorb the files of dead processes, unless another process does it."""
        absorbed = 0
        with self.run_dir.locked() as is_ours:
            if not is_ours:
                return
            files, counting = self.run_dir.names(), self.file_reader.stems()
            everyone = stems(files, NAMES)
            self._remove(files, (everyone - counting) | self._orphans(files, everyone))
            dead = sorted(
                stem for stem in counting if generation(stem) < 0 and not is_alive(self.run_dir, stem)
            )
            for first in range(0, len(dead), PORTION):
                if absorbed and len(dead) - first <= MANY and self.stops():
                    break
                absorbed += self.absorb(dead[first : first + PORTION])

    def absorb(self, dead: Sequence[str]) -> int:
        """Make a new compacted file of the last one and those of some dead processes; return how many could be read."""
        files, counting = self.run_dir.names(), self.file_reader.stems()
        wanted = {*dead, *(stem for stem in counting if generation(stem) >= 0)}
        read = [peer for peer in self.file_reader.read(only=wanted) if peer.is_read()]
        readable = {peer.stem for peer in read} | {stem for stem in dead if self.file_reader.is_empty(stem)}
        gone = readable.intersection(dead)
        others = {name for name in files if _stem(name) in readable and _suffix(name) not in _KNOWN}
        suffixes = {_suffix(name) for name in others} - {"tmp"}
        if not gone or not suffixes <= self.combine.keys():
            return 0
        stem = compacted_stem(1 + max((generation(name) for name in stems(files, NAMES)), default=0))
        for suffix in suffixes:
            blobs = [self.run_dir.read(name) for name in sorted(others) if _suffix(name) == suffix]
            self.run_dir.write(f"{stem}.{suffix}", self.combine[suffix](blobs))
        ended = {process_of(each) for each in gone - self.run_dir.former}
        self._write(stem, read, readable, killed=len(ended - set(_exited(read))))
        self._remove(files, readable)
        return len(gone)

    def _write(self, stem: str, read: Iterable[Peer], absorbed: Iterable[str], *, killed: int) -> None:
        """Write the sum of what was read; the oldest comes first."""
        oldest_first = sorted(read, key=lambda peer: (generation(peer.stem) < 0, peer.stem))
        parts = [peer.part for peer in oldest_first if peer.part is not None]
        tables = add_up(parts, self.max_series)
        rows = {shape.name: found for shape, found in tables}
        if names.WORKER_EXITS in rows:
            rows[names.WORKER_EXITS].setdefault((names.KILLED,), array("d", [0.0]))[0] += killed
        _add_lost(rows)
        created = min((part.created for part in parts), default=0.0)
        lines, cells = [Head(self.service, created, tuple(sorted(absorbed))).line()], array("d")
        for index, (shape, found) in enumerate(tables):
            lines.append(table_line(shape))
            for values, row in found.items():
                lines.append(row_line(index, len(cells), values))
                cells.extend(row)
        self.run_dir.write(f"{stem}.{CELLS}", cells.tobytes())
        self.run_dir.write(f"{stem}.{NAMES}", b"".join(lines))

    def _orphans(self, files: Iterable[str], known: set[str]) -> set[str]:
        """Return the stems of files whose writer died before they counted."""
        found = {
            _stem(name) for name in files if not is_foreign_file(name) and name not in SERVICE_FILES
        } - known
        return {stem for stem in found if not is_alive(self.run_dir, stem)}

    def _remove(self, files: Iterable[str], gone: set[str]) -> None:
        self.run_dir.remove(*(name for name in files if _stem(name) in gone))


def add_up(
    parts: Sequence[ProcessSnapshot], max_series: int
) -> list[tuple[Shape, dict[Labels, array[float]]]]:
    """Return every table of the parts with its rows added; rows beyond the bound are added to `OVERFLOW`."""
    tables: dict[tuple[object, ...], tuple[Shape, dict[Labels, array[float]]]] = {}
    for part in parts:
        for shape, slots in part.tables:
            _, rows = tables.setdefault((shape.name, *shape.identity), (shape, {}))
            for values, slot in slots.items():
                row = part.cells[slot : slot + shape.width]
                key = values if values in rows or len(rows) <= max_series else OVERFLOW
                standing = rows.get(key)
                if standing is None:
                    rows[key] = row
                elif shape.kind == "ring":
                    merge_ring(standing, row, shape.ring[2])
                else:
                    rows[key] = add_rows(shape, standing, row)
    return list(tables.values())


def _exited(peers: Iterable[Peer]) -> Iterator[Process | None]:
    """Yield the processes that counted their own end; one process may have had several files."""
    for peer in peers:
        for shape, slots in peer.part.tables if peer.part is not None else ():
            slot = slots.get((names.EXITED,)) if shape.name == names.WORKER_EXITS else None
            if slot is not None and peer.part is not None and peer.part.cells[slot]:
                yield process_of(peer.stem)


def _add_lost(rows: Mapping[str, dict[Labels, array[float]]]) -> None:
    """Count as lost what processes had not sent when they ended; those that ended in time have nothing there."""
    dropped = rows.get(names.DROPPED)
    for values, row in rows.get(names.UNSENT, {}).items():
        unsent, row[0] = max(row[0], 0.0), 0.0
        if unsent and values and dropped is not None:
            dropped.setdefault((*values, KILLED), array("d", [0.0]))[0] += unsent
            LOG.warning("lost %d %s: %s [%s]", unsent, values[0], drop(KILLED).what, KILLED)


def _stem(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]
