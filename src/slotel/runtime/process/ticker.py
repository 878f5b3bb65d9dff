"""Runs periodic work, such as breach checks, on one thread, which is stopped during a fork."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.process.threads import ForkSafeThread

INTERVAL: Final = 5.0
"""Seconds between two ticks."""


class Ticker:
    """Calls `tick`, which must not raise, every `interval` seconds on a daemon thread, whatever forks meanwhile."""

    def __init__(self, tick: Callable[[], None] = PROCESS.tick, interval: float = INTERVAL) -> None:
        self._tick = tick
        self._interval = interval
        self._due = time.monotonic() + interval
        self._thread = ForkSafeThread("slotel-ticker", self._run)
        PROCESS.register(
            "ticker",
            before_fork=self._thread.pause,
            after_fork_in_parent=self._thread.resume,
            after_fork_in_child=self._begin_in_child,
            before_exit=self.stop,
        )

    def start(self) -> None:
        """Start ticking; a second call does nothing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop ticking."""
        self._thread.stop()

    def _begin_in_child(self) -> None:
        self._due = time.monotonic() + self._interval
        self._thread.resume_in_child()

    def _run(self, stop: threading.Event) -> None:
        """Tick when it is due, even if the thread is to stop already: forks may follow each other faster than ticks."""
        while True:
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + self._interval
                self._tick()
            if stop.wait(max(self._due - time.monotonic(), 0.0)):
                return
