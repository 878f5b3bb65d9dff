"""The error hooks of Flask, Django, Celery and Starlette, which cost a successful request nothing.

Each replaces sentry-sdk's own integration (it has the same identifier), which would wrap every request, for 270 to
400 µs. A later `sentry_sdk.init` of the app finds the identifier in use and does not wrap either. A framework is hooked
when it is imported, and never imported from here. All others have sentry-sdk's own integration, see `integrations.py`.
"""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Final

import sentry_sdk
import wrapt
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations import logging as sentry_logging
from sentry_sdk.scope import add_global_event_processor

from slotel.runtime.requests.decision import answer_of, is_client_disconnect
from slotel.runtime.sentry.errors.capture import capture
from slotel.runtime.sentry.errors.integrations import SET_UP
from slotel.runtime.sentry.errors.request import add_framework_data
from slotel.runtime.sentry.errors.request_scopes import note_details
from slotel.runtime.sentry.transport.modules import MODULES
from slotel.runtime.upstream.frameworks import django, starlette
from slotel.runtime.upstream.frameworks.django import note_requests, note_rest_requests
from slotel.runtime.upstream.frameworks.starlette import keep_bodies, report_exceptions
from slotel.runtime.upstream.jobs.celery import (
    broken_by,
    is_control_flow,
    is_expected,
    is_in_its_process,
    raised_by_task,
)
from slotel.runtime.upstream.sentry.integrations import note_subprocesses

_OWN: Final = ("slotel", "slotel.*", "opentelemetry.*")
_SERVER_ERRORS: Final = range(500, 600)
_DUPLICATING_LOGGERS: Final = (
    "django.request",
    "django.server",
    "tornado.access",
    "celery.worker.job",
    "celery.app.trace",
    "celery.redirected",
    *_OWN,
)
"""Loggers that repeat an exception which is reported anyway, or log about telemetry itself."""

_MONITORED: Final = "sentry-monitor-slug"
_SENT_AT: Final = "sentry-monitor-start-timestamp-s"
"""Headers of a task. Source: sentry-sdk, integrations/celery/beat.py, which writes the first and reads both."""


class _Replacement(Integration):
    """Has the identifier of one of sentry-sdk's integrations, in whose place it sets `hook` up."""

    hook: ClassVar[Callable[[], object]]

    @classmethod
    def setup_once(cls) -> None:
        """Set the hook up."""
        SET_UP.add(cls.identifier)
        cls.hook()

    def __getattr__(self, name: str) -> None:
        """Return None for any option of sentry-sdk's own integration, parts of which may be active and read them."""
        if name.startswith("__"):
            raise AttributeError(name)


def _wait_for_django() -> None:
    note_requests(partial(note_details, "django"))
    note_rest_requests()
    django.add_to_templates(partial(_trace_meta, "django", "sentry_trace_meta"))
    wrapt.register_post_import_hook(_hook_django, "django.core.signals")


def _wait_for_starlette() -> None:
    report_exceptions(_report_starlette)
    keep_bodies()
    starlette.add_to_templates(partial(_trace_meta, "starlette", "sentry_trace_meta"))


def _mark_modules() -> None:
    """Mark events that list the installed packages, as sentry-sdk's own integration does; they are filled in later."""

    @add_global_event_processor
    def note(event: Any, hint: Any) -> Any:
        del hint
        if event.get("type") is None and _is_on("modules"):
            event.setdefault(MODULES, {})
        return event


_HOOKS: Final[dict[str, Callable[[], object]]] = {
    "flask": lambda: wrapt.register_post_import_hook(_hook_flask, "flask.signals"),
    "django": _wait_for_django,
    "celery": lambda: wrapt.register_post_import_hook(_hook_celery, "celery.signals"),
    "starlette": _wait_for_starlette,
    "fastapi": lambda: None,  # its errors pass through Starlette's middleware
    "stdlib": note_subprocesses,  # for all else of the standard library there are spans
    "modules": _mark_modules,
}
"""Identifier of an integration that is replaced → what is set up in its place."""
_REPLACEMENTS: Final[dict[str, Callable[[], Integration]]] = {
    name: type(f"{name.title()}Hook", (_Replacement,), {"identifier": name, "hook": staticmethod(hook)})
    for name, hook in _HOOKS.items()
}


def framework_integrations(given: Iterable[str] = ()) -> list[Integration]:
    """Return the integrations for `sentry_sdk.init`. Loggers that only repeat exceptions are ignored from now on.

    Args:
        given: identifiers of those that the app has configured itself. They are not made again: the constructor of
            LoggingIntegration would change the app's.
    """
    # of one list in older releases; 2.70 and later have lists for events and for logs
    ignore = getattr(sentry_logging, "ignore_logger_for_events", sentry_logging.ignore_logger)
    for name in _DUPLICATING_LOGGERS:
        ignore(name)
    ignore_log = getattr(sentry_logging, "ignore_logger_for_sentry_logs", None)
    if ignore_log is not None:
        for name in _OWN:
            ignore_log(name)
    there = frozenset(given)
    makers = {"logging": logged_errors, **_REPLACEMENTS}
    return [make() for identifier, make in makers.items() if identifier not in there]


