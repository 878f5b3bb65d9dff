"""Whether the caller is a finalizer that the garbage collector runs.

On Python 3.10 and 3.11 the collector may run inside `ContextVar.set`, and another `set` in a finalizer then frees what
the first one still reads: the interpreter crashes. Since 3.12 the collector runs between two bytecodes only.
"""

from __future__ import annotations

import gc
import sys
from threading import get_ident
from typing import Any, Final

_COLLECTING: Final[list[int]] = []
"""The thread that collects; at most one does."""


def watch() -> None:
    """Begin to know; a second call does nothing. Where there is nothing to fear, nothing is watched."""
    if sys.version_info < (3, 12) and _note not in gc.callbacks:
        gc.callbacks.append(_note)


def in_finalizer() -> bool:
    """Return whether the garbage collector runs below the caller, on this thread."""
    return bool(_COLLECTING) and get_ident() in _COLLECTING


def _note(phase: str, info: Any) -> None:
    del info
    _COLLECTING[:] = (get_ident(),) if phase == "start" else ()
