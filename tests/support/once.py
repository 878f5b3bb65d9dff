"""What takes minutes to make is made by one process; those beside it wait, and find it made."""

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache"


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold a lock over all processes of this checkout.

    The time limit of the test (pytest-timeout's timer) stands still: a cold build on a busy machine takes longer, and has its own.
    """
    CACHE.mkdir(exist_ok=True)
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        with (CACHE / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
