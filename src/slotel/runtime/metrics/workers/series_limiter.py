"""Limits the number of series of a service: over all processes, the first ones up to the bound are accepted.

The list is a file in the runtime directory. A process appends a series before it opens its row, and reads the lines
before its own. Appends have the same order for all processes, so no lock is needed. An accepted series stays accepted
in all processes; others are counted in the overflow row of their process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from slotel.runtime.metrics.store.family import OVERFLOW, Labels
from slotel.runtime.metrics.workers.files import Directory
from slotel.runtime.metrics.workers.runtime_directory import SERIES

_CHUNK: Final = 1 << 20


class SeriesLimiter:
    """The list of a service's series, `max_series` of each table, as this process has read it.

    Every method may raise OSError. Not thread-safe: the store's lock is held. A forked child goes on with it.
    """

    def __init__(self, run_dir: Directory, max_series: int) -> None:
        self._file = run_dir.list_file(SERIES)
        self._max = max_series
        self._places: dict[str, set[Labels]] = {}
        self._read = 0

    def try_add(self, table: str, values: Labels) -> bool:
        """Return whether a series has a place, now or from before."""
        if self._has(table, values):
            return True
        self._catch_up()
        if self._has(table, values):
            return True
        if len(self._places.get(table, ())) >= self._max:
            return False
        self._append([[table, values, False]])
        self._catch_up()
        return self._has(table, values)

    def add_existing(self, rows: Iterable[tuple[str, Labels]]) -> None:
        """Give a place to series that a process opened before it had others, also beyond the bound: they were shown."""
        self._catch_up()
        missing = [(table, values) for table, values in rows if values and not self._has(table, values)]
        if missing:
            self._append([[table, values, True] for table, values in missing])
            self._catch_up()

    def stands(self) -> bool:
        """Return whether the file is still in the directory, with all that was read of it."""
        return self._file.stands() and self._file.size() >= self._read

    def close(self) -> list[tuple[str, Labels]]:
        """Close the file, and return all that has a place in it, whether or not it is still in the directory."""
        self._catch_up()
        self._file.close()
        return [(table, values) for table, places in self._places.items() for values in places]

    def _has(self, table: str, values: Labels) -> bool:
        return values in self._places.get(table, ())

    def _append(self, entries: list[list[Any]]) -> None:
        """Write lines in one call. A line that a full disk cuts is ended by the next one's beginning."""
        text = "".join(f"\n{json.dumps(entry, separators=(',', ':'))}\n" for entry in entries)
        self._file.append(text.encode())

    def _catch_up(self) -> None:
        while data := self._file.read(_CHUNK, self._read):
            whole = data[: data.rfind(b"\n") + 1]
            if not whole:
                return
            self._read += len(whole)
            for line in filter(None, whole.split(b"\n")):
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            table, values, is_sure = json.loads(line)
            series = tuple(map(str, values))
        except (ValueError, TypeError):
            return  # cut by a full disk
        places = self._places.setdefault(str(table), set())
        if series != OVERFLOW and (is_sure or len(places) < self._max):
            places.add(series)
