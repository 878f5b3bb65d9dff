"""The place of Django where a request passes before its middleware: so that an event can show it.

| name | why | where it is missing |
| --- | --- | --- |
| `BaseHandler.get_response`, `get_response_async` | gives the request that is served now | messages lack its body |
"""

from __future__ import annotations

import functools
import weakref
from contextvars import ContextVar
from typing import Any, Final

import wrapt

_REQUEST: Final[ContextVar[Any]] = ContextVar("slotel-django-request", default=None)


def note_requests() -> None:
    """Note each request that is served, from the import of Django's handlers on."""
    wrapt.register_post_import_hook(_note, "django.core.handlers.base")


def current_request() -> Any:
    """Return the request that is served here, if it is still there."""
    noted = _REQUEST.get()
    return noted() if noted is not None else None


def _note(module: Any) -> None:
    kind = getattr(module, "BaseHandler", None)
    for name in ("get_response", "get_response_async"):
        original = getattr(kind, name, None)
        if original is not None:
            setattr(kind, name, _noting(original))


def _noting(original: Any) -> Any:
    @functools.wraps(original)
    def get_response(self: Any, request: Any) -> Any:
        __traceback_hide__ = True
        _REQUEST.set(weakref.ref(request))
        return original(self, request)

    return get_response
