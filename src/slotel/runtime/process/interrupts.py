"""Detects exceptions that a signal handler of the app raises inside slotel's code.

A timeout decorator and Celery's soft time limit raise from a signal handler. Code that guards the app against faults of
slotel must let such an exception pass.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import CodeType
from typing import Any


def comes_from_handler(error: BaseException) -> bool:
    """Return whether the traceback has a frame of an installed signal handler.

    Python runs signal handlers on the main thread only.
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