def logged_errors() -> Integration:
    """Return what makes events of logged errors and breadcrumbs of the rest; no log record is sent as such."""
    kind: Any = sentry_logging.LoggingIntegration
    # in 3.x `level` is that of logs which are sent
    is_3 = "breadcrumb_level" in inspect.signature(kind).parameters
    made: Integration = kind(event_level=logging.ERROR, **({"level": None} if is_3 else {}))
    return made


def _report_starlette(error: BaseException, handled: bool) -> None:
    if not _is_on("starlette") or is_client_disconnect(error):
        return
    if handled:
        client = sentry_sdk.get_client()
        configured = [
            getattr(client.get_integration(name), "failed_request_status_codes", None)
            for name in ("starlette", "fastapi")
        ]
        failing = next((codes for codes in configured if codes is not None), _SERVER_ERRORS)
        if answer_of(error) not in failing:
            return
    capture(error, "starlette", handled=handled)


def _hook_flask(signals: Any) -> None:
    def report(sender: Any, exception: BaseException, **more: Any) -> None:
        del sender, more
        if _is_on("flask"):
            capture(exception, "flask", complete=add_framework_data)

    def add_trace(sender: Any, context: dict[str, Any], **more: Any) -> None:
        from markupsafe import Markup

        del sender, more
        for name, html in _trace_meta("flask", "sentry_trace", "sentry_trace_meta").items():
            context.setdefault(name, Markup(html))  # noqa: S704 made by sentry-sdk

    signals.got_request_exception.connect(report, weak=False)
    signals.before_render_template.connect(add_trace, weak=False)
    # when the span ends, Flask's context has gone
    signals.request_tearing_down.connect(partial(note_details, "flask"), weak=False)


def _hook_django(signals: Any) -> None:
    def report(sender: Any, **more: Any) -> None:
        del sender, more
        error = sys.exc_info()[1]
        if error is not None and _is_on("django"):
            capture(error, "django", complete=add_framework_data)

    signals.got_request_exception.connect(report, weak=False)


def _hook_celery(signals: Any) -> None:
    def report(
        sender: Any = None, exception: BaseException | None = None, traceback: Any = None, **more: Any
    ) -> None:
        del more
        if exception is None or not is_in_its_process(exception, traceback) or not _is_on("celery"):
            return
        error = raised_by_task(exception) or exception
        if not is_expected(sender, error) and not is_control_flow(error):
            capture(error, "celery", complete=partial(_complete_job, sender, error))

    def report_unsignalled(sender: Any = None, state: str | None = None, **more: Any) -> None:
        """Report exceptions for which Celery sends no task_failure: of an eager task that propagates its exception.

        Also the task's exception if its own `on_failure` raises, which Celery only logs.
        """
        del more
        error = broken_by(state)
        if error is not None:
            report(sender, error if sender.request.is_eager else error.__context__)

    def flush(**more: Any) -> None:
        del more
        sentry_sdk.flush(timeout=2.0)

    def stamp(headers: Any = None, **more: Any) -> None:
        """Note when beat sends a task that the app's integration monitors: its last check-in tells the duration."""
        del more
        if isinstance(headers, dict) and _MONITORED in headers:
            headers.setdefault(_SENT_AT, f"{time.time():.9f}")

    signals.before_task_publish.connect(stamp, weak=False)
    signals.task_failure.connect(report, weak=False)
    signals.task_postrun.connect(report_unsignalled, weak=False)
    signals.worker_process_shutdown.connect(flush, weak=False)


def _complete_job(task: Any, error: BaseException, event: Any) -> None:
    """Add Celery's data of the job. Jobs over their time limit are one issue per task, wherever they were stopped."""
    add_framework_data(event)
    if type(error).__name__ == "SoftTimeLimitExceeded":
        event["fingerprint"] = ["celery", "SoftTimeLimitExceeded", getattr(task, "name", task)]


def _trace_meta(identifier: str, *names: str) -> dict[str, str]:
    """Return what sentry-sdk's integration gives templates: <meta> tags by which a browser continues the trace."""
    if not _is_on(identifier):
        return {}
    return dict.fromkeys(names, sentry_sdk.get_current_scope().trace_propagation_meta())


def _is_on(identifier: str) -> bool:
    return sentry_sdk.get_client().get_integration(identifier) is not None
