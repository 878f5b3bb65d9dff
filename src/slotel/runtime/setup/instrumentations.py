"""Loads instrumentations: a web framework's when the app imports it, every other at once. One that fails is named."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import wrapt

from slotel.runtime.logs import LOG

_UPSTREAM: Final = logging.getLogger("opentelemetry.instrumentation.auto_instrumentation")

WAIT: Final = {
    "aiohttp-server": "aiohttp.web",
    "django": "django.core.handlers.base",
    "falcon": "falcon",
    "fastapi": "fastapi",
    "flask": "flask",
    "pyramid": "pyramid.config",
    "starlette": "starlette",
    "tornado": "tornado.web",
}
"""Instrumentations that wait until the app imports this module: 0.05 to 0.2 s of CPU less where it never does.

Flask's, Starlette's and FastAPI's only replace names of the module, so that its import is early enough. Django's reads
the settings, and calls `settings.configure()` where nothing names them yet, which breaks a project whose `wsgi.py`,
`asgi.py` or `manage.py` names them: it waits further, see `_before_middleware`. Celery connects before its app is made;
client libraries are mostly there anyway. These do not wait.
"""
_EXCLUDED_URLS: Final = ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")
FRAMEWORKS: Final = frozenset({"django", "fastapi", "flask", "starlette"})
"""Instrumentations that measure a server's requests with a meter provider that they are given."""


def instrumentor_options(
    entry_point: Any, asgi_spans: Collection[str] = (), meter_provider: Any = None
) -> dict[str, Any]:
    """Return what an instrumentation is given beside the launcher's arguments.

    Args:
        asgi_spans: the ASGI messages that get a span of their own.
        meter_provider: what frameworks measure their requests with; None for the global one.
    """
    from slotel.config.service import ASGI_MESSAGES

    name, wanted = entry_point.name, asgi_spans
    left_out = [message for message in ASGI_MESSAGES if message not in wanted]
    if name == "starlette" and left_out:
        _leave_out(sys.modules[entry_point.load().__module__], left_out)
    given: dict[str, Any] = {"exclude_spans": left_out} if name == "fastapi" else {}
    if name in FRAMEWORKS and meter_provider is not None:
        given["meter_provider"] = meter_provider
    return given


def skip_flask_url_exclusion(name: str, environ: Mapping[str, str]) -> None:
    """Spare Flask's requests three looks at a list of excluded URLs that is empty.

    Each look builds the request's whole URL, 20 us in all. `None` means the same to the instrumentation and costs
    nothing, but no argument sets it: an empty one becomes an empty list.
    """
    if name != "flask" or any(environ.get(variable, "").strip() for variable in _EXCLUDED_URLS):
        return
    app = getattr(sys.modules.get("opentelemetry.instrumentation.flask"), "_InstrumentedFlask", None)
    if hasattr(app, "_excluded_urls"):
        app._excluded_urls = None  # type: ignore[union-attr]  # noqa: SLF001 see above


def _leave_out(instrumentation: Any, messages: list[str]) -> None:
    """Replace the middleware of Starlette's instrumentation, which cannot be told what to leave out.

    See open-telemetry/opentelemetry-python-contrib#3725.
    """

    class Middleware(instrumentation.OpenTelemetryMiddleware):  # type: ignore[misc]  # known at run time only
        def __init__(self, app: Any, **kwargs: Any) -> None:
            super().__init__(app, **{"exclude_spans": messages, **kwargs})

    instrumentation.OpenTelemetryMiddleware = Middleware


def load(entry_point: Any, instrument: Callable[[], None]) -> None:
    """Instrument one library, now or when it is imported.

    Raises:
        ImportError: of an instrumentation that does not wait; the launcher skips it and says so.
    """
    module = WAIT.get(entry_point.name)
    if module is not None:
        when = _before_middleware if entry_point.name == "django" else _when_imported
        wrapt.register_post_import_hook(lambda imported: when(imported, entry_point.name, instrument), module)
        return
    try:
        instrument()
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 one broken instrumentation must not end all
        _failed(entry_point.name, error)


def _before_middleware(module: Any, name: str, instrument: Callable[[], None]) -> None:
    """Instrument Django when its first handler loads the middleware: by then the settings are known."""
    original = module.BaseHandler.load_middleware
    is_due = [True]

    @functools.wraps(original)
    def load_middleware(handler: Any, *args: Any, **kwargs: Any) -> Any:
        if is_due:
            settings = sys.modules["django.conf"].settings

            if settings.configured or os.environ.get("DJANGO_SETTINGS_MODULE"):
                _ = settings.MIDDLEWARE  # what is wrong with the settings is raised here, as without slotel
                if is_due and is_due.pop():
                    _when_imported(module, name, instrument)
        return original(handler, *args, **kwargs)

    module.BaseHandler.load_middleware = load_middleware


def _when_imported(_module: Any, name: str, instrument: Callable[[], None]) -> None:
    try:
        instrument()
    except ModuleNotFoundError as error:  # as the launcher does
        _UPSTREAM.debug("Skipping instrumentation %s: %s", name, error)
    except Exception as error:  # noqa: BLE001 the app is just importing its framework
        _failed(name, error)


def _failed(name: str, error: Exception) -> None:
    LOG.error("instrumentation %s failed and is disabled, everything else works: %s [SLO134]", name, error)
