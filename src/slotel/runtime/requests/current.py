"""The request that is being served in the current context, for frameworks and the app's code.

`served.py` is the request itself, as its server sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import Span

from slotel.runtime.requests.served import SERVED, is_own
from slotel.runtime.requests.span_name import name_by_route, name_socket
from slotel.runtime.upstream.otel.reading import attributes_of


def has_server_span() -> bool:
    """Return whether an instrumentation has made the server span of the current request."""
    span = _server_span()
    return span is not None and not is_own(span)


def is_served() -> bool:
    """Return whether a layer observes the current request."""
    served = SERVED.get()
    return served is not None and not served.is_over


def _server_span() -> Span | None:
    served = SERVED.get()
    return None if served is None or served.local_root is None else served.local_root.span


def name_served(route: str) -> None:
    """Name the current request by its full route, which only the mounted application knows."""
    if (span := _server_span()) is not None:
        name_by_route(span, route)


def name_served_socket() -> None:
    """Add the method of the handshake to the name of the current websocket, which has its route."""
    if (span := _server_span()) is not None:
        name_socket(span)


def note_route(route: str) -> None:
    """Note the route template of the current request, also for a span that an instrumentation names later."""
    served = SERVED.get()
    if served is None:
        return
    served.reported_route = route
    local_root = served.local_root
    if local_root is not None and not is_own(local_root.span):
        if "http.route" not in attributes_of(local_root.span):
            name_by_route(local_root.span, route)
    else:
        served.name_own()


def note_failure(error: BaseException) -> None:
    """Note the exception that failed the current websocket."""
    served = SERVED.get()
    if served is not None:
        served.failure = error


def describe_served(span: Any, name: str, attributes: Mapping[str, Any]) -> None:
    """Name the server span that a layer made, unless it has a route already."""
    if isinstance(span, Span) and is_own(span) and not attributes_of(span).get("http.route"):
        span.set_attributes(attributes)
        span.update_name(name)


def served_span() -> Span | None:
    """Return the open server span of the current request; that of an app's first request is made here if need be."""
    served = SERVED.get()
    if served is None or served.is_over:
        return None
    served.ensure_span()
    return None if served.local_root is None or served.local_root.ended else served.local_root.span
