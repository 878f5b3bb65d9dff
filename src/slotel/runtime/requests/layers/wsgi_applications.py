"""Observes the calls of WSGI frameworks' own applications, to see exceptions that a middleware above would swallow.

Servers whose C code calls the application have no layer; for these the call itself gets one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from slotel.runtime.requests.decision import of_escaped
from slotel.runtime.requests.layers.layer import Server
from slotel.runtime.requests.layers.wsgi import UWSGI, Environ, WsgiLayer, WsgiRequest
from slotel.runtime.requests.layers.wsgi_bodies import WatchedBody, is_file
from slotel.runtime.requests.served import SERVED, ServedRequest

_OF_C_SERVERS: Final = (UWSGI, "mod_wsgi.version")
"""Environ keys of servers whose C code calls the application, so that it cannot be wrapped there."""
_LAYER: Final = "_slotel_layer"


class WsgiApplications:
    """Serves the calls of frameworks' own applications: through a layer, if the server is written in C.

    Under other servers it reports what escapes the application before a middleware can swallow it.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls an application and observes it.

        Args:
            call: the application's own `__call__`, unbound.
        """

        def serve(application: Any, environ: Environ, start_response: Any) -> Any:
            __traceback_hide__ = True
            served = SERVED.get()
            if (served is None or served.is_over) and any(key in environ for key in _OF_C_SERVERS):
                return self._layer_of(application)(environ, start_response)
            if served is not None and (served.is_over or served.layer.is_around(application)):
                return call(application, environ, start_response)
            try:
                answer = call(application, environ, start_response)
            except BaseException as error:
                self.failed(error, served)
                raise
            if hasattr(answer, "__len__") or is_file(answer, environ):
                return answer  # servers look at its class and its length
            return WatchedBody(answer, functools.partial(self.failed, served=served))

        return serve

    def _layer_of(self, application: Any) -> WsgiLayer:
        """Return the layer of an application that a server of C code calls."""
        known = vars(application)
        layer: WsgiLayer | None = known.get(_LAYER)
        if layer is None:
            layer = known[_LAYER] = WsgiLayer(self._server, application)
        return layer

    def failed(self, error: BaseException, served: ServedRequest | None) -> None:
        """Report what escaped the application, and note that the response that had begun is broken off.

        Args:
            served: the request, if a layer observes it.
        """
        if isinstance(error, StopIteration) or not of_escaped(error).reports:
            return
        if isinstance(served, WsgiRequest) and served.status is not None:
            served.is_broken_off = True
        self._server.pipeline.escaped(error, WsgiRequest.mechanism)
