"""Labels without secrets, on series that an app names itself: those that become the same are added up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import add, is_not
from typing import Any, Final

from slotel.runtime.metrics.store.store import Family

MAX_KNOWN: Final = 20_000
"""Sets of labels whose redaction is remembered."""
Redact = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns attributes without their secrets: the same object if they have none."""
Labels = tuple[str, ...]


class RedactedFamilies:
    """Redacts the labels of families, each set of them once."""

    def __init__(self, redact: Redact) -> None:
        self._redact = redact
        self._known: dict[tuple[Labels, Labels], Labels] = {}

    def __call__(self, family: Family) -> Family:
        """Return the family without secrets: itself if it has none."""
        names, known = family.label_names, self._known
        clean = [known.get((names, values)) or self._redacted(names, values) for values in family.series]
        return _renamed(family, clean) if any(map(is_not, clean, family.series)) else family

    def _redacted(self, names: Labels, values: Labels) -> Labels:
        attributes: dict[str, Any] = dict(zip(names, values, strict=True))
        redacted = self._redact(attributes)
        clean = values if redacted is attributes else tuple(map(str, redacted.values()))
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[names, values] = clean
        return clean


def _renamed(family: Family, clean: Sequence[Labels]) -> Family:
    series: dict[Labels, Any] = {}
    exemplars: dict[Labels, Any] = {}
    for values, name in zip(family.series, clean, strict=True):
        row = family.series[values]
        series[name] = joined(family.kind, series[name], row) if name in series else row
        if values in family.exemplars:
            exemplars[name] = family.exemplars[values]
    return replace(family, series=series, exemplars=exemplars)


def joined(kind: str, standing: Sequence[float], row: Sequence[float]) -> tuple[float, ...]:
    """Return the numbers of two series that only a secret told apart: added, of a gauge the latter."""
    return tuple(row) if kind == "gauge" else tuple(map(add, standing, row))
