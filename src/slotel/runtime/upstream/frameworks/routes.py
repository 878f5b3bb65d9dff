"""Finds the route of a request in frameworks without an OpenTelemetry instrumentation: one patched call each.

A framework is one row. Where an instrumentation makes the server span, it has named it, and nothing is told here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from slotel.runtime.upstream.probe import Probe

Read = Callable[[Any, "tuple[Any, ...]", Any], "str | None"]
"""Gives the route as a template, by the object, the arguments and the answer of a call."""


class Place(NamedTuple):
    """A call that finds the route.

    Args:
        module: is patched when it is imported.
        owner: class of the method.
    """

    module: str
    owner: str
    name: str
    read: Read

    def probe(self) -> Probe:
        """Return the probe of the call."""
        why, without = "knows the route of a request", "its requests have no route"
        return Probe(f"{self.module}:{self.owner}", self.name, why=why, without=without)


def _of_bottle(_its: Any, arguments: tuple[Any, ...], found: Any) -> str:
    environ: Mapping[str, Any] = arguments[0]
    mount = environ.get("SCRIPT_NAME", "").rstrip("/")  # a mounted app is asked after its mount
    return f"{mount}{found[0].rule}"


def _of_blacksheep(_its: Any, _arguments: tuple[Any, ...], found: Any) -> str | None:
    matches_nothing = found is None or found.pattern == b"*"
    return None if matches_nothing else found.pattern.decode()


PLACES: Final = (
    Place("blacksheep.server.routing", "Router", "get_match_by_method_and_path", _of_blacksheep),
    Place("bottle", "Router", "match", _of_bottle),
    Place("falcon.app", "App", "_get_responder", lambda _its, _arguments, found: found[3]),
    Place("quart.ctx", "_BaseRequestWebsocketContext", "match_request",
          lambda its, _arguments, _found: getattr(its.request_websocket.url_rule, "rule", None)),
    Place("sanic.router", "Router", "get", lambda _its, _arguments, found: f"/{found[0].path.lstrip('/')}"),
)  # fmt: skip

_CHANNELS: Final = Probe(
    "channels.routing:URLRouter", "__init__",
    why="has the routes of the websockets of Django Channels", without="they are named GET",
)  # fmt: skip
_MOUNT: Final = "slotel.channels.mount"
"""Key in an ASGI scope: the routes of the routers around the one that is called."""

_PROBES: Final = {place: place.probe() for place in PLACES}


def watch_routes(tell: Callable[[str], None]) -> None:
    """Call a function with the route of each request to a framework of the table, from its import on."""
    for place, probe in _PROBES.items():
        probe.wrap_on_import(functools.partial(_telling_of_call, place, tell))
    _CHANNELS.wrap_on_import(functools.partial(_telling_of_channels, tell))


def _telling_of_call(place: Place, tell: Callable[[str], None], original: Any) -> Any:
    def call(its: Any, *args: Any, **kwargs: Any) -> Any:
        __traceback_hide__ = True
        found = original(its, *args, **kwargs)
        try:
            route = place.read(its, args, found)
        except (AttributeError, IndexError, KeyError, TypeError):  # another layout: no route
            route = None
        if route:
            tell(route)
        return found

    return call


def _telling_of_channels(tell: Callable[[str], None], original: Any) -> Any:
    def init(its: Any, *args: Any, **kwargs: Any) -> None:
        original(its, *args, **kwargs)
        for route in its.routes:
            route.callback = _telling(tell, str(route.pattern), route.callback)

    return init


def _telling(tell: Callable[[str], None], route: str, application: Any) -> Any:
    async def call(scope: Any, receive: Any, send: Any) -> Any:
        __traceback_hide__ = True
        scope[_MOUNT] = scope.get(_MOUNT, "/") + route
        tell(scope[_MOUNT])
        return await application(scope, receive, send)

    functools.update_wrapper(call, application, assigned=(), updated=())
    call._path_routing = getattr(application, "_path_routing", False)  # type: ignore[attr-defined]  # noqa: SLF001 Channels looks for it
    return call
