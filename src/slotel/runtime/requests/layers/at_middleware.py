"""Counts a request at a framework's middleware, if no layer of its server observes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from slotel.runtime.requests.current import note_route
from slotel.runtime.requests.layers.asgi import AsgiLayer, AsgiRequest
from slotel.runtime.requests.layers.wsgi import WsgiLayer, WsgiRequest
from slotel.runtime.requests.served import ServedRequest

Answered: TypeAlias = Callable[[int, "str | None"], None]


@contextmanager
def counted(layer: WsgiLayer | AsgiLayer, carrier: Any) -> Iterator[Answered]:
    """Count one request; it ends with the block, also if its body is streamed later.

    Args:
        carrier: the WSGI environ or the ASGI scope.

    Yields:
        A function that is given the status and the route of the response. A block that ends without it has failed.
    """
    served: ServedRequest = (
        WsgiRequest(layer, carrier) if isinstance(layer, WsgiLayer) else AsgiRequest(layer, carrier)
    )

    def answered(status: int, route: str | None) -> None:
        served.status, served.is_complete = status, True
        if route is not None:
            note_route(route or "/")

    served.begin(at_server=False)
    try:
        yield answered
    except BaseException as error:
        served.end(error)
        raise
    else:
        served.end(None)
    finally:
        served.leave()
