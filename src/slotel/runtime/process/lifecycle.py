"""The lifecycle of a process: calls the components at forks, ticks and exits, in the order of `TABLE`.

Only this package registers fork hooks, exit hooks, signal handlers and background threads. A component registers a
callback for each phase that its row of `TABLE` describes.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 its fork hooks hold a plain lock: registered first, it is taken last
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from slotel.runtime.logs import LOG, printable
from slotel.runtime.process import finalizers  # noqa: F401 its thread-local is the interpreter's: gevent replaces it later

FORK_WAIT: Final = 5.0
"""Seconds that a fork waits for the fork of another thread."""

Callback = Callable[[], object]


class Row(NamedTuple):
    """A component and what it does in each phase; "" for nothing."""

    component: str
    before_fork: str = ""
    after_fork_in_parent: str = ""
    after_fork_in_child: str = ""
    tick: str = ""
    before_exit: str = ""
    before_child_exit: str = ""


PHASES: Final = Row._fields[1:]
"""Before a fork and at an exit the table is read from the bottom to the top, in every other phase downwards.

`before_exit` is the interpreter's own exit. `before_child_exit` is the end of a forked child that leaves by
`os._exit`, past Python's exit hooks: multiprocessing's, billiard's and celery's children.
"""
_UPWARDS: Final = frozenset(("before_fork", "before_exit", "before_child_exit"))

TABLE: Final = (
    Row(
        "store",
        before_fork="takes the lock, so that the child's copy is whole",
        after_fork_in_parent="releases the lock",
        after_fork_in_child="counts from zero, with a new lock",
    ),
    Row("open_spans", after_fork_in_child="notes which spans are the parent's"),
    Row(
        "budget_windows",
        after_fork_in_child="forgets what the parent counted",
        tick="moves counts into their time buckets",
    ),
    Row("sentry_sender", after_fork_in_child="empties the queue, opens its own connection"),
    Row("sentry_spans", after_fork_in_child="leaves pending traces to the parent"),
    Row(
        "workers",
        before_fork="moves the counts into a file that other processes can read",
        after_fork_in_child="opens an own file at the first count",
        tick="shares exemplars, compacts the files of dead processes",
        before_exit="counts its own end, removes the runtime directory after the last process",
        before_child_exit="counts its own end",
    ),
    Row(
        "in_progress",
        after_fork_in_child="has begun nothing",
        tick="counts what dead processes have not ended, lists the requests that run for long",
    ),
    Row("sdk_metric_readers", after_fork_in_child="start from zero"),
    Row("process_metrics", after_fork_in_child="start from the parent's garbage collections"),
    Row(
        "global_registry",
        before_fork="notes the values of prometheus_client's instruments",
        after_fork_in_child="subtracts the values that were noted",
    ),
    Row("http_server_metrics", after_fork_in_child="count from zero"),
    Row(
        "app_metrics",
        before_fork="imports what every child would import",
        after_fork_in_child="publishes its own numbers",
        before_exit="publishes once more",
        before_child_exit="publishes once more",
    ),
    Row(
        "otlp_metrics",
        after_fork_in_child="has exported nothing",
        tick="exports, if this process has not yet",
        before_child_exit="exports once more",
    ),
    Row(
        "endpoint",
        before_fork="stops the thread",
        after_fork_in_parent="starts the thread",
        after_fork_in_child="closes the parent's sockets, starts a thread",
        before_exit="stops the thread, releases the port",
    ),
    Row("breaches", tick="reports objectives that are over their limit"),
    Row("recent_errors", after_fork_in_child="forgets the parent's errors"),
    Row("uncounted_traffic", tick="looks whether a port is answered and nothing counted"),
    Row(
        "uncounted_work",
        after_fork_in_child="does not look",
        tick="looks, once, whether a process that serves nothing counts nothing",
    ),
    Row(
        "shared_status",
        after_fork_in_child="forgets the parent's deliveries",
        tick="shares what the status page shows of it with the other workers",
    ),
    Row(
        "shutdown_flusher",
        before_fork="registers with multiprocessing, billiard and celery",
        before_child_exit="sends what is pending",
    ),
    Row(
        "ticker",
        before_fork="stops the thread",
        after_fork_in_parent="starts the thread with the same deadline",
        after_fork_in_child="starts a thread",
        before_exit="stops the thread",
    ),
)
_ROWS: Final = {row.component: (number, row) for number, row in enumerate(TABLE)}


class _Registered(NamedTuple):
    """A registered callback; `call` returns None if its object has been freed."""

    number: int
    component: str
    call: Callable[[], Callback | None]


class ProcessLifecycle:
    """Calls the components' callbacks in the order of `TABLE`. A fault in one does not stop the others.

    Bound methods are referenced weakly: the callbacks of a freed component are no longer called.
    """

    def __init__(self) -> None:
        self.fault: Callable[[str, BaseException], None] = _log_fault
        """Called with component and exception."""
        self.fork_waits = False
        """Whether a fork is waiting: long work of a tick stops and continues at the next one."""
        self._registered: dict[str, tuple[_Registered, ...]] = dict.fromkeys(PHASES, ())
        self._lock = threading.RLock()
        self._forking = threading.RLock()
        self._hooked = False

    def register(self, component: str, **callbacks: Callback) -> None:
        """Register callbacks by phase.

        Raises:
            ValueError: the table has no such row, or the row names no such phase.
        """
        number, row = _ROWS.get(component, (0, Row("")))
        for phase in callbacks:
            if phase not in PHASES or not getattr(row, phase):
                raise ValueError(f"lifecycle: TABLE does not say what {component!r} does at {phase!r}")
        with self._lock:
            for phase, callback in callbacks.items():
                added = _Registered(number, component, _reference(callback))
                alive = [each for each in self._registered[phase] if each.call() is not None]
                self._registered[phase] = tuple(sorted((*alive, added), key=lambda each: each.number))
            self.hook()

    def run(self, phase: str) -> None:
        """Call every callback of a phase, even if others fail."""
        registered = self._registered[phase]
        interrupt: BaseException | None = None
        for each in reversed(registered) if phase in _UPWARDS else registered:
            call = each.call()
            if call is None:
                continue
            try:
                call()
            except Exception as error:  # noqa: BLE001 a fork, a tick and an exit are the app's
                self.fault(each.component, error)
            except BaseException as error:  # noqa: BLE001 KeyboardInterrupt: raised again when all were called
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def tick(self) -> None:
        """Run the phase `tick`."""
        self.run("tick")

    def end_child(self) -> None:
        """Run the phase `before_child_exit`."""
        self.run("before_child_exit")

    def hook(self) -> None:
        """Register with the interpreter, once.

        Before the SDK does: its fork hooks run code in the child, which may wait for a lock that is made anew here.
        """
        if self._hooked:
            return
        self._hooked = True
        atexit.register(self.run, "before_exit")
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork_in_parent,
                after_in_child=self._after_fork_in_child,
            )

    def _before_fork(self) -> None:
        """Serialise forks: a fork of another thread would stop threads that this one is starting."""
        self.fork_waits = True
        self._forking.acquire(timeout=FORK_WAIT)
        self.run("before_fork")

    def _after_fork_in_parent(self) -> None:
        self.fork_waits = False
        try:
            self.run("after_fork_in_parent")
        finally:
            with suppress(RuntimeError):  # not taken within FORK_WAIT
                self._forking.release()

    def _after_fork_in_child(self) -> None:
        """Also called without `before_fork`, by uWSGI."""
        self._lock, self._forking = threading.RLock(), threading.RLock()
        self.fork_waits = False
        self.run("after_fork_in_child")


def _reference(callback: Callback) -> Callable[[], Callback | None]:
    if hasattr(callback, "__self__") and hasattr(callback, "__func__"):
        return weakref.WeakMethod(callback)
    return lambda: callback


def _log_fault(component: str, error: BaseException) -> None:
    LOG.error(
        "%s: %s: %s (the application is not affected)", component, type(error).__name__, printable(error)
    )


PROCESS: Final = ProcessLifecycle()
"""The lifecycle of this process."""


def table_as_markdown() -> str:
    """Return the table for docs/architecture.md."""
    head = ("component", *(phase.replace("_", " ") for phase in PHASES))
    rows = ((f"`{row.component}`", *(getattr(row, phase) or "–" for phase in PHASES)) for row in TABLE)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))
