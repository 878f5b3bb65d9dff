"""Serves what prometheus_client knows: the metrics in its global registry, as the stock exporter does, and the process.

Counters and histograms that a child inherits by a fork are the parent's: what they held then is taken off. In
prometheus_client's own multiprocess mode they start at zero by themselves.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from slotel.runtime.metrics.store.store import Family
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.prometheus import collectors_of

_DEFAULTS: Final = ("PROCESS_COLLECTOR", "PLATFORM_COLLECTOR", "GC_COLLECTOR")
"""Collectors that the library registers itself; slotel's own process metrics replace them."""
_GC: Final = (
    ("python_gc_collections", "collections", "Garbage collections of each generation."),
    ("python_gc_objects_collected", "collected", "Objects that garbage collection freed."),
    ("python_gc_objects_uncollectable", "uncollectable", "Objects that garbage collection could not free."),
)
_Rows = dict[tuple[str, ...], tuple[float, ...]]


class GlobalRegistry:
    """Reads the registry, when asked, if anything imported the library; `dropped` is told of collectors that fail."""

    def __init__(self, dropped: Callable[[str, str], None] = lambda *_: None) -> None:
        self._dropped = dropped
        self._defaults: frozenset[str] | None = None
        self._inherited: Mapping[str, Family] = {}
        self._at_fork: Mapping[str, Family] = {}
        PROCESS.register("global_registry", before_fork=self._before_fork, after_fork_in_child=self._in_child)

    def families(self) -> Iterable[Family]:
        """Return what this process counted in it, and its gauges."""
        for family in self._all():
            before = self._inherited.get(family.name)
            yield family if before is None else _less(family, before)

    def _before_fork(self) -> None:
        """Note what the library's own instruments hold; a collector of the app's may take long, and reads afresh."""
        self._at_fork = {}
        library = sys.modules.get("prometheus_client")
        if library is None or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            return
        try:
            collectors = collectors_of(library.REGISTRY)
            instruments = [each for each in collectors if isinstance(each, library.metrics.MetricWrapperBase)]
            found = [
                family for each in instruments for metric in each.collect() for family in families_of(metric)
            ]
            self._at_fork = {family.name: family for family in found if family.kind != "gauge"}
        except Exception:  # noqa: BLE001 a fork is the app's
            self._dropped("metrics", "collector_failed")

    def _in_child(self) -> None:
        self._inherited = self._at_fork

    def _all(self) -> Iterator[Family]:
        library = sys.modules.get("prometheus_client")
        if library is None or not hasattr(library, "REGISTRY"):
            return
        try:
            if self._defaults is None:
                standard = [getattr(library, name) for name in _DEFAULTS]
                self._defaults = frozenset(metric.name for each in standard for metric in each.collect())
            for metric in library.REGISTRY.collect():
                if metric.name not in self._defaults:
                    yield from families_of(metric)
        except Exception:  # noqa: BLE001 a collector of the app's that fails must not take the others down
            self._dropped("metrics", "collector_failed")


class ProcessMetrics:
    """Reads the kernel's and the collector's numbers of this process, when asked."""

    def __init__(self) -> None:
        self._before: list[dict[str, int]] = [{}, {}, {}]
        self._kernel: Any = None
        PROCESS.register("process_metrics", after_fork_in_child=self._after_fork)

    def _after_fork(self) -> None:
        """Subtract what the parent's garbage collector did."""
        self._before = [dict(generation) for generation in gc.get_stats()]

    def families(self) -> Iterable[Family]:
        """Return process_* (where the kernel has /proc) and python_gc_*_total."""
        if self._kernel is None:
            from prometheus_client import ProcessCollector

            self._kernel = ProcessCollector(registry=None)
        for metric in self._kernel.collect():
            yield from families_of(metric)
        stats = gc.get_stats()
        for name, number, text in _GC:
            rows: Any = {
                (str(generation),): (float(now[number] - before.get(number, 0)),)
                for generation, (now, before) in enumerate(zip(stats, self._before, strict=False))
            }
            yield Family(name, "counter", text, "", ("generation",), (), rows)


def families_of(metric: Any) -> Iterator[Family]:
    """Yield a metric of prometheus_client as families: a summary is several gauges."""
    samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
    names = tuple(dict.fromkeys(name for sample in samples for name in sample.labels if name != "le"))
    if metric.type == "histogram":
        yield _histogram(metric, samples, names)
        return
    kind: Any = "counter" if metric.type == "counter" else "gauge"
    by_name: dict[str, _Rows] = {}  # a summary has several, and no place among families but as gauges
    for sample in samples:
        name = metric.name if kind == "counter" else sample.name
        values = tuple(sample.labels.get(label, "") for label in names)
        by_name.setdefault(name, {})[values] = (float(sample.value),)
    for name, rows in by_name.items():
        yield Family(name, kind, metric.documentation, metric.unit, names, (), rows)


def _histogram(metric: Any, samples: list[Any], names: tuple[str, ...]) -> Family:
    cumulative: dict[tuple[str, ...], dict[float, float]] = {}
    sums: dict[tuple[str, ...], float] = {}
    for sample in samples:
        values = tuple(sample.labels.get(name, "") for name in names)
        if sample.name.endswith("_bucket"):
            cumulative.setdefault(values, {})[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            sums[values] = sample.value
    edges = sorted({edge for counts in cumulative.values() for edge in counts})
    rows: _Rows = {}
    for values, counts in cumulative.items():
        heights = [counts.get(edge, 0.0) for edge in edges]
        each = (now - before for now, before in zip(heights, (0.0, *heights), strict=False))
        rows[values] = (*each, sums.get(values, 0.0))
    return Family(metric.name, "histogram", metric.documentation, metric.unit, names, tuple(edges[:-1]), rows)


def _less(family: Family, before: Family) -> Family:
    if (family.label_names, family.bounds) != (before.label_names, before.bounds):
        return family
    rows = {
        values: tuple(now - then for now, then in zip(row, before.series[values], strict=True))
        if values in before.series
        else row
        for values, row in family.series.items()
    }
    return replace(family, series=rows, exemplars={}, created=0.0)
