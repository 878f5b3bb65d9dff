"""A clock tick for what must happen without a request: breach checks, snapshots. One thread, none across a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

INTERVAL: Final = 5.0
"""Seconds between two ticks."""
_JOIN: Final = 1.0


class Ticker:
    """Calls `tick` every `interval` seconds on a daemon thread.

    The thread is stopped before a fork and started again on both sides: a prefork master forks single-threaded.
    """

    def __init__(
        self, tick: Callable[[], None], fault: Callable[[BaseException], None], interval: float = INTERVAL
    ) -> None:
        self._tick = tick
        self._fault = fault
        self._interval = interval
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._running = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._pause, after_in_parent=self._resume, after_in_child=self._resume)

    def start(self) -> None:
        """Start ticking; a second call does nothing."""
        if not self._running:
            self._running = True
            self._resume()

    def stop(self) -> None:
        """Stop ticking."""
        self._running = False
        self._pause()

    def _pause(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._stop.set()
            thread.join(_JOIN)

    def _resume(self) -> None:
        if self._running and self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stop,), name="slotel-ticker", daemon=True
            )
            self._thread.start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            try:
                self._tick()
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                self._fault(error)
