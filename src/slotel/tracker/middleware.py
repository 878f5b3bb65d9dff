"""ErrorTrackingMiddleware: one class around an ASGI app, a WSGI app, or in Django's MIDDLEWARE."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from slotel.tracker.started import started

if sys.version_info >= (3, 12):
    from inspect import iscoroutinefunction, markcoroutinefunction
else:
    import asyncio
    from asyncio import iscoroutinefunction

    def markcoroutinefunction(function: Any) -> Any:
        """Mark an object as a coroutine function, as `inspect` does from Python 3.12 on."""
        function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001 as asgiref does
        return function


_OWN: Final = frozenset({"_call", "_is_coroutine", "_is_coroutine_mark", "_layer", "app"})
_DJANGO, _WSGI = 1, 2
"""Number of arguments of a call."""


class _Call:
    """Gives each middleware its own `__call__`: servers look at it to tell ASGI from WSGI.

    It can be called with a middleware, as a function in its class can: sentry-sdk's integrations of Litestar and
    Starlette call what they find there, and put a function of their own in its place.
    """

    __name__ = "__call__"  # they ask for it

    def __get__(self, middleware: Any, _owner: type | None = None) -> Any:
        return self if middleware is None else middleware._call  # noqa: SLF001 it is of that class

    def __call__(self, middleware: Any, *arguments: Any) -> Any:
        return middleware._call(*arguments)  # noqa: SLF001 it is of that class


class ErrorTrackingMiddleware:
    """Reports unhandled exceptions of the app that it wraps, and raises them again.

    - WSGI and ASGI: `app = ErrorTrackingMiddleware(app)`.
    - Starlette and FastAPI: `app.add_middleware(ErrorTrackingMiddleware)`.
    - Django: `"slotel.ErrorTrackingMiddleware"` in MIDDLEWARE. Exceptions are reported by Django's signal, because they
      do not reach a middleware.

    Starts slotel at the first request if `opentelemetry-instrument` did not. Counts requests if the server's layer does
    not, because the server was already loading the app when slotel started, or is written in C. Each request has its
    own Sentry scope. An exception is reported once.

    All other attributes are read from and written to the app: `app.route`, `app.config`, `app.secret_key = …`. To a
    type checker the result has the type of the app (see `slotel/__init__.py`).
    """

    sync_capable = True
    async_capable = True
    __slots__ = ("__weakref__", "_call", "_is_coroutine", "_is_coroutine_mark", "_layer", "app")
    app: Callable[..., Any]
    __call__: Any = _Call()

    def __init__(self, app: Callable[..., Any]) -> None:
        object.__setattr__(self, "app", app)
        object.__setattr__(self, "_layer", None)
        call: Any = self._dispatch
        if iscoroutinefunction(app) or iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004 is it a coroutine, not: is it there
            if _takes_one(app):
                markcoroutinefunction(self)
                call = self._django_async
            else:
                call = self._asgi
        object.__setattr__(self, "_call", call)

    def __getattr__(self, name: str) -> Any:
        """Return the app's attribute."""
        if name in _OWN or name == "__wrapped__":  # an object that is copied or unpickled has no app yet
            raise AttributeError(name)
        return getattr(self.app, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the app's attribute."""
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.app, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete the app's attribute."""
        delattr(self.app, name)

    def _dispatch(self, *arguments: Any) -> Any:
        if len(arguments) == _DJANGO:
            (request,) = arguments
            with self._django(request) as answered:
                return answered(self.app(request))
        return self._wsgi(*arguments) if len(arguments) == _WSGI else self._asgi(*arguments)

    async def _django_async(self, request: Any) -> Any:
        with self._django(request) as answered:
            return answered(await self.app(request))

    @contextmanager
    def _django(self, request: Any) -> Iterator[Callable[[Any], Any]]:
        """Serve a request of Django; give a function that notes its response, and returns it."""
        carrier = getattr(request, "environ", None) or getattr(request, "scope", None) or {}
        layer = self._counting("asgi" if hasattr(request, "scope") else "wsgi", self.app) if carrier else None
        if layer is None:
            with _own_scope(carrier):
                yield lambda response: response
            return
        from slotel.runtime.requests.layers.at_middleware import counted

        with counted(layer, carrier) as answered, _own_scope(carrier):

            def note(response: Any) -> Any:
                route = getattr(getattr(request, "resolver_match", None), "route", None)
                answered(response.status_code, route)
                return response

            yield note

    def _counting(self, protocol: str, application: Callable[..., Any]) -> Any:
        """Return a layer around the application, which counts; None if the server's layer does."""
        runtime = started()
        if runtime is None or runtime.server is None:
            return None
        from slotel.runtime.requests.current import is_served
        from slotel.runtime.requests.layers.asgi import AsgiLayer
        from slotel.runtime.requests.layers.wsgi import WsgiLayer

        if is_served():
            return None
        layer = self._layer
        if layer is None or layer.server is not runtime.server:
            layer = (WsgiLayer if protocol == "wsgi" else AsgiLayer).around(runtime.server, application)
            object.__setattr__(self, "_layer", layer)
        return layer

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        await (self._counting("asgi", self._report_asgi) or self._report_asgi)(scope, receive, send)

    async def _report_asgi(self, scope: Any, receive: Any, send: Any) -> None:
        with _own_scope(scope, "asgi"):
            await self.app(scope, receive, send)

    def _wsgi(self, environ: Any, start_response: Any) -> Any:
        return (self._counting("wsgi", self._report_wsgi) or self._report_wsgi)(environ, start_response)

    def _report_wsgi(self, environ: Any, start_response: Any) -> Any:
        from slotel.runtime.requests.layers.wsgi_bodies import is_file

        with _own_scope(environ, "wsgi") as sentry_scope:
            answer = self.app(environ, start_response)
        if isinstance(answer, (list, tuple)) or is_file(answer, environ):
            return answer  # servers look at its length or its class
        return _Answer(answer, sentry_scope)


class _Answer:
    """A WSGI answer whose body may fail while it is sent."""

    def __init__(self, answer: Any, sentry_scope: Any) -> None:
        self._answer = answer
        self._sentry_scope = sentry_scope

    def __iter__(self) -> Iterator[Any]:
        with self._reporting():
            yield from self._answer

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        if close is not None:
            with self._reporting():
                close()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self._sentry_scope is not None:
                import sentry_sdk

                from slotel.runtime.sentry.errors.capture import capture

                with sentry_sdk.scope.use_isolation_scope(self._sentry_scope):
                    capture(error, "wsgi")
            raise


@contextmanager
def _own_scope(carrier: Any, mechanism: str = "") -> Iterator[Any]:
    """Run a request with its own Sentry scope, which adds the request to events; yield it, or None without Sentry.

    Args:
        mechanism: reports an exception as caught by this; "" if another one reports it.
    """
    runtime = started()
    if runtime is None or runtime.sentry is None:
        yield None
        return
    import sentry_sdk

    from slotel.runtime.sentry.errors.capture import capture
    from slotel.runtime.sentry.errors.request import add_request

    def complete(event: Any, _hint: Any) -> Any:
        if event.get("type") is None:
            add_request(event, carrier, {})
        return event

    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        scope.add_event_processor(complete)
        try:
            yield scope
        except Exception as error:
            if mechanism:
                capture(error, mechanism)
            raise


def _takes_one(app: Any) -> bool:
    """Whether an app is called with one argument, as Django's `get_response` is."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    variable = any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters)
    return not variable and sum(each.kind in kinds for each in parameters) == _DJANGO
