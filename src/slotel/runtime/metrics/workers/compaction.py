"""Adds the counts of dead processes to one compacted file, exactly once.

The compacted file is complete before its name appears. Its head lists the files that it has absorbed; from then on
readers ignore those files, even if this process dies before it has removed them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import add
from typing import Final

from slotel.config import names
from slotel.config.drops import drop
from slotel.runtime.logs import LOG
from slotel.runtime.metrics.store.family import OVERFLOW, Labels, ProcessSnapshot, Shape
from slotel.runtime.metrics.store.ring import merge_ring
from slotel.runtime.metrics.workers.file_reader import Peer, WorkerFileReader
from slotel.runtime.metrics.workers.files import Directory
from slotel.runtime.metrics.workers.identity import Process
from slotel.runtime.metrics.workers.liveness import is_alive
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


def compact(
    run_dir: Directory,
    file_reader: WorkerFileReader,
    service: str,
    max_series: int,
    combine: Mapping[str, Combine],
    stops: Callable[[], bool] = lambda: False,
) -> int:
    """Absorb the files of dead processes; return their number, 0 if another process does it. May raise OSError.

    Args:
        max_series: bound of the series of each table in the compacted file; the rest is added to its overflow row.
        combine: for each further suffix, how its files become one. Where one is not known, nothing is absorbed.
        stops: asked between portions of `PORTION` files, unless very many are left; the rest is absorbed the next time.
    """
    absorbed = 0
    with run_dir.locked() as is_ours:
        if not is_ours:
            return 0
        files, counting = run_dir.names(), file_reader.stems()
        everyone = stems(files, NAMES)
        _remove(run_dir, files, (everyone - counting) | _orphans(run_dir, files, everyone))
        dead = sorted(stem for stem in counting if generation(stem) < 0 and not is_alive(run_dir, stem))
        for first in range(0, len(dead), PORTION):
            if absorbed and len(dead) - first <= MANY and stops():
                break
            portion = dead[first : first + PORTION]
            absorbed += _absorb(run_dir, file_reader, service, max_series, combine, portion)
    return absorbed


def _absorb(
    run_dir: Directory,
    file_reader: WorkerFileReader,
    service: str,
    max_series: int,
    combine: Mapping[str, Combine],
    dead: Sequence[str],
) -> int:
    """Make a new compacted file of the last one and those of some dead processes; return how many could be read."""
    files, counting = run_dir.names(), file_reader.stems()
    wanted = {*dead, *(stem for stem in counting if generation(stem) >= 0)}
    read = [peer for peer in file_reader.read(only=wanted) if peer.is_read()]
    readable = {peer.stem for peer in read} | {stem for stem in dead if file_reader.is_empty(stem)}
    others = {name for name in files if _stem(name) in readable and _suffix(name) not in _KNOWN}
    suffixes = {_suffix(name) for name in others} - {"tmp"}
    if not readable.intersection(dead) or not suffixes <= combine.keys():
        return 0
    stem = compacted_stem(1 + max((generation(name) for name in stems(files, NAMES)), default=0))
    for suffix in suffixes:
        blobs = [run_dir.read(name) for name in sorted(others) if _suffix(name) == suffix]
        run_dir.write(f"{stem}.{suffix}", combine[suffix](blobs))
    ended = {process_of(stem) for stem in readable.intersection(dead) - run_dir.former}
    killed = len(ended - set(_exited(read)))
    _write_compacted(run_dir, stem, service, read, readable, max_series, killed)
    _remove(run_dir, files, readable)
    return len(readable.intersection(dead))


def _write_compacted(
    run_dir: Directory,
    stem: str,
    service: str,
    read: Sequence[Peer],
    absorbed: set[str],
    max_series: int,
    killed: int,
) -> None:
    parts = [peer.part for peer in sorted(read, key=_oldest_first) if peer.part is not None]
    tables = add_up(parts, max_series)
    _add_killed(tables, killed)
    _add_lost(tables)
    created = min((part.created for part in parts), default=0.0)
    lines, cells = [Head(service, created, tuple(sorted(absorbed))).line()], array("d")
    for index, (shape, rows) in enumerate(tables):
        lines.append(table_line(shape))
        for values, row in rows.items():
            lines.append(row_line(index, len(cells), values))
            cells.extend(row)
    run_dir.write(f"{stem}.{CELLS}", cells.tobytes())
    run_dir.write(f"{stem}.{NAMES}", b"".join(lines))


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
                    rows[key] = array("d", map(add, standing, row))
    return list(tables.values())


def _exited(peers: Iterable[Peer]) -> Iterator[Process | None]:
    """Yield the processes that counted their own end; one process may have had several files."""
    for peer in peers:
        for shape, slots in peer.part.tables if peer.part is not None else ():
            slot = slots.get((names.EXITED,)) if shape.name == names.WORKER_EXITS else None
            if slot is not None and peer.part is not None and peer.part.cells[slot]:
                yield process_of(peer.stem)


def _add_killed(tables: Iterable[tuple[Shape, dict[Labels, array[float]]]], killed: int) -> None:
    """Count processes that ended without counting their own end."""
    for shape, rows in tables:
        if shape.name == names.WORKER_EXITS:
            rows.setdefault((names.KILLED,), array("d", [0.0]))[0] += killed
            return


def _add_lost(tables: Iterable[tuple[Shape, dict[Labels, array[float]]]]) -> None:
    """Count as lost what processes had not sent when they ended; those that ended in time have nothing there."""
    rows = {shape.name: found for shape, found in tables}
    dropped = rows.get(names.DROPPED)
    for values, row in rows.get(names.UNSENT, {}).items():
        unsent, row[0] = max(row[0], 0.0), 0.0
        if unsent and values and dropped is not None:
            dropped.setdefault((*values, KILLED), array("d", [0.0]))[0] += unsent
            LOG.warning("lost %d %s: %s [%s]", unsent, values[0], drop(KILLED).what, KILLED)


def _orphans(run_dir: Directory, files: Sequence[str], known: set[str]) -> set[str]:
    """Return the stems of files whose writer died before they counted."""
    found = {_stem(name) for name in files if not is_foreign_file(name) and name not in SERVICE_FILES} - known
    return {stem for stem in found if not is_alive(run_dir, stem)}


def _oldest_first(peer: Peer) -> tuple[bool, str]:
    return generation(peer.stem) < 0, peer.stem


def _remove(run_dir: Directory, files: Sequence[str], gone: set[str]) -> None:
    run_dir.remove(*(name for name in files if _stem(name) in gone))


def _stem(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]
