"""Detects that uWSGI forks workers without Python's fork hooks: their counts would be missing from `/metrics`.

uWSGI forks in C, and runs the hooks only if one of two options is set.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from slotel.config.problem import Problem

_OPTIONS: Final = ("py-call-uwsgi-fork-hooks", "py-call-osafterfork")
"""The second one ends uWSGI 2.0.31 on CPython 3.13; it is offered nowhere."""
_PROCESSES: Final = ("processes", "workers", "p")


def problem() -> Problem | None:
    """Return what to set in uWSGI; None where nothing is wrong. Its module is there when it has read its options."""
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    if not isinstance(options, dict):
        return None
    named = {_text(name): value for name, value in options.items()}
    if not named.keys().isdisjoint(_OPTIONS) or not _forks(named):
        return None
    return Problem(
        "uWSGI",
        f"it forks workers without Python's fork hooks: set '{_OPTIONS[0]} = true', and 'enable-threads = true'",
        "what the workers count is not seen until then",
    )


def _forks(options: Mapping[str, Any]) -> bool:
    """Whether the first process is not the only one: a master's workers, or without a master the second worker on."""
    if "master" in options:
        return True
    counts = [_text(options[name]) for name in _PROCESSES if name in options]
    return any(count.isdigit() and int(count) > 1 for count in counts)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
