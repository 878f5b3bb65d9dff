"""The places of Starlette where an exception becomes an answer, and where the app reads a body."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

import wrapt

from slotel.runtime.upstream.probe import Probe

_ESCAPED: Final = Probe(
    "starlette.middleware.errors:ServerErrorMiddleware", "__call__",
    why="sees what escapes an app, mounted or not",
    without="the exception of a mounted app may not be reported",
)  # fmt: skip
_INIT: Final = Probe(
    "starlette.middleware.exceptions:ExceptionMiddleware", "__init__",
    why="sees an HTTPException that a handler answers",
    without="an HTTPException with a status of 5xx is not reported",
)  # fmt: skip
_HANDLERS: Final = Probe(
    "starlette.middleware.exceptions:ExceptionMiddleware", "_exception_handlers",
    why=_INIT.why, without=_INIT.without,
)  # fmt: skip
_BODY: Final = Probe(
    "starlette.requests:Request", "body",
    why="keeps what the app has read of a body", without="events lack the body",
)  # fmt: skip
_FORM: Final = Probe(
    "starlette.requests:Request", "_get_form",
    why="keeps the form that the app has read", without="events lack the form",
)  # fmt: skip
_MOUNT: Final = Probe(
    "starlette.routing:Mount", "handle",
    why="knows where an application is mounted", without="a mounted application's requests have the mount's route",
)  # fmt: skip
_HOST: Final = Probe(
    "starlette.routing:Host", "handle",
    why=_MOUNT.why, without="requests to an application of a host have their path as route",
)  # fmt: skip
_ROUTES: Final = tuple(
    Probe(where, "handle", why="knows the route of a mounted application", without=_MOUNT.without)
    for where in ("starlette.routing:Route", "starlette.routing:WebSocketRoute", "fastapi.routing:APIRoute")
)

_TEMPLATES: Final = Probe(
    "starlette.templating:Jinja2Templates", "__init__",
    why="templates know `sentry_trace_meta`", without="`{{ sentry_trace_meta }}` is empty",
)  # fmt: skip
_PROCESSORS: Final = "context_processors"
"""Parameter of Jinja2Templates, since 0.28."""

BODY: Final = "slotel.request.body"
FORM: Final = "slotel.request.form"
"""Keys of the ASGI scope under which a body that the app has read is kept."""
MOUNT: Final = "slotel.mount"
"""Key of the ASGI scope: where the application that is called now is mounted, as a template."""

Report = Callable[[BaseException, bool], None]
"""Told an exception, and whether a handler answers it. Never raises."""


def add_to_templates(values: Callable[[], dict[str, str]]) -> None:
    """Add names to the context of Jinja2Templates, from the import of Starlette's templating on.

    Args:
        values: called for each rendering; gives HTML by name.
    """

    def processor(_request: Any) -> dict[str, Any]:
        from markupsafe import Markup

        return {name: Markup(html) for name, html in values().items()}  # noqa: S704 made by sentry-sdk

    def wrap(original: Any) -> Any:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            if _PROCESSORS in inspect.signature(original).parameters:
                kwargs[_PROCESSORS] = [*(kwargs.get(_PROCESSORS) or ()), processor]
            original(self, *args, **kwargs)

        return init

    _TEMPLATES.wrap_on_import(wrap)


def report_exceptions(report: Report) -> None:
    """Report what Starlette's middleware sees, from the import of Starlette on."""
    _ESCAPED.wrap_on_import(functools.partial(_reporting_escaped, report))
    _INIT.wrap_on_import(functools.partial(_reporting_handled, report))


def keep_bodies() -> None:
    """Keep each body that the app reads with its request, from the import of Starlette on."""
    _BODY.wrap_on_import(functools.partial(_keeping, BODY))
    _FORM.wrap_on_import(functools.partial(_keeping, FORM))


def name_mounted_routes(name: Callable[[str], None], name_socket: Callable[[], None]) -> None:
    """Call `name` with the full route of a request to a mounted application, from the import of Starlette on.

    Args:
        name_socket: called when a websocket has its route.
    """
    for probe in (_MOUNT, _HOST, *_ROUTES):
        module, _, kind = probe.where.partition(":")
        wrap = _mounting if probe in (_MOUNT, _HOST) else functools.partial(_naming, name)
        if kind == "WebSocketRoute":
            wrap = functools.partial(_naming_sockets, name, name_socket)
        wrapt.register_post_import_hook(functools.partial(_wrap_handle, probe, wrap), module)


def _wrap_handle(probe: Probe, wrap: Callable[[Any], Any], _module: Any) -> None:
    owner = probe.owner()
    is_inherited = owner is not None and probe.name not in vars(owner) and hasattr(owner, probe.name)
    if owner is not None and not is_inherited:  # what is inherited is wrapped where it is
        probe.wrap(owner, wrap)


def _mounting(original: Any) -> Any:
    async def handle(self: Any, scope: Any, receive: Any, send: Any) -> None:
        __traceback_hide__ = True
        scope[MOUNT] = scope.get(MOUNT, scope.get("app_root_path", "")) + getattr(self, "path", "")
        await original(self, scope, receive, send)

    return handle


def _naming(name: Callable[[str], None], original: Any) -> Any:
    async def handle(self: Any, scope: Any, receive: Any, send: Any) -> None:
        __traceback_hide__ = True
        mount = scope.get(MOUNT)
        if mount is not None:
            name(mount + getattr(scope.get("route"), "path_format", self.path_format))
        await original(self, scope, receive, send)

    return handle


def _naming_sockets(name: Callable[[str], None], name_socket: Callable[[], None], original: Any) -> Any:
    naming = _naming(name, original)

    async def handle(self: Any, scope: Any, receive: Any, send: Any) -> None:
        __traceback_hide__ = True
        name_socket()
        await naming(self, scope, receive, send)

    return handle


def _keeping(key: str, original: Any) -> Any:
    async def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        __traceback_hide__ = True
        value = await original(self, *args, **kwargs)
        self.scope[key] = value
        return value

    return read


def _reporting_escaped(report: Report, original: Any) -> Any:
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        __traceback_hide__ = True
        try:
            await original(self, scope, receive, send)
        except Exception as error:
            report(error, False)
            raise

    return call


def _reporting_handled(report: Report, original: Any) -> Any:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        handlers: dict[Any, Any] = _HANDLERS.of(self) or {}
        for key in list(handlers):
            handlers[key] = _reporting(handlers[key], report)

    return init


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
