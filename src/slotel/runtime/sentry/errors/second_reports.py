"""Recognises events without news: a server's log line about an exception that was reported, a disconnected client."""

from __future__ import annotations

import sys
from typing import Any, Final

from slotel.runtime.requests.decision import answer_of, is_client_disconnect, of_escaped
from slotel.runtime.requests.outcomes import CLIENT_LEFT
from slotel.runtime.requests.served import SERVED
from slotel.runtime.sentry.errors.exception_record import record_of

_SERVERS_LOGGERS: Final = frozenset(
    {
        "_granian.utils", "aiohttp.server", "asyncio", "blacksheep.server", "daphne.http_protocol", "falcon",
        "gunicorn.error", "hypercorn.error", "uvicorn.error", "waitress", "werkzeug",
    }
)  # fmt: skip
"""Loggers on which servers report exceptions that left the application."""

_UWSGIS: Final = ("write error",)
"""Arguments of the OSError that uWSGI's C code raises, without a traceback, if a client disconnects in a download."""
_TORNADOS_LOGGERS: Final = ("tornado.application", "tornado.general")
"""Loggers on which Tornado reports an exception after its handler; applications may use them, too."""
_SECOND_REPORTS: Final = ("Worker (pid:", "WORKER TIMEOUT", "Application callable raised an exception")
"""Texts of gunicorn's master about the end of a worker, and of granian about exceptions of the application."""


def is_second_report(event: Any, error: BaseException | None) -> bool:
    """Return whether an event repeats a reported exception, or is about a disconnected client."""
    if event.get("logger") in _SERVERS_LOGGERS:
        return _is_servers_own(event, error)
    if event.get("logger") in _TORNADOS_LOGGERS:
        ended = error or sys.exc_info()[1]
        return ended is not None and is_client_disconnect(ended)
    return error is not None and _is_unhandled(event) and _is_of_nobody(error)


def _is_servers_own(event: Any, error: BaseException | None) -> bool:
    if error is not None:
        return of_escaped(error).row is CLIENT_LEFT
    handled = record_of(sys.exc_info()[1])
    if handled is not None and handled.reported:
        return True
    message = (event.get("logentry") or {}).get("message") or event.get("message")
    return isinstance(message, str) and message.startswith(_SECOND_REPORTS)


def _is_unhandled(event: Any) -> bool:
    """Whether an integration has captured the exception; one that the app's code captures is marked as handled."""
    values = (event.get("exception") or {}).get("values") or [{}]
    return (values[-1].get("mechanism") or {}).get("handled") is False


def _is_of_nobody(error: BaseException) -> bool:
    """Whether an exception means that the client has disconnected, or is a response to such a client."""
    served = SERVED.get()
    if isinstance(error, OSError) and error.__traceback__ is None and error.args == _UWSGIS:
        return True
    return is_client_disconnect(error) or (
        served is not None and served.client_left and answer_of(error) is not None
    )
