"""Loads instrumentations: those of frameworks and heavy libraries when the app imports them, all others at once."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection
from typing import Any, Final

import wrapt

from slotel.runtime.logs import LOG
from slotel.runtime.upstream.frameworks.django import before_middleware
from slotel.runtime.upstream.otel.instrumentations.instrumentors import leave_out_messages
from slotel.runtime.upstream.otel.instrumentations.kafka import CLIENTS, MessagesOnly

_UPSTREAM: Final = logging.getLogger("opentelemetry.instrumentation.auto_instrumentation")

WAIT: Final = {
    "aiohttp-server": "aiohttp.web",
    "celery": "celery",
    "django": "django.core.handlers.base",
    "falcon": "falcon",
    "fastapi": "fastapi",
    "flask": "flask",
    "psycopg": "psycopg",
    "pyramid": "pyramid.config",
    "redis": "redis",
    "requests": "requests",
    "sqlalchemy": "sqlalchemy",
    "starlette": "starlette",
    "tornado": "tornado.web",
}
"""Instrumentations that wait until the app imports this module: 0.05 to 0.3 s of CPU less where it never does.

Most only replace names of the module, and Celery's connects to signals that nothing sends before `celery` is imported,
so that its import is early enough. Django's reads the settings, and calls `settings.configure()` where nothing names
them yet, which breaks a project whose `wsgi.py`, `asgi.py` or `manage.py` names them: it waits further, see
`before_middleware`. What is not listed does not wait: it is part of Python, or something else imports it anyway.
"""
FRAMEWORKS: Final = frozenset({"django", "fastapi", "flask", "starlette"})
"""Instrumentations that accept a meter provider for the metrics of a server's requests."""


def instrumentor_options(
    entry_point: Any, asgi_spans: Collection[str] = (), meter_provider: Any = None
) -> dict[str, Any]:
    """Return the options of an instrumentation, in addition to those of `opentelemetry-instrument`.

    Args:
        asgi_spans: the ASGI messages that have their own span.
        meter_provider: for the metrics of requests; None for the global one.
    """
    from slotel.config.service import ASGI_MESSAGES

    name, wanted = entry_point.name, asgi_spans
    left_out = [message for message in ASGI_MESSAGES if message not in wanted]
    if name == "starlette" and left_out:
        leave_out_messages(sys.modules[entry_point.load().__module__], left_out)
    given: dict[str, Any] = {"exclude_spans": left_out} if name == "fastapi" else {}
    if name in FRAMEWORKS and meter_provider is not None:
        given["meter_provider"] = meter_provider
    if name in CLIENTS:
        given["tracer_provider"] = MessagesOnly()
    return given


def load(entry_point: Any, instrument: Callable[[], None]) -> None:
    """Instrument one library, now or when it is imported.

    Raises:
        ImportError: of an instrumentation that does not wait; `opentelemetry-instrument` skips and logs it.
    """
    module = WAIT.get(entry_point.name)
    if entry_point.name == "django":
        before_middleware(lambda: _when_imported(entry_point.name, instrument))
        return
    if module is not None:
        wrapt.register_post_import_hook(lambda _: _when_imported(entry_point.name, instrument), module)
        return
    try:
        instrument()
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 one broken instrumentation must not end all
        _failed(entry_point.name, error)


def _when_imported(name: str, instrument: Callable[[], None]) -> None:
    try:
        instrument()
    except ModuleNotFoundError as error:  # as `opentelemetry-instrument` does
        _UPSTREAM.debug("Skipping instrumentation %s: %s", name, error)
    except Exception as error:  # noqa: BLE001 the app is just importing its framework
        _failed(name, error)


def _failed(name: str, error: Exception) -> None:
    LOG.error("instrumentation %s failed and is disabled, everything else works: %s [SLO134]", name, error)
