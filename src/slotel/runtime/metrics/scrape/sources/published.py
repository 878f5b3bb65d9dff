"""The app's metrics that each process of a service publishes, and their sum over all processes.

A process shares its latest numbers as one file beside its counts; the process that answers a scrape adds all up.
What a dead process published stays counted: `combine` makes one file of those of the dead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final, cast

from slotel.runtime.metrics.scrape.merge import added
from slotel.runtime.metrics.store.family import portions
from slotel.runtime.metrics.store.store import Exemplar, Family
from slotel.runtime.metrics.workers.workers import Workers
from slotel.runtime.process.gil_yielder import yield_gil

SUFFIX: Final = "app"
"""Suffix of the shared files."""
LABEL_PID: Final = "pid"
"""Label of a gauge that belongs to one process of several."""
_VERSION: Final = 3
_PLAIN: Final = ("name", "kind", "help", "unit", "label_names", "bounds", "created", "adds_up")
"""The fields of a family's first line, in addition to its exemplars."""


Published = tuple[str, Sequence[Family]]
"""The pid of a process, "" for the dead, whose gauges are gone; and its families."""


def published(workers: Workers) -> list[Published]:
    """Return what the other processes published; files that cannot be read are skipped."""
    found: list[Published] = []
    for file in workers.shared(SUFFIX):
        families = decode(file.data)
        if families is not None:
            pid = file.stem.partition("-")[0] if file.is_alive else ""
            found.append((pid, families if file.is_alive else lasting(families)))
    return found


def over_processes(own: Published, others: Sequence[Published]) -> Iterator[Family]:
    """Yield the families of a service: counters, histograms and up-down counters added, other gauges by process.

    Alone, a process's gauges carry no label `pid`.
    """
    if not others:
        yield from own[1]
        return
    yield from added(_of_process(family, pid) for pid, families in (own, *others) for family in families)


def lasting(families: Iterable[Family]) -> list[Family]:
    """Return what a process leaves behind when it ends: counters and histograms, no gauges."""
    return [family for family in families if family.kind != "gauge"]


def combine(files: Sequence[bytes]) -> bytes:
    """Return one file that holds what those of dead processes held."""
    return encode(added(lasting(chain.from_iterable(filter(None, map(decode, files)))), keeps_rests=True))


def _of_process(family: Family, pid: str) -> Family:
    if family.kind != "gauge" or family.adds_up or LABEL_PID in family.label_names:
        return family
    series = {(*values, pid): row for values, row in family.series.items()}
    return replace(family, label_names=(*family.label_names, LABEL_PID), series=series, exemplars={})


# -- the form of the files -------------------------------------------------------------------------------------
#
# Lines of JSON: first the version; then for each family a line without its series, followed
# by lines of some of them each, so that no step holds the interpreter long.


def encode(families: Iterable[Family]) -> bytes:
    """Return a file's content."""
    lines = [_line({"version": _VERSION})]
    for family in families:
        plain = {name: getattr(family, name) for name in _PLAIN}
        exemplars = [[values, list(marked.items())] for values, marked in family.exemplars.items()]
        lines.append(_line({**plain, "exemplars": exemplars}))
        every = portions(family.series.items())
        lines.extend(_line([[values, list(row)] for values, row in portion]) for portion in every)
    return b"\n".join(lines)


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def decode(data: bytes) -> list[Family] | None:
    """Return what a file holds; None for one that is broken or of another version of slotel."""
    families: list[Family] = []
    try:
        first, *lines = data.split(b"\n")
        if json.loads(first)["version"] != _VERSION:
            return None
        for line in lines:
            value = json.loads(line)
            if isinstance(value, dict):
                families.append(_family(value))
            else:
                _take(families[-1], value)
            yield_gil()
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    return families


def _family(plain: dict[str, Any]) -> Family:
    lists = {name: tuple(plain[name]) for name in ("label_names", "bounds")}
    exemplars = {tuple(values): dict(map(_exemplar, marked)) for values, marked in plain["exemplars"]}
    return Family(**{**{name: plain[name] for name in _PLAIN}, **lists, "series": {}, "exemplars": exemplars})


def _take(family: Family, rows: list[Any]) -> None:
    series = cast("dict[tuple[str, ...], tuple[float, ...]]", family.series)
    series.update({tuple(values): tuple(map(float, row)) for values, row in rows})
    width = len(family.bounds) + 2 if family.kind == "histogram" else 1
    if any(len(row) != width for _, row in rows):
        raise ValueError("a row has another width than its bounds say")


def _exemplar(item: list[Any]) -> tuple[int, Exemplar]:
    bucket, (trace_id, span_id, value, seconds) = item
    return int(bucket), (int(trace_id), int(span_id), float(value), float(seconds))
