"""Names a server span that has no route by its method alone: a path is no name, it has no bound.

Source: OpenTelemetry semantic conventions, HTTP spans, Name: `{method} {http.route}`, without a route `{method}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import Span

from slotel.runtime.logs import exact_text
from slotel.runtime.upstream.otel.reading import attributes_of

_ROUTE: Final = "http.route"
PATHS: Final = frozenset({"url.path", "http.target"})
"""What says which path was asked for, by the new and by the old conventions."""
METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY"}
)
"""What is another's is `_OTHER`. Source: OpenTelemetry semantic conventions, `http.request.method`."""
_METHODS: Final = ("http.request.method", "http.method")
_ORIGINAL: Final = "http.request.method_original"
"""A client's own word for a method has no bound: it is `_OTHER`, and `HTTP` in the name."""
_INSTRUMENTATIONS: Final = "opentelemetry.instrumentation."
_NAMED_BY_ROUTE: Final = ("opentelemetry.instrumentation.tornado",)
"""Instrumentations that write a route into the name alone, and never a path."""
_CATCH_ALL: Final = "%s"
"""Tornado's template of a pattern that is one group: it says nothing."""
_OF_SOCKETS: Final = "WS"
"""What FastAPI's own telemetry (0.165) writes in place of a websocket's method."""
_SOCKET_METHOD: Final = "GET"
"""Of a websocket's handshake, which its ASGI scope does not name. Source: RFC 6455, section 4.1."""


def better_name(span: Span) -> str | None:
    """Return the name by convention of a server span that starts: without a path, a websocket's with its method.

    The path stays on the span, as `url.path`. A name that the app gave is left alone: it does not end with the path.

    Returns:
        None if the name is right.
    """
    attributes, name = attributes_of(span), span.name
    method, route = attributes.get(_METHODS[0]), attributes.get(_ROUTE)
    if (
        name.__class__ is method.__class__ is route.__class__ is str
        and _ORIGINAL not in attributes
        and name == f"{method} {route}"
    ):
        return None  # most names
    return _by_convention(span, attributes)


def _by_convention(span: Span, attributes: Mapping[str, Any]) -> str | None:
    name = exact_text(span.name)
    asked = next((exact_text(attributes[key]) for key in _METHODS if key in attributes), None)
    word = _SOCKET_METHOD if asked is None else "HTTP" if asked == "_OTHER" else asked
    clients_own = None  # or what it is called
    if asked is None:
        clients_own = _OF_SOCKETS if name == _OF_SOCKETS else "HTTP"
    if _ORIGINAL in attributes:
        clients_own = exact_text(attributes[_ORIGINAL])
    route = exact_text(attributes[_ROUTE]) if _ROUTE in attributes else None
    if route is not None or name == clients_own:
        rest = "" if route is None else f" {route}"
        return f"{word}{rest}" if name in (route, f"{clients_own}{rest}") else None
    method, _, path = name.rpartition(" ")
    scope = span.instrumentation_scope
    if scope is not None and scope.name in _NAMED_BY_ROUTE:
        if path.startswith("/"):
            span.set_attribute(_ROUTE, path)
        return method if path == _CATCH_ALL else None
    if not path.startswith("/"):
        return None
    known = [attributes[key] for key in PATHS if key in attributes]
    if known:
        if not any(_is_part(path, whole) for whole in known):
            return None
    elif (
        scope is None
        or not scope.name.startswith(_INSTRUMENTATIONS)
        or attributes.keys().isdisjoint(_METHODS)  # the full name of an RPC is like a path
    ):
        return None
    return word if method in ("", clients_own) else method


def name_by_route(span: Span, route: str) -> None:
    """Give a server span its full route; a name that the app gave stays."""
    before = attributes_of(span).get(_ROUTE)
    span.set_attribute(_ROUTE, route)
    method, _, path = span.name.rpartition(" ")
    if path == before:
        span.update_name(f"{method} {route}".strip())
    elif path in METHODS or path == "HTTP":
        span.update_name(f"{path} {route}")


def name_socket(span: Span) -> None:
    """Give the span of a websocket that is named by its route the method of its handshake."""
    method, _, route = span.name.partition(" ")
    if method == _OF_SOCKETS:
        span.update_name(f"{_SOCKET_METHOD} {route}".strip())


def place_under(span: Span, prefix: str) -> None:
    """Put the application's root before the path and the route of a server span that lack it.

    Source: OpenTelemetry semantic conventions, `http.route`, which includes the application root.
    """
    attributes = attributes_of(span)
    for name in PATHS:
        path = attributes.get(name)
        if isinstance(path, str) and (full := under(prefix, path)) != path:
            span.set_attribute(name, full)
    route = attributes.get(_ROUTE)
    if isinstance(route, str) and route:
        full = under(prefix, route)
        method, _, path = span.name.rpartition(" ")
        if full != route:
            name_by_route(span, full)
        elif path != route and under(prefix, path) == route:
            span.update_name(f"{method} {route}".strip())


class RootedAttributes(dict[str, Any]):
    """Attributes of a server span below a root: the paths and the route that are put in get it.

    Instrumentations set the attributes that they collect again when the span has started.
    """

    def __init__(self, root: str, attributes: Mapping[str, Any]) -> None:
        super().__init__()
        self._root = root
        self.update(attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        """Set an attribute."""
        if (name == _ROUTE or name in PATHS) and isinstance(value, str) and value:
            value = under(self._root, value)
        super().__setitem__(name, value)

    def update(self, attributes: Mapping[str, Any]) -> None:  # type: ignore[override]  # as it is called
        """Set some attributes."""
        for name, value in attributes.items():
            self[name] = value


def under(prefix: str, path: str) -> str:
    """Return a path below a prefix that it may have already.

    >>> under("/api", "/api/ok"), under("/api", "ok"), under("/api/", "/apiary")
    ('/api/ok', '/api/ok', '/api/apiary')
    """
    prefix = prefix.rstrip("/")
    if path == prefix or path.startswith((f"{prefix}/", f"{prefix}?")):
        return path
    return f"{prefix}/{path.lstrip('/')}"


def _is_part(path: str, whole: object) -> bool:
    """Whether a path is that of the request; a mount point may stand before it, a query behind."""
    return isinstance(whole, str) and exact_text(whole).partition("?")[0].endswith(path)
