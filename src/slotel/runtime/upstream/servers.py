"""Patches each server once where it takes its application, so that every request that it serves is counted.

No server has a public hook for this. Each place is patched when the application imports the server; where a release has
moved it, the server is not patched: only the framework's instrumentation counts requests, and one line logs that.
uvicorn gives SIGTERM its default back and raises it again (`capture_signals`), so that a worker of gunicorn dies there
and then, without Python's exit: what is pending is sent first.

uWSGI and mod_wsgi take the application in C code. There the call of a framework's own application is the place: it is
patched, too, and sees beneath every server what a middleware around the application may swallow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import wrapt

from slotel.runtime.upstream.probe import Probe

Wrap = Callable[[Any], Any]


class Place(NamedTuple):
    """A method after which an attribute of its object holds the application, or a function that is given it.

    Args:
        module: is patched when it is imported.
        owner: class of the method; empty: a function of the module, whose first argument is the application.
        protocol: of the application: `wsgi`, `asgi`, or `aiohttp`, whose own server it is.
        reason: why here.
    """

    module: str
    owner: str
    method: str
    attribute: str
    protocol: str
    reason: str

    def probe(self) -> Probe:
        """Return the probe of the method."""
        without = "requests to this server are counted only where a framework is instrumented"
        return Probe(
            ":".join(filter(None, (self.module, self.owner))), self.method, why=self.reason, without=without
        )


PLACES: Final = (
    Place("aiohttp.web_server", "Server", "__init__", "request_handler", "aiohttp", "each connection asks it there"),
    Place("cheroot.wsgi", "Server", "__init__", "wsgi_app", "wsgi", "CherryPy's server, and Bottle's and pypiserver's"),
    Place("daphne.server", "Server", "__init__", "application", "asgi", "the one place where it is given"),
    Place("eventlet.wsgi", "Server", "__init__", "app", "wsgi", "also of Flask-SocketIO where eventlet is installed"),
    Place("gevent.pywsgi", "WSGIServer", "__init__", "application", "wsgi", "also of gunicorn's gevent_pywsgi worker"),
    Place("granian.asgi", "", "_callback_wrapper", "", "asgi", "a worker calls it with what it has loaded"),
    Place("granian.wsgi", "", "_callback_wrapper", "", "wsgi", "a worker calls it with what it has loaded"),
    Place("gunicorn.workers.base_async", "AsyncWorker", "load_wsgi", "wsgi", "wsgi", "gevent and eventlet workers"),
    Place("gunicorn.workers.gasgi", "ASGIWorker", "load_wsgi", "asgi", "asgi", "gunicorn's own ASGI worker"),
    Place("gunicorn.workers.gthread", "ThreadWorker", "load_wsgi", "wsgi", "wsgi", "a worker loads it after the fork"),
    Place("gunicorn.workers.sync", "SyncWorker", "load_wsgi", "wsgi", "wsgi", "a worker loads it after the fork"),
    Place("hypercorn.app_wrappers", "ASGIWrapper", "__init__", "app", "asgi", "also of hypercorn.asyncio.serve"),
    Place("hypercorn.app_wrappers", "WSGIWrapper", "__init__", "app", "wsgi", "also of hypercorn.asyncio.serve"),
    Place("tornado.wsgi", "WSGIContainer", "__init__", "wsgi_application", "wsgi", "also of gunicorn's tornado worker"),
    Place("twisted.web.wsgi", "WSGIResource", "__init__", "_application", "wsgi", "of `twist web --wsgi`"),
    Place("uvicorn.config", "Config", "load", "loaded_app", "asgi", "after uvicorn has adapted WSGI and ASGI 2"),
    Place("waitress.server", "BaseWSGIServer", "__init__", "application", "wsgi", "of serve() and create_server()"),
    Place("werkzeug.serving", "BaseWSGIServer", "__init__", "app", "wsgi", "flask run, app.run()"),
    Place("wsgiref.simple_server", "WSGIServer", "set_app", "application", "wsgi", "Django's runserver, too"),
)  # fmt: skip

_PROBES: Final = {place: place.probe() for place in PLACES}
_APPLICATIONS: Final = tuple(
    Probe(
        where, "__call__",
        why="is called by servers of C code, and beneath middlewares that swallow what breaks an answer",
        without="an answer that breaks is good under uWSGI and mod_wsgi; what a middleware swallows is no event",
    )
    for where in ("bottle:Bottle", "django.core.handlers.wsgi:WSGIHandler", "flask.app:Flask", "pyramid.router:Router")
)  # fmt: skip
_SIGNALS: Final = Probe(
    "uvicorn.server:Server", "capture_signals",
    why="uvicorn puts SIGTERM's default back at its end and raises the signal again: slotel handles it before",
    without="a uvicorn worker of gunicorn that gets SIGTERM may lose what it buffered in its last second",
)  # fmt: skip
_NOBODYS: Final = ("prometheus_client.", "slotel.")
"""Applications that serve telemetry, not users."""
TELEMETRY_PORTS: Final[set[int | None]] = set()
"""Where those are served."""


def watch_servers(wraps: Mapping[str, Wrap]) -> None:
    """Wrap the application of every server that is imported from now on.

    Args:
        wraps: what wraps the applications of each protocol.
    """
    for place, probe in _PROBES.items():
        wrap = wraps[place.protocol]
        around = functools.partial(_method, place.attribute) if place.owner else _function
        probe.wrap_on_import(functools.partial(around, wrap))


def _method(attribute: str, wrap_application: Wrap, original: Any) -> Any:
    def method(its: Any, *args: Any, **kwargs: Any) -> Any:
        given = original(its, *args, **kwargs)
        application = getattr(its, attribute, None)
        if str(getattr(application, "__module__", "")).startswith(_NOBODYS):
            TELEMETRY_PORTS.add(getattr(its, "server_port", None))
        elif callable(application):
            setattr(its, attribute, wrap_application(application))
        return given

    return method


def _function(wrap_application: Wrap, original: Any) -> Any:
    def function(application: Any, *args: Any, **kwargs: Any) -> Any:
        return original(wrap_application(application), *args, **kwargs)

    return function


def watch_applications(around: Wrap) -> None:
    """Put a function around the call of each WSGI framework's application, from the framework's import on.

    Args:
        around: given the original call, unbound.
    """
    for probe in _APPLICATIONS:
        probe.wrap_on_import(around)


def after_sigterm_resets(take: Callable[[], None]) -> None:
    """Call a function each time that a server may have given SIGTERM its default, on the main thread.

    Celery's children do, and have a signal of their own for the moment.
    """
    wrapt.register_post_import_hook(lambda module: _before_uvicorn(module, take), "uvicorn.server")
    wrapt.register_post_import_hook(lambda module: _in_celery(module, take), "celery.signals")


def _before_uvicorn(module: Any, take: Callable[[], None]) -> None:
    def wrap(original: Any) -> Any:
        def capture_signals(*args: Any, **kwargs: Any) -> Any:
            take()
            return original(*args, **kwargs)

        return capture_signals

    if not hasattr(module.Server, "install_signal_handlers"):  # older ones raise nothing again
        _SIGNALS.wrap(module.Server, wrap)


def _in_celery(module: Any, take: Callable[[], None]) -> None:
    module.worker_process_init.connect(lambda **_: take(), weak=False)
