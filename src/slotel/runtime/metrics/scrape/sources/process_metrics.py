"""The process itself: CPU, memory, open files, garbage collections, named as prometheus_client names them."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any, Final

from slotel.runtime.metrics.scrape.sources.registry import families_of
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.process.lifecycle import PROCESS

_GC: Final = (
    ("python_gc_collections", "collections", "Garbage collections of each generation."),
    ("python_gc_objects_collected", "collected", "Objects that garbage collection freed."),
    ("python_gc_objects_uncollectable", "uncollectable", "Objects that garbage collection could not free."),
)


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
