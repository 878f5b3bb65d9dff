"""The two places of Starlette where an exception becomes an answer, each reached only when there is one.

| name | why | where it is missing |
| --- | --- | --- |
| `ServerErrorMiddleware.__call__` | sees what escapes an app, mounted or not | the server span sees it |
| `ExceptionMiddleware._exception_handlers` | sees an HTTPException that is answered | as above, if nothing is between |
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import wrapt

Report = Callable[[BaseException, bool], None]
"""Told an exception, and whether a handler answers it. Never raises."""


def report_exceptions(report: Report) -> None:
    """Report what Starlette's middleware sees, from the import of Starlette on."""
    wrapt.register_post_import_hook(lambda module: _escaping(module, report), "starlette.middleware.errors")
    wrapt.register_post_import_hook(
        lambda module: _handled(module, report), "starlette.middleware.exceptions"
    )


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
