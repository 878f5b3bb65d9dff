"""Names a server span without a route by its method alone: the cardinality of paths is unbounded.

Source: OpenTelemetry semantic conventions, HTTP spans, Name: `{method} {http.route}`, without a route `{method}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from opentelemetry.sdk.trace import Span

from slotel.runtime.logs import exact_text
from slotel.runtime.upstream.otel.reading import attributes_of

_ROUTE: Final = "http.route"
PATHS: Final = frozenset({"url.path", "http.target"})
"""Attributes with the requested path, in the stable and in the old conventions."""
METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY"}
)
"""Any other method is `_OTHER`. Source: OpenTelemetry semantic conventions, `http.request.method`."""
_METHODS: Final = ("http.request.method", "http.method")
_ORIGINAL: Final = "http.request.method_original"
"""An unknown method is unbounded: the attribute is `_OTHER`, and `HTTP` stands in the name."""
_INSTRUMENTATIONS: Final = "opentelemetry.instrumentation."
_NAMED_BY_ROUTE: Final = ("opentelemetry.instrumentation.tornado",)
"""Instrumentations that write a route into the name only, and never a path."""
_CATCH_ALL: Final = "%s"
"""Tornado's route template of a pattern that is a single group: it names no route."""
_OF_SOCKETS: Final = "WS"
"""The method that FastAPI's own telemetry (0.165) writes for a websocket."""
_SOCKET_METHOD: Final = "GET"
"""Method of a websocket's handshake, which its ASGI scope does not contain. Source: RFC 6455, section 4.1."""


def better_name(span: Span) -> str | None:
    """Return the conventional name of a server span that starts: without the path, and with a websocket's method.

    The path stays on the span, as `url.path`. A name that the app chose is kept; it does not end with the path.

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
    method, path = _split(name)
    scope = span.instrumentation_scope
    is_instrumentations = scope is not None and scope.name.startswith(_INSTRUMENTATIONS)
    if scope is not None and scope.name in _NAMED_BY_ROUTE:
        if path.startswith("/"):
            span.set_attribute(_ROUTE, path)
        return method if path == _CATCH_ALL else None
    known = [attributes[key] for key in PATHS if key in attributes]
    if known:
        if is_instrumentations and method and not path.startswith("/"):
            path = f"/{path}"  # WSGI's says PATH_INFO, from which an app may have cut the slash
        if not path.startswith("/") or not any(_is_part(path, whole) for whole in known):
            return None
    elif (
        not path.startswith("/")
        or not is_instrumentations
        or attributes.keys().isdisjoint(_METHODS)  # the full name of an RPC is like a path
    ):
        return None
    return word if method in ("", clients_own) else method


def name_by_route(span: Span, route: str) -> None:
    """Name a server span by its full route; a name that the app chose is kept."""
    before = attributes_of(span).get(_ROUTE)
    span.set_attribute(_ROUTE, route)
    method, path = _split(span.name)
    if path == before:
        span.update_name(f"{method} {route}".strip())
    elif path in METHODS or path == "HTTP":
        span.update_name(f"{path} {route}")


def name_socket(span: Span) -> None:
    """Put the method of the handshake before the name of a websocket's span that is named by its route."""
    method, _, route = span.name.partition(" ")
    if method == _OF_SOCKETS:
        span.update_name(f"{_SOCKET_METHOD} {route}".strip())


def place_under(span: Span, prefix: str) -> None:
    """Put the application's root path before the path and the route of a server span, if they lack it.

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
        method, path = _split(span.name)
        if full != route:
            name_by_route(span, full)
        elif path != route and under(prefix, path) == route:
            span.update_name(f"{method} {route}".strip())


class RootedAttributes(dict[str, Any]):
    """Attributes of a server span that put the application's root path before each path and route that is set.

    Instrumentations set their attributes again after the span has started.
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


def _split(name: str) -> tuple[str, str]:
    """Return the method in a span's name, empty if there is none, and the path or route, which may have spaces.

    >>> _split("GET /a b"), _split("/a b"), _split("GET")
    (('GET', '/a b'), ('', '/a b'), ('', 'GET'))
    """
    method, space, path = name.partition(" ")
    return (method, path) if space and not name.startswith("/") else ("", name)


def _is_part(path: str, whole: object) -> bool:
    """Whether a path is the request's, also decoded, with a mount point before it or a query behind it."""
    if not isinstance(whole, str):
        return False
    text = exact_text(whole)
    forms: tuple[str, ...] = text, text.partition("?")[0]
    if "%" in text:
        forms += tuple(unquote(form, encoding) for form in forms for encoding in ("utf-8", "latin-1"))
    # PATH_INFO may lack the slash, and what is at the ends of it the name lacks
    return any(f"/{form}".strip().endswith(path.strip()) for form in forms)
