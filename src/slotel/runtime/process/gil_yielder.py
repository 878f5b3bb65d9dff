"""Releases the GIL often in a thread that computes, so that requests do not wait for it.

Python takes the GIL from a computing thread only after 5 ms, and a request needs it several times: after each read,
write and lock. So the worker releases it by itself. If the main thread is always busy, the worker does not: it would
wait 5 ms each time to get the GIL back, and so would each compression.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

COMPUTE_TIME: Final = 0.001
"""Seconds of computing after which the GIL is released; a single transaction may take longer."""
SLEEP_TIME: Final = 0.00005
"""Seconds of sleep. Not 0: a waiting thread needs a moment to wake and to take the GIL."""
CONTENDED_ABOVE: Final = 4.0
CONTENDED_UNTIL: Final = 1.5
"""Ratio of elapsed time to CPU time of a drain: the GIL is contended above the first, until it is below the second."""
MIN_TRACES: Final = 8
"""Least traces of a drain whose ratio is used."""

_OF_THREADS: Final[dict[int, Callable[[], None]]] = {}
"""By thread: what releases the GIL for it, if it is time to."""


def yield_gil() -> None:
    """Release the GIL, if it is time to, on a thread within `yielding`: others may run meanwhile.

    Code that computes for long, also on threads of the app's, calls it after each portion of its work.
    """
    release = _OF_THREADS.get(threading.get_ident())
    if release is not None:
        release()


@contextmanager
def yielding(release: Callable[[], None]) -> Iterator[None]:
    """Let `yield_gil` call a function on this thread."""
    thread = threading.get_ident()
    _OF_THREADS[thread] = release
    try:
        yield
    finally:
        _OF_THREADS.pop(thread, None)


class GilYielder:
    """Releases the GIL for one thread.

    Args:
        turn: seconds of computing after which the GIL is released.

    Attributes:
        contended: the main thread is always busy: `yield_gil` does nothing, and nothing should be compressed.
    """

    def __init__(self, turn: float = COMPUTE_TIME) -> None:
        self.contended = False
        self._length = turn
        self.begin()

    def begin(self) -> None:
        """Begin a drain."""
        self._clock = self._turn = time.perf_counter()
        self._cpu = time.thread_time()

    def yield_gil(self) -> None:
        """Release the GIL if it is time to."""
        now = time.perf_counter()
        if self.contended or now - self._turn < self._length:
            return
        time.sleep(SLEEP_TIME)
        self._turn = time.perf_counter()

    def judge(self, traces: int) -> None:
        """Update `contended` after a drain that built so many traces."""
        if traces < MIN_TRACES:
            return
        elapsed = time.perf_counter() - self._clock
        waited = elapsed / max(time.thread_time() - self._cpu, 1e-6)
        self.contended = waited > (CONTENDED_UNTIL if self.contended else CONTENDED_ABOVE)
