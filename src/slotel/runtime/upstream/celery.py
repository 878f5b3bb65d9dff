"""What Celery says of a failure that no span carries: the signal task_failure, whose sender lists expected exceptions.

The instrumentation compares `throws` with a wrapped exception (0.66b1), and so marks every failure as an error. The
signal is public; it comes before the span of the job ends, on its thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import wrapt

_CONTROL_FLOW: Final = frozenset({"Ignore", "Reject", "Retry"})
"""Source: Celery user guide, Tasks; sentry-sdk's integration reports none of them either."""


def is_expected(task: Any, exception: BaseException | None) -> bool:
    """Whether a task lists the exception in its `throws`."""
    return isinstance(exception, tuple(getattr(task, "throws", None) or ()))


def is_control_flow(exception: BaseException | None) -> bool:
    """Whether an exception only says what becomes of the job: a worker sends the signal for `Reject`, too."""
    kinds = type(exception).__mro__
    return any(kind.__module__ == "celery.exceptions" and kind.__name__ in _CONTROL_FLOW for kind in kinds)


def watch_expected_failures(note: Callable[[], None]) -> None:
    """Call `note` in the span of a job that fails with one of its `throws`, once Celery is imported."""

    def hook(signals: Any) -> None:
        def failed(sender: Any = None, exception: BaseException | None = None, **more: Any) -> None:
            del more
            if is_expected(sender, exception):
                note()

        signals.task_failure.connect(failed, weak=False)

    wrapt.register_post_import_hook(hook, "celery.signals")
