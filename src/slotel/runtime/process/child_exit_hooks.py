"""The end of a forked child that leaves without Python's own exit: multiprocessing's, billiard's, celery's.

They end by `os._exit`, which `atexit` does not see; each has an exit of its own, at which something may be called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

_FINALIZERS: Final = ("multiprocessing.util", "billiard.util")


class ChildExitHook:
    """Calls something at the end of each forked child; keep it, for it lives with its reference.

    Args:
        call: must not raise, and must bear to be called twice.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._hooked: set[str] = set()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before_fork)

    def _before_fork(self) -> None:
        """Hook what the app has imported by now."""
        for name in _FINALIZERS:
            module: Any = sys.modules.get(name)
            if module is not None and name not in self._hooked:
                self._hooked.add(name)
                # The child forgets its finalizers at its start; what is registered here runs after that.
                module.register_after_fork(self, lambda ending, make=module.Finalize: ending.finalize(make))
        celery: Any = sys.modules.get("celery.signals")
        if celery is not None and "celery" not in self._hooked:
            self._hooked.add("celery")
            celery.worker_process_shutdown.connect(lambda **_: self._call(), weak=False)

    def finalize(self, make: Callable[..., Any]) -> None:
        """Stand among the child's finalizers."""
        make(None, self._call, exitpriority=10)
