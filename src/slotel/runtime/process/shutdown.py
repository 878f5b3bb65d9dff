"""The end of a process: what is held leaves in time, also when a child ends early, or an unhandled SIGTERM ends it.

Knows the parts that can be sent and the moment, not what they hold. A normal end needs none of this: there Python's
own exit hooks run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from _thread import (
    allocate_lock,
    start_new_thread,
)  # of before any monkey-patching, and without threading's locks
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from opentelemetry import metrics

from slotel.runtime.process.child_exit_hooks import ChildExitHook
from slotel.runtime.process.sigterm import after_resets
from slotel.runtime.tracing.sink import Sink

FLUSH_TIME: Final = 2.0
"""Seconds that leaving may take, where Sentry's `shutdown_timeout` says nothing else."""

Part = Callable[[float], object]
"""Sends what it holds within so many seconds."""


class ShutdownFlusher:
    """Sends what all parts hold, at the same time, so that one that hangs takes nothing from the others.

    Args:
        parts: gives them; called on the thread that ends, takes no lock.
        seconds: gives the time that all of it may take.
    """

    def __init__(
        self, parts: Callable[[], Iterable[Part]], seconds: Callable[[], float] = lambda: FLUSH_TIME
    ) -> None:
        self._parts = parts
        self._seconds = seconds
        self._ending: ChildExitHook | None = None

    def leave(self) -> None:
        """Send what is held and return within the flush time; never raises. Takes no lock that the app may hold."""
        seconds = self._seconds()
        deadline = time.monotonic() + seconds
        waits = []
        for part in self._parts() if seconds > 0 else ():
            busy = allocate_lock()
            busy.acquire()
            with suppress(RuntimeError):  # no more threads: what this part holds is lost
                start_new_thread(_run, (part, seconds, busy.release))
                waits.append(busy)
        for busy in waits:
            busy.acquire(timeout=max(deadline - time.monotonic(), 0.0))

    def prepare(self, *, handle_sigterm: bool) -> None:
        """Let nothing be lost when a child ends by `os._exit`, or an unhandled SIGTERM ends the process.

        Args:
            handle_sigterm: False leaves the signal to whoever it belongs to, also in children.
        """
        self._ending = ChildExitHook(self.leave)
        if handle_sigterm:
            self.take_sigterm()
            after_resets(self.take_sigterm)

    def take_sigterm(self) -> None:
        """Leave before SIGTERM ends the process, if nobody else handles it; a later handler takes our place.

        Only where SIGTERM would end the process at once. Called elsewhere than on the main thread, does nothing.
        """
        with suppress(ValueError):  # not the main thread
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and os.name == "posix":
                signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, number: int, frame: Any) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        try:
            self.leave()
        finally:
            os.kill(os.getpid(), number)
            if os.getpid() == 1:  # the kernel spares a container's first process, as it did without slotel
                signal.signal(number, self._on_sigterm)


def flush_time(options: Mapping[str, Any]) -> float:
    """Return the seconds that leaving may take, by the options of the Sentry client."""
    told = options.get("shutdown_timeout")
    return FLUSH_TIME if told is None else float(told)


def parts_of(sinks: Iterable[Sink]) -> Iterator[Part]:
    """Yield what a process with these sinks holds: spans and errors, and what the SDK's other providers push."""
    for sink in sinks:
        yield partial(_leave_sink, sink)
    yield _flush_metrics
    yield _flush_logs


def _leave_sink(sink: Sink, seconds: float) -> None:
    sink.flush(seconds)
    if os.getpid() != 1:  # which may well go on
        sink.shutdown()


def _flush_metrics(seconds: float) -> None:
    _flush(metrics.get_meter_provider(), seconds)


def _flush_logs(seconds: float) -> None:
    module = sys.modules.get("opentelemetry._logs")
    if module is not None:
        _flush(module.get_logger_provider(), seconds)


def _flush(provider: Any, seconds: float) -> None:
    force_flush = getattr(provider, "force_flush", None)  # the API's own providers have none
    if force_flush is not None:
        force_flush(int(seconds * 1000))


def _run(part: Part, seconds: float, done: Callable[[], object]) -> None:
    try:
        with suppress(Exception):  # each part may fail alone, and the process ends anyway
            part(seconds)
    finally:
        done()
