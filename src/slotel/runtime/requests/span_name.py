"""Names a server span that has no route by its method alone: a path is no name, it has no bound.

Source: OpenTelemetry semantic conventions, HTTP spans, Name: `{method} {http.route}`, without a route `{method}`.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.sdk.trace import Span

from slotel.runtime.upstream.otel_reading import attributes_of

_ROUTE: Final = "http.route"
_PATHS: Final = ("url.path", "http.target")
_METHODS: Final = ("http.request.method", "http.method")
_NAMED_BY_ROUTE: Final = ("opentelemetry.instrumentation.tornado",)
"""Instrumentations that write a route into the name alone, and never a path."""
_SOCKET_METHOD: Final = "GET"
"""Of a websocket's handshake. Source: RFC 6455, section 4.1."""


def without_path(span: Span) -> str | None:
    """Return a better name for a server span that starts; None if its name holds no path.

    The path stays on the span, as `url.path`. A name that the app gave is left alone: it does not end with the path.
    """
    attributes = attributes_of(span)
    if _ROUTE in attributes:
        return None
    method, _, path = span.name.rpartition(" ")
    scope = span.instrumentation_scope
    if scope is not None and scope.name in _NAMED_BY_ROUTE:
        if path.startswith("/"):
            span.set_attribute(_ROUTE, path)
        return None
    if not path.startswith("/") or not any(_is_part(path, attributes.get(name)) for name in _PATHS):
        return None
    known = next((attributes[name] for name in _METHODS if name in attributes), _SOCKET_METHOD)
    return method or ("HTTP" if known == "_OTHER" else str(known))


def _is_part(path: str, whole: object) -> bool:
    """Whether a path is that of the request; a mount point may stand before it, a query behind."""
    return isinstance(whole, str) and whole.partition("?")[0].endswith(path)
