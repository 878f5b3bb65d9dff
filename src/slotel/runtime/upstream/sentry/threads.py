"""sentry-sdk's integration of threads: a thread that gets the scopes of its starter gets the starter's span, too.

Under plain sentry-sdk the span is part of the scope. Under slotel it is OpenTelemetry's, and the integration calls the
function below the wrapper that OpenTelemetry's instrumentation of threads puts around it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Final

from opentelemetry.context import Context, attach, detach, get_current

from slotel.runtime.upstream.probe import Probe

_WRAP_RUN: Final = Probe(
    "sentry_sdk.integrations.threading", "_wrap_run",
    why="a thread continues the span of the thread that starts it",
    without="spans and errors of threads are in traces of their own",
)  # fmt: skip


def continue_spans_in_threads() -> None:
    """Have a thread continue the span of its starter; not with `ThreadingIntegration(propagate_scope=False)`."""
    _WRAP_RUN.load()
    _WRAP_RUN.wrap_imported(_wrap)


def _wrap(original: Callable[..., Any]) -> Callable[..., Any]:
    def wrap_run(isolation: Any, current: Any, run: Callable[..., Any]) -> Callable[..., Any]:
        made: Callable[..., Any] = original(isolation, current, run)  # reports what `run` raises
        return made if isolation is None else _within(get_current(), made)

    return wrap_run


def _within(context: Context, run: Callable[..., Any]) -> Callable[..., Any]:
    def run_within(*given: Any, **named: Any) -> Any:
        token = attach(context)
        try:
            return run(*given, **named)
        finally:
            detach(token)

    return update_wrapper(run_within, run)
