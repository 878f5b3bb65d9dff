"""The places of Django where a request passes before its middleware, and where its settings are known."""

from __future__ import annotations

import functools
import os
import sys
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from typing import Any, Final

from slotel.runtime.upstream.probe import Probe

_REQUEST: Final[ContextVar[Any]] = ContextVar("slotel-django-request", default=None)
FORCED_ROOT: Final = "slotel.root"
"""Key in an ASGI scope: FORCE_SCRIPT_NAME, which stands in no `root_path`."""
_MIDDLEWARES: Final = 5
"""Most wrappers around an application that are unpacked."""
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
_READ: Final = Probe(
    "django.http.request:HttpRequest", "_read_started",
    why="a transaction shows a body that the app has read", without="transactions of Django lack the body",
    level=None,  # of an instance
)  # fmt: skip
_USER: Final = Probe(
    "django.http.request:HttpRequest", "_cached_user",
    why="a transaction shows the user that the app has asked for", without="transactions of Django lack the user",
    level=None,  # of an instance
)  # fmt: skip
_INITIAL: Final = Probe(
    "rest_framework.views:APIView", "initial",
    why="Django REST framework reads a body past Django's request", without="events of its views lack the body",
)  # fmt: skip
_BACKREF: Final = "_sentry_drf_request_backref"
"""The place in which sentry-sdk's reader looks for the request of Django REST framework."""


def add_to_templates(values: Callable[[], dict[str, str]]) -> None:
    """Add names to the context of templates that `render` renders, from the import of `django.shortcuts` on.

    Args:
        values: called for each rendering; gives HTML by name. What the app gives itself stays.
    """

    def wrap(original: Any) -> Any:
        def render(request: Any, template_name: Any, context: Any = None, *args: Any, **kwargs: Any) -> Any:
            safe = import_module("django.utils.safestring").mark_safe  # for HTML that sentry-sdk has made
            more = {name: safe(html) for name, html in values().items()}
            return original(request, template_name, {**more, **(context or {})}, *args, **kwargs)

        return render

    _RENDER.wrap_on_import(wrap)


def note_requests(answered: Callable[[], None]) -> None:
    """Note each request that is served, from the import of Django's handlers on.

    Args:
        answered: called when a request has its answer, and is still there.
    """
    _GET.wrap_on_import(functools.partial(_noting, answered))
    _GET_ASYNC.wrap_on_import(functools.partial(_noting_async, answered))


def note_rest_requests() -> None:
    """Note with Django's request that of Django REST framework, from the framework's import on."""

    def wrap(original: Any) -> Any:
        def initial(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            setattr(request._request, _BACKREF, weakref.ref(request))  # noqa: SLF001 documented by the framework
            return original(view, request, *args, **kwargs)

        return initial

    _INITIAL.wrap_on_import(wrap)


def has_read_body(request: Any) -> bool:
    """Whether the app has begun to read the body of a request."""
    return bool(_READ.of(request))


def has_loaded_user(request: Any) -> bool:
    """Whether the user of a request is known, and need not be looked up."""
    kind = type(getattr(request, "user", None)).__name__
    return kind != "SimpleLazyObject" or _USER.of(request) is not None


def forced_root(application: Any) -> str:
    """Return FORCE_SCRIPT_NAME of a Django application, also of one inside middlewares; "" for any other."""
    handlers, conf = sys.modules.get(HANDLERS), sys.modules.get("django.conf")
    if handlers is None or conf is None:
        return ""
    for _ in range(_MIDDLEWARES):
        if isinstance(application, handlers.BaseHandler):
            return str(conf.settings.FORCE_SCRIPT_NAME or "")
        application = getattr(application, "app", None)
    return ""


def trusts_forwarded_host() -> bool:
    """Whether this process serves Django behind a proxy whose `X-Forwarded-Host` it trusts."""
    conf = sys.modules.get("django.conf")
    if HANDLERS not in sys.modules or conf is None or not conf.settings.configured:
        return False
    return bool(conf.settings.USE_X_FORWARDED_HOST)


def current_request() -> Any:
    """Return the request that is served here, if it is still there."""
    noted = _REQUEST.get()
    return noted() if noted is not None else None


def before_middleware(call: Callable[[], None]) -> None:
    """Call a function once, when Django's first handler loads the middleware: by then the settings are known."""
    is_due = [True]

    def wrap(original: Any) -> Any:
        def load_middleware(handler: Any, *args: Any, **kwargs: Any) -> Any:
            if is_due:
                settings = sys.modules["django.conf"].settings
                if settings.configured or os.environ.get("DJANGO_SETTINGS_MODULE"):
                    _ = settings.MIDDLEWARE  # a fault of the settings is raised here, as without slotel
                    if is_due and is_due.pop():
                        call()
            return original(handler, *args, **kwargs)

        return load_middleware

    _LOAD.wrap_on_import(wrap)


def _noting(answered: Callable[[], None], original: Any) -> Any:
    def get_response(self: Any, request: Any) -> Any:
        __traceback_hide__ = True
        _REQUEST.set(weakref.ref(request))
        response = original(self, request)
        answered()
        return response

    return get_response


def _noting_async(answered: Callable[[], None], original: Any) -> Any:
    async def get_response_async(self: Any, request: Any) -> Any:
        __traceback_hide__ = True
        _REQUEST.set(weakref.ref(request))
        response = await original(self, request)
        answered()
        return response

    return get_response_async
