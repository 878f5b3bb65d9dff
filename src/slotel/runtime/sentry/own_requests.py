"""Recognises slotel's own requests to Sentry, whose spans are never exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

_URLS = ("url.full", "http.url")
_HTTP = frozenset({*_URLS, "http.request.method", "http.method"})
_HOSTS = ("server.address", "net.peer.name", "http.host")
_PORTS = ("server.port", "net.peer.port")


@lru_cache(maxsize=16)
def own_span_test(dsn: str) -> Callable[[ReadableSpan, Mapping[str, Any]], bool]:
    """Return a predicate of a span and its attributes: whether it is a request to the DSN's host.

    Exporting such a span would cause another one, for ever. It reads `url.full`, `http.url`, or `server.address` alone.
    """
    parts = urlsplit(dsn)
    host = (parts.hostname or "").lower()
    port = _port(parts.port, parts.scheme)
    client = SpanKind.CLIENT

    def is_own(span: ReadableSpan, attributes: Mapping[str, Any]) -> bool:
        if span.kind is not client or _HTTP.isdisjoint(attributes):
            return False
        found = _target(attributes)
        return found is not None and found[0] == host != "" and found[1] in (port, None)

    return is_own


def _target(attributes: Mapping[str, Any]) -> tuple[str, int | None] | None:
    """Return host (in lower case) and port of a client span; the port is None if the span has none."""
    for key in _URLS:
        url = attributes.get(key)
        if isinstance(url, str):
            try:
                parts = urlsplit(url)
                return (parts.hostname or "").lower(), _port(parts.port, parts.scheme)
            except ValueError:
                return None
    for key in _HOSTS:
        host = attributes.get(key)
        if isinstance(host, str) and host:
            name, _, port = host.partition(":")
            given = next((attributes[each] for each in _PORTS if each in attributes), None)
            number = given if isinstance(given, int) else int(port) if port.isdigit() else None
            return name.lower(), number
    return None


def _port(port: int | None, scheme: str) -> int:
    return port or (443 if scheme == "https" else 80)
