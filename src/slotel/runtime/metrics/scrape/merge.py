"""Combines families of several sources, so that each name and each series occurs once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import fsum, isfinite
from typing import Any, cast

from slotel.runtime.metrics.store.family import portions
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.process.gil_yielder import yield_gil

_Rows = dict[tuple[str, ...], Any]


def unite(families: Iterable[Family], complain: Callable[[str], None]) -> list[Family]:
    """Return families whose exposed names and series are unique: the first that has a name keeps it.

    Args:
        complain: called with the name of each family of which series, or all, are left out.

    Families with the same name, kind and bounds are joined, whatever their label names; where two have the
    same series, the first one's stands.
    """
    joined: dict[str, Family] = {}
    claimed: dict[str, str] = {}
    for family in families:
        first = joined.get(family.name)
        if first is None:
            exposed = exposed_names(family)
            if any(name in claimed for name in exposed):
                complain(family.name)
                continue
            claimed.update(dict.fromkeys(exposed, family.name))
            joined[family.name] = family
        elif first.kind == family.kind and first.bounds == family.bounds:
            joined[family.name] = _joined(first, family, complain)
        else:
            complain(family.name)
    return list(joined.values())


def exposed_names(family: Family) -> tuple[str, ...]:
    """Return every name that a family's lines and comments use, in either format."""
    if family.kind == "counter":
        return (family.name, f"{family.name}_total")
    if family.kind == "histogram":
        return (family.name, *(f"{family.name}_{suffix}" for suffix in ("bucket", "sum", "count")))
    return (family.name,)


def relabelled(family: Family, names: tuple[str, ...]) -> Family:
    """Return a family with other label names; a label that it lacks is empty."""
    if names == family.label_names:
        return family
    at = [family.label_names.index(name) if name in family.label_names else -1 for name in names]

    def moved(rows: Mapping[tuple[str, ...], Any]) -> _Rows:
        return {tuple([values[i] if i >= 0 else "" for i in at]): row for values, row in rows.items()}

    return replace(family, label_names=names, series=moved(family.series), exemplars=moved(family.exemplars))


def added(families: Iterable[Family], *, keeps_rests: bool = False) -> Iterator[Family]:
    """Yield one family for each name and kind: series summed, the earliest start, the latest exemplars.

    A sum is the float that is next to the exact one, so no order of the families lets a counter fall by its last bit,
    which Prometheus would take for one that began anew. A histogram whose bounds differ from the first one's cannot be
    added, and is left out.

    Args:
        keeps_rests: yields further families of the same name with what the sums lack of the exact ones, for families
            that will be added to others later.
    """
    groups: dict[tuple[str, str], Family] = {}
    for family in families:
        key = (family.name, family.kind)
        first = groups.get(key)
        if first is None:
            begun: _Rows = {values: [row] for values, row in family.series.items()}
            groups[key] = replace(family, series=begun, exemplars=dict(family.exemplars))
        elif first.bounds == family.bounds:
            groups[key] = _grouped(first, family)
        yield_gil()
    for group in groups.values():
        levels: dict[int, _Rows] = {0: {}}
        for values, rows in chain.from_iterable(portions(cast("_Rows", group.series).items())):
            if len(rows) == 1:
                levels[0][values] = rows[0]
                continue
            columns = tuple(zip(*rows, strict=True))
            parts = [tuple(map(_exact, columns))]
            while keeps_rests and any(rest := _rest(columns, parts)):
                parts.append(rest)
            for level, part in enumerate(parts):
                levels.setdefault(level, {})[values] = part
        for level, series in levels.items():
            yield replace(group, series=series, exemplars={} if level else group.exemplars)


def _rest(columns: Iterable[Sequence[float]], parts: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return what the parts of the columns' sums lack of them; 0 for one that is no finite number."""
    return tuple(
        _exact((*column, *(-part for part in given))) if isfinite(given[0]) else 0.0
        for column, given in zip(columns, zip(*parts, strict=True), strict=True)
    )


def _exact(values: Sequence[float]) -> float:
    """Return the float that is next to the sum; where one is infinite, what adding gives."""
    try:
        return fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


def _alike(*families: Family) -> list[Family]:
    """Return families with the label names of all of them."""
    names = tuple(dict.fromkeys(chain.from_iterable(family.label_names for family in families)))
    return [relabelled(family, names) for family in families]


def _joined(first: Family, second: Family, complain: Callable[[str], None]) -> Family:
    first, second = _alike(first, second)
    if not first.series.keys().isdisjoint(second.series):
        complain(second.name)
    return replace(
        first,
        series={**second.series, **first.series},
        exemplars={**second.exemplars, **first.exemplars},
    )


def _grouped(group: Family, family: Family) -> Family:
    """Put a family's rows beside those of a group, whose series are lists of rows and this module's own."""
    group, family = _alike(group, family)
    series, exemplars = cast("_Rows", group.series), cast("_Rows", group.exemplars)
    for values, row in chain.from_iterable(portions(family.series.items())):
        series.setdefault(values, []).append(row)
    exemplars.update(family.exemplars)
    return replace(group, created=min(group.created, family.created))
