"""Reads the counts of the other processes of a service, dead ones included, while they continue counting.

It takes no lock. A row is copied twice: equal copies are a consistent state, and a histogram's count, which is
written last, tells whether that state is in the middle of a write. If a compaction happened during the reading, it is
repeated, so that no count is read twice or missed.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeVar

from slotel.runtime.metrics.store.family import Exemplar, Labels, ProcessSnapshot, portions
from slotel.runtime.metrics.workers.files import Directory, File
from slotel.runtime.metrics.workers.runtime_directory import (
    CELLS,
    NAMES,
    generation,
    is_foreign_file,
    stems,
)
from slotel.runtime.metrics.workers.series_index import EXEMPLAR_CELLS, Head, SeriesIndex, UnreadableError
from slotel.runtime.process.interrupts import comes_from_handler

_TRIES: Final = 8

_PAUSE: Final = 0.0002
"""Seconds given to a writer that is in the middle of a row."""
_CELL: Final = 8
_MAX_LABELS: Final = 200_000

_Found = TypeVar("_Found")
Refuse = Callable[[str, str], None]
"""Told a file and a reason, at each reading that meets it."""


@dataclass(slots=True)
class Peer:
    """The files of one process, or a compacted file, as read so far."""

    stem: str
    series_index: SeriesIndex
    raw: bytes = b""
    part: ProcessSnapshot | None = None
    failed: bool = False
    """The last reading met an error of the system: `part` is what was read before."""

    def is_read(self) -> bool:
        """Return whether `part` is what the files hold."""
        return self.part is not None and not self.failed


class WorkerFileReader:
    """Reads the counts of all other processes from a runtime directory.

    Args:
        service: files of another service are ignored.
        refuse: called with a file that cannot be read, and the reason.
    """

    def __init__(self, run_dir: Directory, service: str, refuse: Refuse) -> None:
        self._dir, self._service, self._refuse = run_dir, service, refuse
        self._peers: dict[str, Peer] = {}
        self._labels: dict[Labels, Labels] = {}
        self._refused: set[str] = set()

    def read(self, own: str = "", only: AbstractSet[str] | None = None) -> tuple[Peer, ...]:
        """Return the processes with counts, but the one with stem `own`; `only` these stems, or all. Raises OSError."""
        return self._unmoved(lambda files: self._read(files, own, only))

    def files(self, suffix: str, own: str = "") -> list[tuple[str, bytes]]:
        """Return the stems and contents of what others share under a suffix. Raises OSError."""

        def look(files: list[str]) -> list[tuple[str, bytes]]:
            known = stems(files, NAMES)
            sharing = sorted((known & stems(files, suffix)) - self._absorbed(known) - {own})
            found = [(stem, self._content(f"{stem}.{suffix}")) for stem in sharing]
            return [(stem, data) for stem, data in found if data is not None]

        return self._unmoved(look)

    def _unmoved(self, look: Callable[[list[str]], _Found]) -> _Found:
        """Return what was found in the files, when no compaction happened meanwhile."""
        while True:
            files = self._dir.names()
            found = look(files)
            if _compacted(files) == _compacted(self._dir.names()):
                return found

    def _content(self, name: str) -> bytes | None:
        try:
            return self._dir.read(name)
        except FileNotFoundError:
            return None
        except OSError:  # one file hides no other
            self._refuse(name, "unreadable_file")
            return None

    def stems(self) -> set[str]:
        """Return the stems of all files, without those that a compacted file has absorbed."""
        known = stems(self._dir.names(), NAMES)
        return known - self._absorbed(known)

    def absorbed(self) -> set[str]:
        """Return the stems that a compacted file has absorbed."""
        return self._absorbed(stems(self._dir.names(), NAMES))

    def is_empty(self, stem: str) -> bool:
        """Return whether a process died before it counted anything."""
        peer = self._peer(stem)
        files = {f"{stem}.{NAMES}", f"{stem}.{CELLS}"}
        return peer.part is None and not peer.failed and not files & self._refused

    def _absorbed(self, known: Iterable[str]) -> set[str]:
        absorbed: set[str] = set()
        for stem in known:
            if generation(stem) >= 0:
                head = self._peer(stem).series_index.head
                absorbed.update(head.absorbs if head is not None else ())
        return absorbed

    def _read(self, files: list[str], own: str, only: AbstractSet[str] | None) -> tuple[Peer, ...]:
        for name in files:
            if is_foreign_file(name):
                self._refuse(name, "foreign_file")
        known = stems(files, NAMES)
        self._peers = {stem: peer for stem, peer in self._peers.items() if stem in known}
        if len(self._labels) > _MAX_LABELS:  # those in use live on in the indexes
            self._labels.clear()
        wanted = (known if only is None else known & only) - self._absorbed(known) - {own}
        found = [self._filled(self._peer(stem)) for stem in sorted(wanted)]
        return tuple(peer for peer in found if peer.part is not None)

    def _peer(self, stem: str) -> Peer:
        """Return a peer whose series index is up to date; one that cannot be read has no head."""
        peer = self._peers.get(stem)
        if peer is None:
            peer = self._peers[stem] = Peer(stem, SeriesIndex(self._labels))
        peer.failed = False
        name, index = f"{stem}.{NAMES}", peer.series_index
        if name not in self._refused:
            with self._reading(peer, name):
                index.parse(self._dir.read(name, index.read))
                if index.head is not None and index.head.service != self._service:
                    raise UnreadableError("other_service")
        if name in self._refused:
            index.head = None
        return peer

    @contextmanager
    def _reading(self, peer: Peer, name: str) -> Iterator[None]:
        """Leave a file out: this time if it has gone or the system gives an error, else for good. It hides no other."""
        try:
            yield
        except FileNotFoundError:
            peer.part = None
        except Exception as error:
            if comes_from_handler(error):
                raise
            if isinstance(error, OSError):
                peer.failed = True
                self._refuse(name, "unreadable_file")
                return
            peer.part = None
            self._refused.add(name)
            self._refuse(name, str(error) if isinstance(error, UnreadableError) else "corrupt_file")

    def _filled(self, peer: Peer) -> Peer:
        """Read a peer's cells; without any it counts nothing, yet."""
        head, name = peer.series_index.head, f"{peer.stem}.{CELLS}"
        if head is None or name in self._refused:
            peer.part = None
            return peer
        with self._reading(peer, name):
            file = self._dir.open_file(name)
            try:
                self._read_cells(peer, head, file)
            finally:
                file.close()
        return peer

    @staticmethod
    def _read_cells(peer: Peer, head: Head, file: File) -> None:
        """Read a peer's cells, if they have changed."""
        index = peer.series_index
        size = index.size * _CELL
        is_there = file.size() >= size  # a forged index may ask for terabytes
        before, raw = (file.read(size, 0) if is_there else b"" for _ in range(2))
        if len(raw) < size:
            raise UnreadableError("truncated_file")
        if peer.part is None or raw != peer.raw or len(peer.part.tables) != len(index.tables):
            peer.raw, peer.part = raw, _part(file, head.created, index, before, raw)


