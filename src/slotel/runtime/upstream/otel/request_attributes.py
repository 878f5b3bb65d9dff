"""The attributes of a server span as OpenTelemetry's instrumentations collect them, in one function instead of fifty.

Only by the stable conventions, and only of what most requests are: a function answers None, or fails, where the
instrumentation's own is to be asked.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from slotel.runtime.upstream.probe import SLOWER, Probe

_AGENTS: Final = Probe(
    "opentelemetry.util.http", "detect_synthetic_user_agent",
    why="tells a robot by its user agent", without="each HTTP request costs 12 us more",
    level=SLOWER,
)  # fmt: skip
_MODE: Final = "sem_conv_opt_in_mode"
"""Parameter that says by which conventions; `http` are the stable ones."""
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_AGENT: Final = b"user-agent"
_HTTP_PORT: Final = 80

Collected = dict[str, Any]
Detect = Callable[[str], Any]
Rooted = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Gives a request's attributes with the application's root before its path, and before a route that is added."""


def of_environ(environ: Mapping[str, Any], detect: Detect) -> Collected | None:
    """Return the attributes of a WSGI request."""
    get = environ.get
    method, port = get("REQUEST_METHOD"), get("REMOTE_PORT")
    if method not in _METHODS or port == "0":
        return None
    target, agent = get("RAW_URI"), get("HTTP_USER_AGENT")
    has_target = get("REQUEST_URI") if target is None else target
    version = get("SERVER_PROTOCOL", "")
    found = {
        "http.request.method": method,
        "url.scheme": get("wsgi.url_scheme"),
        "server.address": get("HTTP_HOST"),
        "server.port": int(get("SERVER_PORT") or 0),
        "url.path": get("PATH_INFO") if has_target else None,
        "url.query": get("QUERY_STRING") if has_target else None,
        "client.address": get("REMOTE_HOST") or get("REMOTE_ADDR"),
        "client.port": int(port or 0),
        "user_agent.original": agent,
        "user_agent.synthetic.type": detect(agent) if agent else None,
        "network.protocol.version": version[5:] if version[:5].upper() == "HTTP/" else version,
    }
    return {name: value for name, value in found.items() if value}


def of_scope(scope: Mapping[str, Any], detect: Detect) -> Collected | None:
    """Return the attributes of a request or a socket of ASGI."""
    get = scope.get
    method, scheme, path = get("method", ""), get("scheme"), get("path")
    host, port = get("server") or ("0.0.0.0", 80)  # noqa: S104 what the instrumentation says of a server that does not
    address, client_port = get("client") or ("", 0)
    if (method and method not in _METHODS) or not port.__class__ is client_port.__class__ is int:
        return None
    if not host.__class__ is scheme.__class__ is path.__class__ is str:
        return None
    query, agent = get("query_string"), _agent(get("headers") or ())
    found = {
        "url.scheme": scheme,
        "server.address": host if port == _HTTP_PORT else f"{host}:{port}",
        "server.port": port,
        "network.protocol.version": get("http_version"),
        "url.path": path,
        "url.query": query.decode() if query and path else None,
        "http.request.method": method,
        "user_agent.original": agent,
        "user_agent.synthetic.type": detect(agent) if agent else None,
        "client.address": address,
        "client.port": client_port,
    }
    return {name: value for name, value in found.items() if value}


def _agent(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name.lower() == _AGENT:
            return value.decode()
    return None


_ENVIRON: Final = {
    "REQUEST_METHOD": "POST", "PATH_INFO": "/a", "QUERY_STRING": "b=1", "HTTP_HOST": "c:1", "SERVER_NAME": "d",
    "SERVER_PORT": "1", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "https", "SCRIPT_NAME": "/e", "RAW_URI": "/f",
    "REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "2", "REMOTE_HOST": "g", "HTTP_USER_AGENT": "googlebot",
}  # fmt: skip
_SCOPE: Final = {
    "type": "http", "method": "GET", "path": "/a", "query_string": b"b=1", "scheme": "https", "server": ("c", 1),
    "client": ("192.0.2.1", 2), "http_version": "1.1", "root_path": "/e",
    "headers": [(b"host", b"d:3"), (b"user-agent", b"googlebot")],
}  # fmt: skip
EXAMPLES: Final[dict[Any, tuple[Mapping[str, Any], ...]]] = {
    of_environ: (_ENVIRON, {"REQUEST_METHOD": "GET", "SERVER_PORT": "0", "SERVER_PROTOCOL": ""}),
    of_scope: (_SCOPE, {"type": "websocket", "scheme": "ws", "path": "/a"}),
}
"""Requests by which it is seen whether a release of the instrumentations still answers as these functions do."""


def collecting_in_one(
    quick: Callable[[Any, Detect], Collected | None], rooted: Rooted, key: str, original: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a function that answers as the original one does, but that it puts the application's root before the path.

    Args:
        quick: one of `EXAMPLES`, not asked where its answers to them are others.
        rooted: gives the attributes with the root before each path.
        key: under which a request has its root.
    """
    stable, detect = _conventions_of(quick, original)

    def collect_request_attributes(request: Any, *mode: Any, **named: Any) -> Any:
        found = None
        if stable is not None and (mode[0] if mode else named.get(_MODE)) is stable:
            try:
                found = quick(request, detect)
            except Exception:  # noqa: BLE001 the original says what an odd request comes to
                found = None
        if found is None:
            found = original(request, *mode, **named)
        root = request.get(key)
        return rooted(root, found) if root else found

    return collect_request_attributes


def _conventions_of(quick: Callable[..., Any], original: Callable[..., Any]) -> tuple[Any, Any]:
    """Return by which conventions a function answers as the original one, and what it is to tell robots by."""
    http = sys.modules.get(_AGENTS.where)
    detect = _AGENTS.of(http) if http is not None else None
    stable = _stable_conventions(original)
    try:
        for example in EXAMPLES[quick]:
            if list(original(dict(example), stable).items()) != list(quick(example, detect).items()):
                return None, None
    except Exception:  # noqa: BLE001 a release that collects them in another way
        return None, None
    return stable, detect


def _stable_conventions(original: Callable[..., Any]) -> Any:
    mode = inspect.signature(original).parameters.get(_MODE)
    kinds = type(mode.default) if mode is not None else ()
    return (
        next((each for each in kinds if each.value == "http"), None)
        if hasattr(kinds, "__members__")
        else None
    )
