"""sentry-sdk's integration of threads: a thread that gets the scopes of its starter gets the starter's span, too.

Under plain sentry-sdk the span is part of the scope. Under slotel it is OpenTelemetry's, and the integration calls the
function below the wrapper that OpenTelemetry's instrumentation of threads puts around it. A thread of a pool would
continue the span in which the pool has started it, so each task continues the span in which it was submitted.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import update_wrapper
from typing import Any, Final

import sentry_sdk
from opentelemetry.context import Context, attach, detach, get_current

from slotel.runtime.upstream.probe import Probe, unwrapped

_WRAP_RUN: Final = Probe(
    "sentry_sdk.integrations.threading", "_wrap_run",
    why="a thread continues the span of the thread that starts it",
    without="spans and errors of threads are in traces of their own",
)  # fmt: skip
_SUBMIT: Final = Probe(
    "concurrent.futures.thread:ThreadPoolExecutor", "submit",
    why="a task of a pool continues the span in which it was submitted",
    without="spans and errors of a pool's tasks are in the trace in which the pool has started its thread",
)  # fmt: skip
_INTEGRATION: Final = "threading"


def continue_spans_in_threads() -> None:
    """Have threads and tasks continue a span; not with `ThreadingIntegration(propagate_scope=False)`."""
    _WRAP_RUN.load()
    _WRAP_RUN.wrap_imported(_wrap)
    submit = _SUBMIT.of(ThreadPoolExecutor)
    if unwrapped(submit) is submit:  # else others' wrappers may stand around it
        _SUBMIT.wrap_imported(_wrap_submit)


def _wrap(original: Callable[..., Any]) -> Callable[..., Any]:
    def wrap_run(isolation: Any, current: Any, run: Callable[..., Any]) -> Callable[..., Any]:
        made: Callable[..., Any] = original(isolation, current, run)  # reports what `run` raises
        return made if isolation is None else update_wrapper(_within(get_current(), made), made)

    return wrap_run


def _wrap_submit(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit(pool: Any, task: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        integration = sentry_sdk.get_client().get_integration(_INTEGRATION)
        if getattr(integration, "propagate_scope", False):
            task = _within(get_current(), task)
        return original(pool, task, *given, **named)

    return submit


def _within(context: Context, run: Callable[..., Any]) -> Callable[..., Any]:
    def run_within(*given: Any, **named: Any) -> Any:
        token = attach(context)
        try:
            return run(*given, **named)
        finally:
            detach(token)

    return run_within
