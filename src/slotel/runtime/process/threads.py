"""slotel's background threads: daemons, started here only. Threads that loop are stopped during a fork."""

from __future__ import annotations

import inspect
import os
import queue
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, Final

from slotel.runtime.process.lifecycle import PROCESS

_JOIN: Final = 1.0
"""Seconds for which a fork or a stop waits for a thread in the middle of its work."""


class _Begun(threading.Event):
    """The event that `Thread.start` waits for, without the wait.

    A thread that starts another one would release the GIL until the new one runs: milliseconds on a busy machine, in
    the middle of an app's fork or span.
    """

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        del timeout
        return True


class _Daemon(threading.Thread):
    """A thread that does not inherit the Sentry scope and the span of the thread that starts it.

    sentry-sdk and the threading instrumentation wrap `Thread.start` and `Thread.run` to propagate them, which also
    costs each fork half a millisecond for each restarted thread.
    """

    def __init__(self, target: Callable[..., object], args: tuple[Any, ...], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work = target, args
        self._begun: _Begun | None = None
        if isinstance(getattr(self, "_started", None), threading.Event):  # else starting waits
            self._started = self._begun = _Begun()

    def start(self) -> None:
        """Start the thread by the standard library's own function; do not wait until it runs."""
        inspect.unwrap(threading.Thread.start)(self)

    def run(self) -> None:
        """Do the work. A peer that hangs up is an error of the write, also where the app gives SIGPIPE its default."""
        is_own = not _is_patched()  # a greenlet runs on the app's own thread
        if is_own and hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGPIPE,))
        target, args = self._work
        target(*args)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended."""
        until = None if timeout is None else time.monotonic() + timeout
        if self.wait_until_begun(timeout):
            super().join(None if until is None else max(until - time.monotonic(), 0.0))

    def wait_until_begun(self, timeout: float | None) -> bool:
        """Wait until the thread runs; return whether it does."""
        # not `threading.Event.wait`: after its patching that is gevent's, which ends the process if given another class
        return self._begun is None or super(_Begun, self._begun).wait(timeout)

    def is_alive(self) -> bool:
        """Return whether the thread has been started and has not ended."""
        return super().is_alive() or (self._begun is not None and not self._begun.is_set())


def start_daemon(name: str, target: Callable[..., object], *args: Any) -> threading.Thread:
    """Start a daemon thread.

    Raises:
        RuntimeError: the system has no thread left.
    """
    thread = _Daemon(target, args, name)
    thread.start()
    return thread


def tokens_for(present: Any) -> queue.SimpleQueue[None]:
    """Return a queue that a thread that starts now can wait for.

    gevent patches a gunicorn worker after its fork. The new thread is a greenlet then, and waiting for a queue made
    before would block every greenlet of the worker.
    """
    return present if isinstance(present, queue.SimpleQueue) else queue.SimpleQueue()


def _is_patched() -> bool:
    gevent: Any = sys.modules.get("gevent.monkey")
    return gevent is not None and bool(gevent.is_module_patched("threading"))


def pause_all() -> None:
    """Stop the looping threads, as before a fork; `resume_all` starts them again."""
    for each in list(_LOOPING):
        each.pause()


def resume_all() -> None:
    """Start the threads that `pause_all` has stopped.

    Forked children start theirs after the hooks that were registered until now: gevent's wants to find no other thread.
    """
    for each in list(_LOOPING):
        each.resume()
    if not ForkSafeThread.starts_last and hasattr(os, "register_at_fork"):
        ForkSafeThread.starts_last = True
        os.register_at_fork(after_in_child=_start_held)


def _start_held() -> None:
    while _HELD:
        thread = _HELD.pop(0)
        try:
            thread.start()
        except Exception as error:  # noqa: BLE001 a fork is the app's, and the other threads start all the same
            PROCESS.fault(thread.name, error)


class ForkSafeThread:
    """A daemon thread that is stopped before a fork and started again after it, so that a prefork master forks alone.

    Register `pause`, `resume` and `resume_in_child` with the lifecycle. Thread-safe. A fork on the thread itself does
    not stop it.

    Args:
        run: the thread's work; must return soon after its argument is set.
        interrupt: wakes `run` if it waits for something other than its argument.
    """

    starts_last: ClassVar = False
    """Whether forked children start it after the hooks of what has patched the standard library."""

    def __init__(
        self, name: str, run: Callable[[threading.Event], None], interrupt: Callable[[], None] = lambda: None
    ) -> None:
        self.name, self._run, self._interrupt = name, run, interrupt
        self._begin()
        self._wanted = False
        _LOOPING.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._leaving = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_current(self) -> bool:
        """Return whether the caller runs on this thread."""
        return self._thread is threading.current_thread()

    def start(self) -> None:
        """Start the thread; a second call does nothing. Raises RuntimeError if the system has no thread left."""
        self._wanted = True
        self.resume()
        self._wait_until_it_runs()

    def stop(self) -> None:
        """Stop the thread; `resume` does not start it again."""
        self._wanted = False
        self.pause()

    def pause(self) -> bool:
        """Stop the thread and wait for its end, at most a second; return whether it has ended."""
        with self._lock:
            thread = self._thread
            if thread is None:
                return True
            if thread is threading.current_thread():
                return False
            self._stop.set()
            self._interrupt()
            thread.join(_JOIN)
            if thread.is_alive():
                return False
            self._thread = None
            return True

    def resume(self) -> None:
        """Start the thread again, unless it runs or `stop` was called. One that has not stopped in time goes on."""
        with self._lock, self._leaving:
            if self._wanted and self._thread is not None:
                self._stop.clear()
            elif self._wanted:
                self._stop = threading.Event()
                self._thread = start_daemon(self.name, self._work, self._stop)

    def _work(self, stop: threading.Event) -> None:
        while True:
            self._run(stop)
            with self._leaving:
                if stop.is_set():
                    self._thread = None
                    return

    def resume_in_child(self) -> None:
        """Start a thread in a forked child, which has none of its parent's threads."""
        self._begin()
        if self._wanted and self.starts_last:
            _HELD.append(self)
        elif self._wanted:
            self.start()

    def _wait_until_it_runs(self) -> None:
        """Wait as `Thread.start` does: gevent reads the list of threads without a lock when a worker begins.

        A thread that enters the list then ends the worker. In a process that gevent has patched a thread is a greenlet,
        which enters it only when asked; a fork's parent goes on, and is not asked to wait.
        """
        thread = self._thread
        if isinstance(thread, _Daemon) and thread is not threading.current_thread() and not _is_patched():
            thread.wait_until_begun(_JOIN)


_LOOPING: Final[weakref.WeakSet[ForkSafeThread]] = weakref.WeakSet()
_HELD: Final[list[ForkSafeThread]] = []
"""In a child: what has not started yet."""
