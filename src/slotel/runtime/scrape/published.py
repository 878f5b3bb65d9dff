"""What each process of a service published of its app's metrics, as files; and their sum. Collects nothing itself.

A process writes its latest numbers over its own file; the one that answers scrapes adds all files up. What a dead
process published stays counted: its file is folded into one that outlives it, so that recycling workers for weeks
leaves one small file. Only the answering process folds, and only it reads, so nothing is seen twice or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from slotel.runtime.scrape.conversion import Converted
from slotel.runtime.scrape.merge import added
from slotel.runtime.store import Exemplar, Family

LABEL_PID: Final = "pid"
"""Label of a gauge that speaks for one process of several."""
_PREFIX: Final = "app-"
_SUFFIX: Final = ".json"
_DEAD: Final = "app-dead.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Published:
    """What one process counted.

    Args:
        who: `<pid>-<start>`, unique over the life of the service; "" for the sum of the dead.
        folded: those whose numbers are in the sum of the dead, as long as their files may still be there.
    """

    who: str
    converted: Converted
    folded: frozenset[str] = frozenset()


class Board:
    """The published files of one service's run directory.

    Args:
        who: this process.
        alive: whether the process of a name still runs.
    """

    def __init__(self, directory: Path, who: str, alive: Callable[[str], bool]) -> None:
        self._directory = directory
        self._who = who
        self._alive = alive

    def publish(self, converted: Converted) -> None:
        """Write this process's numbers over its last ones. Raises OSError."""
        self._write(f"{_PREFIX}{self._who}{_SUFFIX}", Published(self._who, converted))

    def others(self) -> list[Published]:
        """Return what the others published, the dead as one sum; folds whoever died since. Raises OSError."""
        dead = self._read(_DEAD) or Published("", Converted((), frozenset()))
        living: list[Published] = []
        gone: list[Published] = []
        for name in self._names():
            found = None if name in dead.folded else self._read(f"{_PREFIX}{name}{_SUFFIX}")
            if found is not None and name != self._who:
                (living if self._alive(name) else gone).append(found)
        if gone:
            dead = self._fold(dead, gone)
        return [*living, dead] if dead.converted.families else living

    def _fold(self, dead: Published, gone: list[Published]) -> Published:
        """Write the new sum first, then remove what is in it: a crash between the two counts nothing twice."""
        names = frozenset(one.who for one in gone)
        kept = frozenset(name for name in dead.folded if name in set(self._names()))
        families = (family for one in (dead, *gone) for family in one.converted.families)
        lasting = (family for family in families if family.kind != "gauge")
        summed = Published("", Converted(tuple(added(lasting)), frozenset()), kept | names)
        self._write(_DEAD, summed)
        for name in summed.folded:
            with suppress(OSError):
                (self._directory / f"{_PREFIX}{name}{_SUFFIX}").unlink()
        return summed

    def _names(self) -> Iterator[str]:
        for path in self._directory.iterdir():
            if path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX) and path.name != _DEAD:
                yield path.name[len(_PREFIX) : -len(_SUFFIX)]

    def _write(self, name: str, published: Published) -> None:
        """Replace a file in one step, so that no reader sees half of it."""
        draft = self._directory / f".{name}.{os.getpid()}"
        flags = (
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        )
        try:
            with os.fdopen(os.open(draft, flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(_to_json(published), file, separators=(",", ":"))
            draft.replace(self._directory / name)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise

    def _read(self, name: str) -> Published | None:
        """Return what a file holds; None for one that is gone or is not ours."""
        try:
            descriptor = os.open(self._directory / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(descriptor, encoding="utf-8") as file:
                return _from_json(json.load(file))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def over_processes(own: Converted, who: str, others: Iterable[Published]) -> Iterator[Family]:
    """Yield the families of a service: counters, histograms and up-down counters added, other gauges by process.

    Alone, a process's gauges carry no label `pid`.
    """
    published = [Published(who, own), *others]
    if len(published) == 1:
        yield from own.families
        return
    together: list[Family] = []
    for one in published:
        for family in one.converted.families:
            by_process = family.kind == "gauge" and family.name not in one.converted.summed
            together.append(_of_process(family, one.who.partition("-")[0]) if by_process else family)
    yield from added(together)


def _of_process(family: Family, pid: str) -> Family:
    if LABEL_PID in family.label_names:
        return family
    series = {(*values, pid): row for values, row in family.series.items()}
    return replace(family, label_names=(*family.label_names, LABEL_PID), series=series, exemplars={})


# -- the form of the files -------------------------------------------------------------------------------------


def _to_json(published: Published) -> dict[str, Any]:
    families = []
    for family in published.converted.families:
        plain = asdict(replace(family, series={}, exemplars={}))
        plain["series"] = [[values, list(row)] for values, row in family.series.items()]
        plain["exemplars"] = [[values, list(marked.items())] for values, marked in family.exemplars.items()]
        families.append(plain)
    return {
        "version": _VERSION,
        "who": published.who,
        "summed": sorted(published.converted.summed),
        "folded": sorted(published.folded),
        "families": families,
    }


def _from_json(data: dict[str, Any]) -> Published | None:
    if data["version"] != _VERSION:
        return None
    families = []
    for plain in data["families"]:
        width = len(plain["bounds"]) + 2 if plain["kind"] == "histogram" else 1
        series = {tuple(values): tuple(map(float, row)) for values, row in plain["series"]}
        exemplars = {tuple(values): dict(map(_exemplar, marked)) for values, marked in plain["exemplars"]}
        if any(len(row) != width for row in series.values()):
            return None
        labels, bounds = tuple(plain["label_names"]), tuple(plain["bounds"])
        families.append(
            Family(
                **{**plain, "label_names": labels, "bounds": bounds, "series": series, "exemplars": exemplars}
            )
        )
    converted = Converted(tuple(families), frozenset(data["summed"]))
    return Published(str(data["who"]), converted, frozenset(data["folded"]))


def _exemplar(item: list[Any]) -> tuple[int, Exemplar]:
    bucket, (trace_id, span_id, value, seconds) = item
    return int(bucket), (int(trace_id), int(span_id), float(value), float(seconds))
