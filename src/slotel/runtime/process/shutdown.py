"""Flushes pending telemetry when a forked child ends by `os._exit`, or SIGTERM ends the process.

A normal exit does not need it: Python's exit hooks run then.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
import weakref
from _thread import (
    allocate_lock,
    start_new_thread,
)  # of before any monkey-patching, and without threading's locks
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.upstream.servers import after_sigterm_resets
from slotel.runtime.upstream.stdlib import finalize_children

FLUSH_TIME: Final = 2.0
"""Seconds that the last flush may take, unless Sentry's `shutdown_timeout` says otherwise."""

_FORKING: Final = ("multiprocessing.util", "billiard.util", "celery.signals")
"""Modules with exit hooks of their own for such children."""

FlushHook = Callable[[float], object]
"""Sends what is pending within so many seconds."""


class ShutdownFlusher:
    """Runs all flush hooks.

    Args:
        hooks: returns the hooks; called on the thread that ends the process, takes no lock.
        seconds: returns the time that all of them may take together.
    """

    def __init__(
        self, hooks: Callable[[], Iterable[FlushHook]], seconds: Callable[[], float] = lambda: FLUSH_TIME
    ) -> None:
        self._hooks = hooks
        self._seconds = seconds
        self._hooked: set[str] = set()

    def flush_all(self) -> None:
        """Flush, and return within the flush time. Never raises, and takes no lock that the app may hold."""
        seconds = self._seconds()
        if seconds > 0:
            run_at_once(tuple(self._hooks()), seconds)

    def prepare(self, *, handle_sigterm: bool) -> None:
        """Flush when a child ends by `os._exit`, and, if asked to, before an unhandled SIGTERM ends the process."""
        EXIT.watch()
        PROCESS.register(
            "shutdown_flusher", before_fork=self._watch_children, before_child_exit=self.flush_all
        )
        if handle_sigterm:
            self.take_sigterm()
            after_sigterm_resets(self.take_sigterm)

    def _watch_children(self) -> None:
        """Register with what forks children that end by `os._exit`, as soon as the app has imported it."""
        for name in _FORKING:
            module: Any = sys.modules.get(name)
            if module is None or name in self._hooked:
                continue
            self._hooked.add(name)
            if name == "celery.signals":
                module.worker_process_shutdown.connect(lambda **_: PROCESS.end_child(), weak=False)
            else:
                finalize_children(module, self, PROCESS.end_child)

    def take_sigterm(self) -> None:
        """Handle SIGTERM if it has its default action: flush, then let it end the process.

        A handler that is set later replaces this one. Does nothing outside of the main thread.
        """
        with suppress(ValueError):  # not the main thread
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and os.name == "posix":
                signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, number: int, frame: Any) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        try:
            self.flush_all()
        finally:
            os.kill(os.getpid(), number)
            if os.getpid() == 1:  # the kernel spares a container's first process, as it did without slotel
                signal.signal(number, self._on_sigterm)


def flush_time(options: Mapping[str, Any]) -> float:
    """Return the seconds that the last flush may take: `shutdown_timeout` of the Sentry client's options."""
    told = options.get("shutdown_timeout")
    return FLUSH_TIME if told is None else float(told)


class ExitClock:
    """One time limit for all flushes of an exit: those of the Sentry client and of the sinks.

    It begins after pending data was computed: plain sentry-sdk has computed it before the exit, on the app's threads.
    """

    def __init__(self) -> None:
        self._exiting = 0
        """Process id."""
        self._first: float | None = None
        self._computing: list[weakref.WeakMethod[Callable[[], object]]] = []

    def compute_first(self, method: Callable[[], object]) -> None:
        """Call a bound method, which limits its own time, before the flush time of an exit begins."""
        self._computing = [each for each in self._computing if each() is not None]
        self._computing.append(weakref.WeakMethod(method))

    def watch(self) -> None:
        """Register an exit hook that notes the exit; it runs before the hooks that were registered earlier."""
        atexit.unregister(self.note)
        atexit.register(self.note)

    def note(self) -> None:
        """Note that the interpreter exits."""
        if not self.has_begun:
            self._exiting, self._first = os.getpid(), None

    @property
    def has_begun(self) -> bool:
        """Whether the interpreter exits."""
        return self._exiting == os.getpid()

    def deadline(self, seconds: float) -> float:
        """Return the end of a flush of so many seconds; at an exit they are counted from the first flush."""
        if not self.has_begun:
            return time.monotonic() + seconds
        if self._first is None:
            for each in self._computing:
                compute = each()
                if compute is not None:
                    with suppress(Exception):  # what cannot be computed is counted as lost by its queue
                        compute()
            self._first = time.monotonic()
        return self._first + seconds


EXIT: Final = ExitClock()
"""The clock of this process's exit."""


def run_at_once(hooks: Sequence[FlushHook], seconds: float) -> None:
    """Run flush hooks in parallel, so that one that hangs does not delay the others; return within `seconds`."""
    deadline = time.monotonic() + seconds
    waits = []
    for hook in hooks:
        busy = allocate_lock()
        busy.acquire()
        with suppress(RuntimeError):  # no more threads: what this hook would send is lost
            start_new_thread(_run, (hook, seconds, busy.release))
            waits.append(busy)
    for busy in waits:
        busy.acquire(timeout=max(deadline - time.monotonic(), 0.0))


def _run(hook: FlushHook, seconds: float, done: Callable[[], object]) -> None:
    try:
        with suppress(Exception):  # each may fail alone, and the process ends anyway
            hook(seconds)
    finally:
        done()
