"""Reads failures of Celery that no span has: from its signals, and from the worker's main process.

The instrumentation compares `throws` with a wrapped exception (0.66b1), and so marks every failure as an error; and
none where a task's `on_failure` raises: task_failure does not come then. Signals are public; they come before the span
of the job ends, on its thread.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import wrapt

from slotel.runtime.upstream.probe import Probe

_UTILS: Final = "opentelemetry.instrumentation.celery.utils"
_SPANS: Final = tuple(
    Probe(
        _UTILS, name,
        why="the span of a run is kept by its thread, too: a retry has the id of the run before, which may not be over",
        without="a job that another thread retries at once may be counted as excluded, though it fails",
    )
    for name in ("attach_context", "retrieve_context", "detach_context")
)  # fmt: skip
_LOST: Final = frozenset({"WorkerLostError", "TimeLimitExceeded"})
_CONTROL_FLOW: Final = frozenset({"Ignore", "Reject", "Retry"})
"""Source: Celery user guide, Tasks; sentry-sdk's integration reports none of them either."""


def raised_by_task(exception: BaseException | None) -> BaseException | None:
    """Return what a task has raised: of an exception that cannot be pickled, the signal tells of a substitute.

    It may be of a base class, or of a type that wraps any exception, and has the traceback of the one in flight.
    """
    error = sys.exc_info()[1]
    if error is None or exception is None or error.__traceback__ is not exception.__traceback__:
        return exception
    return error


def is_expected(task: Any, exception: BaseException | None) -> bool:
    """Whether a task lists the exception in its `throws`."""
    return isinstance(exception, tuple(getattr(task, "throws", None) or ()))


def is_control_flow(exception: BaseException | None) -> bool:
    """Whether an exception only says what becomes of the job: a worker sends the signal for `Reject`, too."""
    kinds = type(exception).__mro__
    return any(kind.__module__ == "celery.exceptions" and kind.__name__ in _CONTROL_FLOW for kind in kinds)


def lost_with_process(exception: BaseException | None) -> bool:
    """Whether an exception says that the process of a job is gone: killed, out of memory, over the hard time limit.

    A job that is revoked and terminated ends its span itself, but for SIGKILL.
    """
    error: Any = getattr(exception, "exc", exception)
    kind = type(error)
    is_killed = kind.__name__ == "Terminated" and error.args in ((signal.SIGKILL,), (-signal.SIGKILL,))
    return kind.__module__ == "billiard.exceptions" and (is_killed or kind.__name__ in _LOST)


def is_counted() -> bool:
    """Whether the instrumentation counts jobs."""
    module: Any = sys.modules.get("opentelemetry.instrumentation.celery")
    return module is not None and module.CeleryInstrumentor().is_instrumented_by_opentelemetry


def is_in_its_process(exception: BaseException, traceback: Any) -> bool:
    """Whether the signal `task_failure` comes from where the job ran; the worker's main process logs its failures."""
    return not isinstance(traceback, str) and not lost_with_process(exception)


def broken_by(state: str | None) -> Exception | None:
    """Return what is raised when the signal `task_postrun` comes without a state: by the task's own `on_failure`."""
    error = sys.exc_info()[1]
    return error if state is None and isinstance(error, Exception) else None


def watch_failures(expected: Callable[[], None], broken: Callable[[Exception], None]) -> None:
    """Call functions for failures of jobs, within their spans, once Celery is imported.

    Args:
        expected: called if a job fails with one of its `throws`.
        broken: told what else than the task itself has failed a job.
    """

    def hook(signals: Any) -> None:
        def failed(sender: Any = None, exception: BaseException | None = None, **more: Any) -> None:
            del more
            if is_expected(sender, raised_by_task(exception)):
                expected()

        def ended(state: str | None = None, **more: Any) -> None:
            del more
            error = broken_by(state)
            if error is not None:
                broken(error)

        signals.task_failure.connect(failed, weak=False)
        signals.task_postrun.connect(ended, weak=False)

    wrapt.register_post_import_hook(hook, "celery.signals")
    for probe in _SPANS:
        probe.wrap_on_import(_by_thread)


def _by_thread(original: Any) -> Any:
    def keyed(task: Any, task_id: Any, *args: Any, **kwargs: Any) -> Any:
        return original(task, (task_id, threading.get_ident()), *args, **kwargs)  # a greenlet's under gevent

    return keyed
