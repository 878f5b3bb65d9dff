"""Where servers take their application: patched once each, so that every request that a server serves is counted.

No server has a public hook for this. Each place is patched when the application imports the server; where a release has
moved it, that server stays as it is: requests are counted by the framework's instrumentation alone, and a line says so.

uWSGI and mod_wsgi take the application in C code: there is no place to patch.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import wrapt

from slotel.runtime.logs import LOG

Wrap = Callable[[Any], Any]


class Place(NamedTuple):
    """A method after which an attribute of its object holds the application.

    Args:
        module: is patched when it is imported.
        protocol: of the application: `wsgi` or `asgi`.
        reason: why here.
    """

    module: str
    owner: str
    method: str
    attribute: str
    protocol: str
    reason: str


PLACES: Final = (
    Place("cheroot.wsgi", "Server", "__init__", "wsgi_app", "wsgi", "CherryPy's server, and Bottle's and pypiserver's"),
    Place("daphne.server", "Server", "__init__", "application", "asgi", "the one place where it is given"),
    Place("gevent.pywsgi", "WSGIServer", "__init__", "application", "wsgi", "also of gunicorn's gevent_pywsgi worker"),
    Place("gunicorn.workers.base_async", "AsyncWorker", "load_wsgi", "wsgi", "wsgi", "gevent and eventlet workers"),
    Place("gunicorn.workers.gasgi", "ASGIWorker", "load_wsgi", "asgi", "asgi", "gunicorn's own ASGI worker"),
    Place("gunicorn.workers.gthread", "ThreadWorker", "load_wsgi", "wsgi", "wsgi", "a worker loads it after the fork"),
    Place("gunicorn.workers.sync", "SyncWorker", "load_wsgi", "wsgi", "wsgi", "a worker loads it after the fork"),
    Place("hypercorn.app_wrappers", "ASGIWrapper", "__init__", "app", "asgi", "also of hypercorn.asyncio.serve"),
    Place("hypercorn.app_wrappers", "WSGIWrapper", "__init__", "app", "wsgi", "also of hypercorn.asyncio.serve"),
    Place("uvicorn.config", "Config", "load", "loaded_app", "asgi", "after uvicorn has adapted WSGI and ASGI 2"),
    Place("waitress.server", "BaseWSGIServer", "__init__", "application", "wsgi", "of serve() and create_server()"),
    Place("werkzeug.serving", "BaseWSGIServer", "__init__", "app", "wsgi", "flask run, app.run()"),
    Place("wsgiref.simple_server", "WSGIServer", "set_app", "application", "wsgi", "Django's runserver, too"),
)  # fmt: skip

_NOBODYS: Final = ("prometheus_client.", "slotel.")
"""Applications that serve telemetry, not users."""


def watch_servers(wrap_wsgi: Wrap, wrap_asgi: Wrap) -> None:
    """Wrap the application of every server that is imported from now on."""
    for place in PLACES:
        wrap = wrap_wsgi if place.protocol == "wsgi" else wrap_asgi
        wrapt.register_post_import_hook(functools.partial(_patch, place, wrap), place.module)


def _patch(place: Place, wrap: Wrap, module: Any) -> None:
    owner = getattr(module, place.owner, None)
    original = getattr(owner, place.method, None)
    if owner is None or not inspect.isfunction(original):
        LOG.warning(
            "%s.%s.%s is not there: requests to this server are counted only where a framework is instrumented",
            place.module,
            place.owner,
            place.method,
        )
        return

    @functools.wraps(original)
    def method(its: Any, *args: Any, **kwargs: Any) -> Any:
        given = original(its, *args, **kwargs)
        application = getattr(its, place.attribute, None)
        if callable(application) and not str(getattr(application, "__module__", "")).startswith(_NOBODYS):
            setattr(its, place.attribute, wrap(application))
        return given

    setattr(owner, place.method, method)