def _compacted(files: list[str]) -> set[str]:
    return {stem for stem in stems(files, NAMES) if generation(stem) >= 0}


def _part(
    file: File, created: float, series_index: SeriesIndex, before: bytes, raw: bytes
) -> ProcessSnapshot:
    """Return what two copies of the cells say; rows that changed between them are read again."""
    cells, patience = array("d", raw), _TRIES
    for shape, slots in series_index.tables:
        if shape.kind != "histogram":
            continue
        width = shape.width
        for slot in chain.from_iterable(portions(slots.values())):
            start, end = slot * _CELL, (slot + width) * _CELL
            if not _is_whole(cells[slot : slot + width]) or before[start:end] != raw[start:end]:
                cells[slot : slot + width], patience = _row(file, slot, width, patience)
    tables = tuple((shape, slots.copy()) for shape, slots in series_index.tables)
    return ProcessSnapshot(created, tables, cells, dict(_exemplars(series_index, cells)))


def _is_whole(row: array[float]) -> bool:
    """Return whether a histogram's buckets add up to its count."""
    return sum(row[:-2]) == row[-1]


def _row(file: File, slot: int, width: int, patience: int) -> tuple[array[float], int]:
    """Return a row that stood there, and what is left of the patience; a killed process may have left half of one.

    Then its buckets are right, and its sum may lack one value.
    """
    while True:
        for _ in range(_TRIES):
            before, raw = (file.read(width * _CELL, slot * _CELL) for _ in range(2))
            if before == raw:
                break
        row = array("d", raw)
        if (before == raw and _is_whole(row)) or not patience:
            return row, patience
        patience -= 1
        time.sleep(_PAUSE)


def _exemplars(series_index: SeriesIndex, cells: array[float]) -> Iterable[tuple[int, Exemplar]]:
    for bucket, at in series_index.exemplars.items():
        row = cells[at : at + EXEMPLAR_CELLS]
        if row[0] and row[0] == row[-1]:
            trace_id = int(row[1]) << 96 | int(row[2]) << 48 | int(row[3])
            yield bucket, (trace_id, int(row[4]) << 32 | int(row[5]), row[6], row[0])


def exemplar_row(exemplar: Exemplar) -> tuple[float, ...]:
    """Return the cells of an exemplar: no part has more bits than a float64 holds exactly."""
    trace_id, span_id, value, seconds = exemplar
    low, mid, high = trace_id & (1 << 48) - 1, trace_id >> 48 & (1 << 48) - 1, trace_id >> 96
    return (
        seconds,
        float(high),
        float(mid),
        float(low),
        float(span_id >> 32),
        float(span_id & 0xFFFFFFFF),
        value,
        seconds,
    )
