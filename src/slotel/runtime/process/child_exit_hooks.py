"""Runs the phase `before_child_exit` in forked children that end by `os._exit`, without Python's exit hooks.

multiprocessing, billiard and Celery have exit hooks of their own for such children.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.stdlib import finalize_children

_FINALIZERS: Final = ("multiprocessing.util", "billiard.util")


class ChildExitHook:
    """Calls `PROCESS.end_child` at the end of each forked child, for as long as this object is referenced."""

    def __init__(self) -> None:
        self._hooked: set[str] = set()
        PROCESS.register("child_exit_hooks", before_fork=self._before_fork)

    def _before_fork(self) -> None:
        """Register with those of these modules that the app has imported so far."""
        for name in _FINALIZERS:
            module: Any = sys.modules.get(name)
            if module is not None and name not in self._hooked:
                self._hooked.add(name)
                finalize_children(module, self, PROCESS.end_child)
        celery: Any = sys.modules.get("celery.signals")
        if celery is not None and "celery" not in self._hooked:
            self._hooked.add("celery")
            celery.worker_process_shutdown.connect(lambda **_: PROCESS.end_child(), weak=False)
