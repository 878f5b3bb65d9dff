"""What Celery says of a failure that no span carries: the signal task_failure, whose sender lists expected exceptions.

The instrumentation compares `throws` with a wrapped exception (0.66b1), and so marks every failure as an error. The
signal is public; it comes before the span of the job ends, on its thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt


def is_expected(task: Any, exception: BaseException | None) -> bool:
    """Whether a task lists the exception in its `throws`."""
    return isinstance(exception, tuple(getattr(task, "throws", None) or ()))


def watch_expected_failures(note: Callable[[], None]) -> None:
    """Call `note` in the span of a job that fails with one of its `throws`, once Celery is imported."""

    def hook(signals: Any) -> None:
        def failed(sender: Any = None, exception: BaseException | None = None, **more: Any) -> None:
            del more
            if is_expected(sender, exception):
                note()

        signals.task_failure.connect(failed, weak=False)

    wrapt.register_post_import_hook(hook, "celery.signals")
