"""Installed entry points. OpenTelemetry reads them once in each process, which takes 10 ms, and caches them."""

from __future__ import annotations

import importlib.metadata
from typing import Any, Final

from slotel.runtime.upstream.probe import SLOWER, Probe

_KEPT: Final = Probe(
    "opentelemetry.util._importlib_metadata", "entry_points",
    why="it has read the entry points when slotel starts", without="a start reads them once more for each exporter",
    level=SLOWER,
)  # fmt: skip


def entry_points(**wanted: str) -> Any:
    """Return the entry points of a group, or of a name in it."""
    return (_KEPT.load() or importlib.metadata.entry_points)(**wanted)
