"""The request that an error event shows: read from the WSGI environ or ASGI scope when there is an error, not before.

What may be shown (cookies, addresses, bodies) is decided by sentry-sdk and its settings: its own readers do the work.
They are private names of sentry-sdk; where a release lacks them, method and URL come from the span instead.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, TypeAlias

Carrier: TypeAlias = MutableMapping[str, Any]
"""A WSGI environ, or an ASGI scope."""


class RequestProcessor:
    """An event processor that adds one request to the events of its scope."""

    __slots__ = ("_carrier",)

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def __call__(self, event: Any, hint: Any) -> Any:
        """Complete an error event's `request`."""
        del hint
        if event.get("type") is None:
            add_request(event, self._carrier, {})
        return event


def add_request(event: Any, carrier: Carrier | None, attributes: Mapping[str, Any]) -> None:
    """Complete the event's `request` with what it lacks.

    Args:
        attributes: of the entry span, for what the carrier does not give.
    """
    found: dict[str, Any] = {}
    try:
        if carrier is not None:
            found = _from_wsgi(carrier) if "REQUEST_METHOD" in carrier else _from_asgi(carrier)
    except Exception:  # noqa: BLE001 another sentry-sdk: the span's attributes say the most important
        found = {}
    user = found.pop("user", None)
    if user:
        event.setdefault("user", {}).setdefault("ip_address", user)
    found = {**_from_span(attributes), **found}
    if found:
        event["request"] = {**found, **(event.get("request") or {})}


def _from_wsgi(environ: Carrier) -> dict[str, Any]:
    from sentry_sdk.integrations.wsgi import _make_wsgi_event_processor

    event: Any = _make_wsgi_event_processor(environ, use_x_forwarded_for=False)({}, {})  # type: ignore[arg-type]  # an environ
    return {**event.get("request", {}), "user": (event.get("user") or {}).get("ip_address")}


def _from_asgi(scope: Carrier) -> dict[str, Any]:
    from sentry_sdk.integrations import _asgi_common as common

    if scope.get("type") not in ("http", "websocket"):
        return {}
    read: Any = common._get_request_data  # noqa: SLF001 see the module's first lines
    paths = getattr(common, "_RootPathInPath", None)
    return dict(read(scope) if paths is None else read(scope, root_path_in_path=paths.EXCLUDED))


def _from_span(attributes: Mapping[str, Any]) -> dict[str, Any]:
    method = attributes.get("http.request.method") or attributes.get("http.method")
    url = attributes.get("url.full") or attributes.get("http.url")
    if url is None and attributes.get("url.path"):
        scheme, host = attributes.get("url.scheme", "http"), attributes.get("server.address", "localhost")
        port = attributes.get("server.port")
        url = f"{scheme}://{host}{f':{port}' if port else ''}{attributes['url.path']}"
    query = attributes.get("url.query")
    found = {"method": method, "url": url, "query_string": query}
    return {key: value for key, value in found.items() if value}
