"""Checks the place where workers share their counts: whether a directory can be written, and has room."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from typing import Final

from slotel.runtime.finding import Finding
from slotel.runtime.metrics.workers.runtime_directory import candidate_directories
from slotel.runtime.setup.exporters import wants_prometheus

LEAST_FREE: Final = 16 * 2**20


def runtime_directory(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether workers can share their counts: a writable directory with room."""
    if not wants_prometheus(environ):
        return
    places = list(candidate_directories(environ))
    if not places:
        text = "no directory for shared counts is writable: /metrics lacks workers started after the first process ends"
        yield Finding("workers", "warn", text, "give the container a tmpfs: --tmpfs /tmp", "SLO155")
        return
    free = {place: shutil.disk_usage(place).free for place in places}
    place = next((each for each in places if free[each] >= LEAST_FREE), None)
    if place is None:
        text = f"{places[0]}, where workers share their counts, has {free[places[0]] / 2**20:.0f} MiB left"
        fix = "make room, or give the container more: --shm-size=256m"
        yield Finding("workers", "warn", text, fix, "SLO156")
    else:
        yield Finding("workers", "ok", f"counts are shared in {place} ({free[place] / 2**20:,.0f} MiB free)")
