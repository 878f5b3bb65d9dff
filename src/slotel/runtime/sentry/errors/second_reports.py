"""Reports that tell nothing new: a server's line about what left the application, an exception nobody waits for."""

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
"""Loggers on which servers, and frameworks that serve a request's end, report what left the application."""

_UWSGIS: Final = ("write error",)
"""Arguments of the OSError that uWSGI's C code raises, without a traceback, where a client has left the download."""
_TORNADOS_LOGGERS: Final = ("tornado.application", "tornado.general")
"""On which Tornado reports, after its handler, what ended a request; an application may use them, too."""
_SECOND_REPORTS: Final = ("Worker (pid:", "WORKER TIMEOUT", "Application callable raised an exception")
"""What gunicorn's master says when a worker ends, and granian of what left the application, as text."""


def is_second_report(event: Any, error: BaseException | None) -> bool:
    """Whether an event repeats what was reported, or is about a client that has left."""
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
    """Whether an integration reports an exception: what code captures itself counts as handled."""
    values = (event.get("exception") or {}).get("values") or [{}]
    return (values[-1].get("mechanism") or {}).get("handled") is False


def _is_of_nobody(error: BaseException) -> bool:
    """Whether an exception says that the client has left, or is the answer to one that has."""
    served = SERVED.get()
    if isinstance(error, OSError) and error.__traceback__ is None and error.args == _UWSGIS:
        return True
    return is_client_disconnect(error) or (
        served is not None and served.client_left and answer_of(error) is not None
    )
