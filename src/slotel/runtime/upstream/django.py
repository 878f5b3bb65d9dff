"""The places of Django where a request passes before its middleware, and where its settings are known."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from typing import Any, Final

import wrapt

from slotel.runtime.upstream.probe import Probe

_REQUEST: Final[ContextVar[Any]] = ContextVar("slotel-django-request", default=None)
HANDLERS: Final = "django.core.handlers.base"
_HANDLER: Final = f"{HANDLERS}:BaseHandler"
_BODIES: Final = "events of log messages lack the request's body"
_GET: Final = Probe(_HANDLER, "get_response", why="gives the request that is served now", without=_BODIES)
_GET_ASYNC: Final = Probe(_HANDLER, "get_response_async", why=_GET.why, without=_BODIES)
_LOAD: Final = Probe(
    _HANDLER, "load_middleware",
    why="the instrumentation reads the settings, and configures them where nothing names them yet: it waits for this",
    without="Django is not instrumented; its requests are counted at the server, without routes",
)  # fmt: skip
_RENDER: Final = Probe(
    "django.shortcuts", "render",
    why="templates know `sentry_trace_meta`", without="`{{ sentry_trace_meta }}` is empty",
)  # fmt: skip


def add_to_templates(values: Callable[[], dict[str, str]]) -> None:
    """Let templates that `render` renders know more names, from the import of `django.shortcuts` on.

    Args:
        values: called for each rendering; gives HTML by name. What the app gives itself stays.
    """

    def wrap(original: Any) -> Any:
        def render(request: Any, template_name: Any, context: Any = None, *args: Any, **kwargs: Any) -> Any:
            safe = import_module("django.utils.safestring").mark_safe  # for HTML that sentry-sdk has made
            more = {name: safe(html) for name, html in values().items()}
            return original(request, template_name, {**more, **(context or {})}, *args, **kwargs)

        return render

    wrapt.register_post_import_hook(lambda module: _RENDER.wrap(module, wrap), _RENDER.where)


def note_requests() -> None:
    """Note each request that is served, from the import of Django's handlers on."""
    wrapt.register_post_import_hook(_note, HANDLERS)


def current_request() -> Any:
    """Return the request that is served here, if it is still there."""
    noted = _REQUEST.get()
    return noted() if noted is not None else None


def before_middleware(call: Callable[[], None]) -> None:
    """Call a function once, when Django's first handler loads the middleware: by then the settings are known."""
    wrapt.register_post_import_hook(lambda module: _before_middleware(module, call), HANDLERS)


def _before_middleware(module: Any, call: Callable[[], None]) -> None:
    is_due = [True]

    def wrap(original: Any) -> Any:
        def load_middleware(handler: Any, *args: Any, **kwargs: Any) -> Any:
            if is_due:
                settings = sys.modules["django.conf"].settings
                if settings.configured or os.environ.get("DJANGO_SETTINGS_MODULE"):
                    _ = (
                        settings.MIDDLEWARE
                    )  # what is wrong with the settings is raised here, as without slotel
                    if is_due and is_due.pop():
                        call()
            return original(handler, *args, **kwargs)

        return load_middleware

    _LOAD.wrap(module.BaseHandler, wrap)


def _note(module: Any) -> None:
    for probe in (_GET, _GET_ASYNC):
        probe.wrap(module.BaseHandler, _noting)


def _noting(original: Any) -> Any:
    def get_response(self: Any, request: Any) -> Any:
        __traceback_hide__ = True
        _REQUEST.set(weakref.ref(request))
        return original(self, request)

    return get_response
