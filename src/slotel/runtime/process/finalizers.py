"""Detects whether the caller runs in a finalizer that the garbage collector has called.

On Python 3.10 and 3.11 the collector may run inside `ContextVar.set`. If a finalizer calls `set` then, the interpreter
crashes. Since 3.12 the collector runs only between bytecodes.

The callbacks of the collector are C functions. In a Python function a signal handler could run, and its exception
would be lost: a worker that its server stops by such an exception would not end.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
from typing import Any, Final

_PHASES: Final[dict[str, Any]] = {}
"""Phase → the object of its last call; the latest phase is the last key."""
_OWN: Final = threading.local()
"""The same, of this thread's collections."""
_NOTES: Final = (_PHASES.pop, _PHASES.setdefault, functools.partial(setattr, _OWN))
"""Called with `start` or `stop`, and an object that differs for each collection."""


def watch() -> None:
    """Register the callbacks, on Python before 3.12; a second call does nothing."""
    if sys.version_info < (3, 12) and _NOTES[-1] not in gc.callbacks:
        _PHASES.update(start=None, stop=None)
        gc.callbacks.extend(_NOTES)


def in_finalizer() -> bool:
    """Return whether the garbage collector runs below the caller, on this thread."""
    if not _PHASES:
        return False
    phase, told = next(reversed(_PHASES.items()), ("", None))
    return phase == "start" and getattr(_OWN, "start", None) is told
