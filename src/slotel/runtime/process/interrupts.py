"""Whether an exception was raised by a signal handler of the app's, in the middle of slotel's work.

A timeout decorator and Celery's soft time limit raise from a handler, wherever the interpreter stands. What guards the
app against slotel's own faults must let that through: the app waits for it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import CodeType
from typing import Any


def comes_from_handler(error: BaseException) -> bool:
    """Return whether a frame of a signal handler that stands now is in the traceback: below whoever caught it.

    Python runs handlers on the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    trace = error.__traceback__
    handlers = frozenset(_handlers())
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _handlers() -> Iterator[CodeType]:
    for number in range(1, signal.NSIG):
        try:
            handler: Any = signal.getsignal(number)
        except ValueError:  # no signal of this number
            continue
        if callable(handler) and not isinstance(handler, int):
            yield from _codes(handler)


def _codes(handler: Any) -> Iterator[CodeType]:
    """Yield the code of a function, of what a partial calls, of an object that can be called."""
    handler = getattr(handler, "func", handler)
    for called in (handler, getattr(handler, "__func__", None), vars(type(handler)).get("__call__")):
        code = getattr(called, "__code__", None)
        if isinstance(code, CodeType):
            yield code
