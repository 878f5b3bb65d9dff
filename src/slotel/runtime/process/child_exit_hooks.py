"""The end of a forked child that leaves by `os._exit`, past Python's exit hooks (multiprocessing, billiard, celery).

Each has an exit of its own, at which the lifecycle's phase `before_child_exit` is run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.stdlib import finalize_children

_FINALIZERS: Final = ("multiprocessing.util", "billiard.util")


class ChildExitHook:
    """Calls `call` at the end of each forked child; keep it, it lives with its reference.

    Args:
        call: must not raise, and may be called twice.
    """

    def __init__(self, call: Callable[[], None] = PROCESS.end_child) -> None:
        self._call = call
        self._hooked: set[str] = set()
        PROCESS.register("child_exit_hooks", before_fork=self._before_fork)

    def _before_fork(self) -> None:
        """Register with what the app has imported by now."""
        for name in _FINALIZERS:
            module: Any = sys.modules.get(name)
            if module is not None and name not in self._hooked:
                self._hooked.add(name)
                finalize_children(module, self, self._call)
        celery: Any = sys.modules.get("celery.signals")
        if celery is not None and "celery" not in self._hooked:
            self._hooked.add("celery")
            celery.worker_process_shutdown.connect(lambda **_: self._call(), weak=False)
