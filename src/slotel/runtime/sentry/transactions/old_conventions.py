"""Stable semantic conventions under the old names, for readers that know only those. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_OLD: Final = {
    "http.request.method": "http.method",
    "http.response.status_code": "http.status_code",
    "url.full": "http.url",
    "url.scheme": "http.scheme",
    "server.address": "net.peer.name",
    "server.port": "net.peer.port",
    "db.system.name": "db.system",
    "db.query.text": "db.statement",
    "db.namespace": "db.name",
    "db.operation.name": "db.operation",
    "user_agent.original": "http.user_agent",
    "client.address": "http.client_ip",
}
"""Stable → old. Source: OpenTelemetry semantic conventions, migration guides for HTTP and databases."""

_ON_SERVER: Final = {"server.address": "net.host.name", "server.port": "net.host.port"}


def with_old_names(attributes: Mapping[str, Any], *, server: bool = False) -> dict[str, Any]:
    """Return the attributes and, for each stable one, its old name; what is already there stays.

    Args:
        server: the span is of kind SERVER, where `server.address` was the host's own name, not the peer's.

    >>> with_old_names({"http.request.method": "GET"})["http.method"]
    'GET'
    """
    result = dict(attributes)
    for key, value in attributes.items():
        old = (_ON_SERVER.get(key) if server else None) or _OLD.get(key)
        if old is not None:
            result.setdefault(old, value)
    path = attributes.get("url.path")
    if path is not None and "http.target" not in result:
        query = attributes.get("url.query")
        result["http.target"] = f"{path}?{query}" if query else path
    return result
