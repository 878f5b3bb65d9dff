"""Whether the caller is a finalizer that the garbage collector runs.

On Python 3.10 and 3.11 the collector may run inside `ContextVar.set`, and another `set` in a finalizer then frees what
the first one still reads: the interpreter crashes. Since 3.12 the collector runs between two bytecodes only.

What notes a collection is written in C throughout: a signal handler runs between two bytecodes, and what it raises in a
function that the collector calls is lost. A worker that its server stops by an exception would live on.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
from typing import Any, Final

_PHASES: Final[dict[str, Any]] = {}
"""What the collector told last of each phase; the last phase is the last key."""
_OWN: Final = threading.local()
"""The same, of this thread's collections."""
_NOTES: Final = (_PHASES.pop, _PHASES.setdefault, functools.partial(setattr, _OWN))
"""Called with `start` or `stop` and an object that is another one for each call of the collector."""


def watch() -> None:
    """Begin to know; a second call does nothing. Where there is nothing to fear, nothing is watched."""
    if sys.version_info < (3, 12) and _NOTES[-1] not in gc.callbacks:
        _PHASES.update(start=None, stop=None)
        gc.callbacks.extend(_NOTES)


def in_finalizer() -> bool:
    """Return whether the garbage collector runs below the caller, on this thread."""
    if not _PHASES:
        return False
    phase, told = next(reversed(_PHASES.items()), ("", None))
    return phase == "start" and getattr(_OWN, "start", None) is told
