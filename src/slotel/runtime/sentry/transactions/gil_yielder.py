"""Whose turn it is with the interpreter's lock: the worker computes without a wait, and requests must not notice.

Python takes the lock from a thread that computes only after 5 ms, and a request that reads, writes and locks asks for
it several times. So the worker lets go by itself, often. Where the main thread never rests it does not: each time it
would wait 5 ms to go on, and there each compression does.
"""

from __future__ import annotations

import time
from typing import Final

COMPUTE_TIME: Final = 0.001
"""Seconds that the worker computes at a stretch; one transaction may take longer."""
SLEEP_TIME: Final = 0.00005
"""Seconds it sleeps then. Not 0: a thread that waits needs a moment to wake, and to take the lock."""
CONTENDED_ABOVE: Final = 4.0
CONTENDED_UNTIL: Final = 1.5
"""Time to CPU time of a drain: above the one the lock is contended, until it is below the other."""
MIN_TRACES: Final = 8
"""Traces in a drain that tell."""


class GilYielder:
    """What one thread knows of the lock.

    Args:
        turn: seconds that it computes at a stretch.

    Attributes:
        contended: the main thread never rests; then neither rest nor compress.
    """

    def __init__(self, turn: float = COMPUTE_TIME) -> None:
        self.contended = False
        self._length = turn
        self.begin()

    def begin(self) -> None:
        """Begin a drain, and a turn."""
        self._clock = self._turn = time.perf_counter()
        self._cpu = time.thread_time()

    def yield_gil(self) -> None:
        """Let requests in, if the turn is over."""
        now = time.perf_counter()
        if self.contended or now - self._turn < self._length:
            return
        time.sleep(SLEEP_TIME)
        self._turn = time.perf_counter()

    def judge(self, traces: int) -> None:
        """Learn from a drain that built so many traces."""
        if traces < MIN_TRACES:
            return
        elapsed = time.perf_counter() - self._clock
        waited = elapsed / max(time.thread_time() - self._cpu, 1e-6)
        self.contended = waited > (CONTENDED_UNTIL if self.contended else CONTENDED_ABOVE)
