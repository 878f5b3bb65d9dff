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
from typing import Any, Final

import sentry_sdk
import wrapt
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations import logging as sentry_logging
from sentry_sdk.scope import add_global_event_processor

from slotel.runtime.requests.decision import answer_of, is_client_disconnect
from slotel.runtime.sentry.errors.integrations import SET_UP
from slotel.runtime.sentry.errors.linker import capture, note_details
from slotel.runtime.sentry.errors.request import add_framework_data
from slotel.runtime.sentry.transport.modules import MODULES
from slotel.runtime.upstream.frameworks import django, starlette
from slotel.runtime.upstream.frameworks.django import note_requests, note_rest_requests
from slotel.runtime.upstream.frameworks.starlette import keep_bodies, report_exceptions
from slotel.runtime.upstream.jobs.celery import broken_by, is_control_flow, is_expected, is_in_its_process
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
    @classmethod
    def setup_once(cls) -> None:
        """Set the hook up in place of sentry-sdk's integration."""
        SET_UP.add(cls.identifier)
        cls.hook()

    @staticmethod
    def hook() -> None:
        """Hook nothing."""

    def __getattr__(self, name: str) -> None:
        """Return None for any option of sentry-sdk's own integration, parts of which may be active and read them."""
        if name.startswith("__"):
            raise AttributeError(name)


class FlaskErrors(_Replacement):
    """Reports the exceptions of Flask's signal `got_request_exception`."""

    identifier = "flask"

    @staticmethod
    def hook() -> None:
        """Wait for Flask."""
        wrapt.register_post_import_hook(_hook_flask, "flask.signals")


class DjangoErrors(_Replacement):
    """Reports the exceptions of Django's signal `got_request_exception`, under WSGI and ASGI."""

    identifier = "django"

    @staticmethod
    def hook() -> None:
        """Wait for Django."""
        note_requests(partial(note_details, "django"))
        note_rest_requests()
        django.add_to_templates(partial(_trace_meta, "django", "sentry_trace_meta"))
        wrapt.register_post_import_hook(_hook_django, "django.core.signals")


class CeleryErrors(_Replacement):
    """Reports the exceptions of Celery's signal `task_failure`, and flushes when a worker process ends."""

    identifier = "celery"

    @staticmethod
    def hook() -> None:
        """Wait for Celery."""
        wrapt.register_post_import_hook(_hook_celery, "celery.signals")


class StarletteErrors(_Replacement):
    """Reports exceptions that escape a Starlette app, and HTTPExceptions with a 5xx status."""

    identifier = "starlette"

    @staticmethod
    def hook() -> None:
        """Wait for Starlette."""
        report_exceptions(_report_starlette)
        keep_bodies()
        starlette.add_to_templates(partial(_trace_meta, "starlette", "sentry_trace_meta"))


class FastApiErrors(_Replacement):
    """Reserves the identifier: FastAPI's errors pass through Starlette's middleware."""

    identifier = "fastapi"


class Subprocesses(_Replacement):
    """Replaces sentry-sdk's hooks of the standard library, except those of subprocesses, for which there is no span."""

    identifier = "stdlib"

    @staticmethod
    def hook() -> None:
        """Write breadcrumbs of subprocesses, and pass the trace on to them."""
        note_subprocesses()


class Modules(_Replacement):
    """Marks events that list the installed packages, as sentry-sdk's own integration does; they are filled in later."""

    identifier = "modules"

    @staticmethod
    def hook() -> None:
        """Put an empty list into each event."""

        @add_global_event_processor
        def note(event: Any, hint: Any) -> Any:
            del hint
            if event.get("type") is None and _is_on("modules"):
                event.setdefault(MODULES, {})
            return event


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
    return [make() for identifier, make in _makers().items() if identifier not in there]


def logged_errors() -> Integration:
    """Return what makes events of logged errors and breadcrumbs of the rest; no log record is sent as such."""
    kind: Any = sentry_logging.LoggingIntegration
    if (
        "breadcrumb_level" in inspect.signature(kind).parameters
    ):  # 3.x, where `level` is that of logs which are sent
        return kind(level=None, event_level=logging.ERROR)  # type: ignore[no-any-return]  # 2.x is the one that is typed
    return kind(event_level=logging.ERROR)  # type: ignore[no-any-return]  # as above


def _makers() -> dict[str, Callable[[], Integration]]:
    return {
        "logging": logged_errors,
        "flask": FlaskErrors,
        "django": DjangoErrors,
        "celery": CeleryErrors,
        "starlette": StarletteErrors,
        "fastapi": FastApiErrors,
        "stdlib": Subprocesses,
        "modules": Modules,
    }


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
        if not is_expected(sender, exception) and not is_control_flow(exception):
            capture(exception, "celery", complete=partial(_complete_job, sender, exception))

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
