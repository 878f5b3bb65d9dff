"""The order in which a run side by side hands out the test files: long ones first, those that wait beside those that compute.

Long files first, so that none is left for one core at the end. A file that mostly waits takes turns with one that mostly computes, so
that the cores are busy from the start. `TIMES=FOLDER make test` measures each test; `python tests/support/file_order.py FOLDER` then
writes the table.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest

TABLE = Path(__file__).with_suffix(".txt")
"""`seconds CPU-seconds file`, one a line; what is not listed takes little."""
_LEAST = 4.0


class Times(NamedTuple):
    """What a file takes, in seconds.

    Args:
        wall: from its first test to its last, beside other files.
        cpu: of pytest and of the processes that it starts.
    """

    wall: float
    cpu: float


class Measure:
    """A plugin that writes what each test takes to a file of this pytest process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}.tsv"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        begun, cpu = time.monotonic(), _cpu()
        result = yield
        with self._file.open("a") as file:
            file.write(f"{time.monotonic() - begun:.3f}\t{_cpu() - cpu:.3f}\t{item.nodeid}\n")
        return result


def _cpu() -> float:
    """CPU seconds of this process and of all children that have ended."""
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def known_times() -> dict[str, Times]:
    """What the files of the table take, the longest first."""
    rows = (line.split(maxsplit=2) for line in TABLE.read_text().splitlines())
    return {file: Times(float(wall), float(cpu)) for wall, cpu, file in rows}


def in_order(known: dict[str, Times]) -> list[str]:
    """The files in the order in which they begin.

    >>> in_order({"a": Times(9, 8), "b": Times(8, 7), "c": Times(7, 1), "d": Times(6, 0)})
    ['c', 'a', 'd', 'b']
    """
    longest = sorted(known, key=lambda file: -known[file].wall)
    by_share = sorted(longest, key=lambda file: known[file].cpu / known[file].wall)
    waiting = set(by_share[: len(by_share) // 2])
    pairs = zip_longest(
        (file for file in longest if file in waiting), (file for file in longest if file not in waiting)
    )
    return [file for file in chain.from_iterable(pairs) if file is not None]


def sort(items: list[pytest.Item]) -> None:
    """Put tests into the order of their files."""
    place = {file: number for number, file in enumerate(in_order(known_times()))}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))


def write(logs: Iterable[str]) -> None:
    """Write the table from what `Measure` has written."""
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for line in chain.from_iterable(log.splitlines() for log in logs):
        wall, cpu, test = line.split("\t")
        sums = found[test.partition("::")[0]]
        sums[0] += float(wall)
        sums[1] += float(cpu)
    longest = sorted(found.items(), key=lambda item: -item[1][0])
    TABLE.write_text(
        "".join(f"{wall:.0f} {cpu:.1f} {file}\n" for file, (wall, cpu) in longest if wall >= _LEAST)
    )


if __name__ == "__main__":
    write(path.read_text() for path in Path(sys.argv[1]).glob("*.tsv"))
