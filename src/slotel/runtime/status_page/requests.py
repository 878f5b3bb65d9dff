"""The page's section on requests since the start of the service: operations by impact."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from slotel.config import names
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.status_page.history import durations, entry_series, quantile

MOST: Final = 10
"""Operations that are shown."""


class Operation(NamedTuple):
    """An operation since the service began.

    Args:
        impact: its share of all the time that the service worked.
        p95: seconds.
    """

    name: str
    calls: float
    failed: float
    p95: float | None
    impact: float


def operations(families: Iterable[Family]) -> tuple[list[Operation], int]:
    """Return the operations with most impact, and how many there are in all."""
    family = durations(families)
    if family is None:
        return [], 0
    named = family.label_names.index(names.LABEL_SPAN_NAME)
    size = len(family.bounds) + 1
    sums: dict[str, list[float]] = {}
    failed: dict[str, float] = {}
    for labels, numbers, is_failure in entry_series(family):
        name = labels[named]
        row = sums.get(name)
        sums[name] = list(numbers) if row is None else [a + b for a, b in zip(row, numbers, strict=True)]
        if is_failure:
            failed[name] = failed.get(name, 0.0) + sum(numbers[:size])
    worked = sum(row[size] for row in sums.values()) or 1.0
    first = sorted(sums, key=lambda name: sums[name][size], reverse=True)[:MOST]
    return [
        Operation(
            name,
            sum(sums[name][:size]),
            failed.get(name, 0.0),
            quantile(0.95, sums[name][:size], family.bounds),
            sums[name][size] / worked,
        )
        for name in first
    ], len(sums)
