"""The order in which a run side by side hands out the test files: long ones first, those that wait beside those that compute.

Long files first, so that none is left for one core at the end. Files that mostly wait are spread over the whole run, as those that mostly
compute are, so that the cores are busy from start to end. `TIMES=FOLDER make test` measures each test; `python tests/support/file_order.py FOLDER` then
writes the table.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from itertools import accumulate, chain
from pathlib import Path
from typing import NamedTuple

import pytest

TABLE = Path(__file__).with_suffix(".txt")
"""`seconds CPU-seconds file`, one a line."""


class Times(NamedTuple):
    """What a file takes, in seconds.

    Args:
        wall: from its first test to its last, beside other files.
        cpu: of pytest and of the processes that it starts.
    """

    wall: float
    cpu: float


_NEW = Times(60.0, 6.0)
"""A file that the table does not have may take long: it begins early."""


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
    """What the files of the table take."""
    rows = (line.split(maxsplit=2) for line in TABLE.read_text().splitlines())
    return {file: Times(float(wall), float(cpu)) for wall, cpu, file in rows}


def in_order(times: Mapping[str, Times]) -> list[str]:
    """The files in the order in which they begin: at any time as much of the waiting is left as of the computing.

    >>> in_order({"a": Times(9, 8), "b": Times(1, 1), "c": Times(8, 1), "d": Times(7, 0), "e": Times(2, 2)})
    ['c', 'a', 'd', 'e', 'b']
    """
    longest = sorted(times, key=lambda file: -times[file].wall)
    average = sum(each.cpu for each in times.values()) / sum(each.wall for each in times.values())
    places: dict[str, float] = {}
    for computes in (False, True):
        files = [file for file in longest if (times[file].cpu >= average * times[file].wall) == computes]
        before = accumulate((times[file].wall for file in files), initial=0.0)
        whole = sum(times[file].wall for file in files)
        places.update({file: begun / whole for file, begun in zip(files, before, strict=False)})
    return sorted(places, key=lambda file: places[file])


def sort(items: list[pytest.Item]) -> None:
    """Put tests into the order of their files."""
    known = known_times()
    files = dict.fromkeys(_file(item.nodeid) for item in items)
    place = {
        file: number for number, file in enumerate(in_order({file: known.get(file, _NEW) for file in files}))
    }
    items.sort(key=lambda item: place[_file(item.nodeid)])


def _file(test: str) -> str:
    return test.partition("::")[0]


def write(logs: Iterable[str]) -> None:
    """Write the table from what `Measure` has written."""
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for line in chain.from_iterable(log.splitlines() for log in logs):
        wall, cpu, test = line.split("\t")
        sums = found[_file(test)]
        sums[0] += float(wall)
        sums[1] += float(cpu)
    longest = sorted(found.items(), key=lambda item: -item[1][0])
    TABLE.write_text("".join(f"{wall:.1f} {cpu:.1f} {file}\n" for file, (wall, cpu) in longest))


if __name__ == "__main__":
    write(path.read_text() for path in Path(sys.argv[1]).glob("*.tsv"))
