"""The places of Starlette where an exception becomes an answer, and where the app reads a body.

| name | why | where it is missing |
| --- | --- | --- |
| `ServerErrorMiddleware.__call__` | sees what escapes an app, mounted or not | the server span sees it |
| `Request.body`, `Request._get_form` | keep what the app has read of a body | events lack it |
| `ExceptionMiddleware._exception_handlers` | sees an HTTPException that is answered | as above, if nothing is between |
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

import wrapt

BODY: Final = "slotel.request.body"
FORM: Final = "slotel.request.form"
"""Keys of the ASGI scope under which a body that the app has read is kept."""

Report = Callable[[BaseException, bool], None]
"""Told an exception, and whether a handler answers it. Never raises."""


def report_exceptions(report: Report) -> None:
    """Report what Starlette's middleware sees, from the import of Starlette on."""
    wrapt.register_post_import_hook(lambda module: _escaping(module, report), "starlette.middleware.errors")
    wrapt.register_post_import_hook(
        lambda module: _handled(module, report), "starlette.middleware.exceptions"
    )


def keep_bodies() -> None:
    """Keep each body that the app reads with its request, from the import of Starlette on."""
    wrapt.register_post_import_hook(_keep_bodies, "starlette.requests")


def _keep_bodies(module: Any) -> None:
    kind = getattr(module, "Request", None)
    for name, key in (("body", BODY), ("_get_form", FORM)):
        original = getattr(kind, name, None)
        if original is not None:
            setattr(kind, name, _keeping(original, key))


def _keeping(original: Any, key: str) -> Any:
    @functools.wraps(original)
    async def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        __traceback_hide__ = True
        value = await original(self, *args, **kwargs)
        self.scope[key] = value
        return value

    return read


def _escaping(module: Any, report: Report) -> None:
    kind = getattr(module, "ServerErrorMiddleware", None)
    original = getattr(kind, "__call__", None)  # noqa: B004 it is wrapped, not called
    if kind is None or original is None:
        return

    @functools.wraps(original)
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        __traceback_hide__ = True
        try:
            await original(self, scope, receive, send)
        except Exception as error:
            report(error, False)
            raise

    kind.__call__ = call


def _handled(module: Any, report: Report) -> None:
    kind = getattr(module, "ExceptionMiddleware", None)
    if kind is None:
        return
    original = kind.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        handlers: dict[Any, Any] = getattr(self, "_exception_handlers", {})
        for key in list(handlers):
            handlers[key] = _reporting(handlers[key], report)

    kind.__init__ = init


def _reporting(handler: Any, report: Report) -> Any:
    if hasattr(handler, "_slotel_original"):
        return handler
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def asynchronous(request: Any, error: Any) -> Any:
            report(error, True)
            return await handler(request, error)

        made: Any = asynchronous
    elif inspect.iscoroutinefunction(getattr(handler, "__call__", None)):  # noqa: B004 an object with an async call
        return handler
    else:

        @functools.wraps(handler)
        def synchronous(request: Any, error: Any) -> Any:
            report(error, True)
            return handler(request, error)

        made = synchronous
    made._slotel_original = handler  # noqa: SLF001 our own mark
    return made
