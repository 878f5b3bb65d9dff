"""The attributes of a server span as OpenTelemetry's instrumentations collect them, in six functions instead of sixty.

At a hundred requests a second each function that a request needs costs up to 3 us, however little it does: its code has
left the processor's caches since the request before. Only by the stable conventions, and only of what most requests
are: a function answers None, or fails, where the instrumentation's own is to be asked.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from operator import itemgetter
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
_LONG_AGENT: Final = 300
"""Characters of a user agent that is not remembered."""
_STATUS: Final = "http.response.status_code"
_INFORMATIONAL: Final = 100
_SERVER_ERROR: Final = 500
_HTTP_PORT: Final = 80
_VALUE: Final = itemgetter(1)
_UNREADABLE: Final = {"query_string": b"", "headers": ()}
"""Replaces what the instrumentations (0.66b1) cannot decode in an ASGI request: the error would end the request."""

Collected = dict[str, Any]
Detect = Callable[[str], Any]
Rooted = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Gives a request's attributes with the application's root before its path, and before a route that is added."""


def of_environ(environ: Mapping[str, Any], detect: Detect) -> Collected | None:
    """Return the attributes of a WSGI request."""
    get = environ.get
    method, port = get("REQUEST_METHOD"), get("REMOTE_PORT")
    target, agent = get("RAW_URI"), get("HTTP_USER_AGENT")
    if method not in _METHODS or port == "0" or (agent and len(agent) > _LONG_AGENT):
        return None
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
    return dict(filter(_VALUE, found.items()))


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
    if agent and len(agent) > _LONG_AGENT:
        return None
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
    return dict(filter(_VALUE, found.items()))


def url_of_scope(scope: Mapping[str, Any]) -> tuple[str, Any, str] | None:
    """Return server, port and URL of a request of ASGI."""
    host, port = scope.get("server") or ("0.0.0.0", 80)  # noqa: S104 what the instrumentation says without one
    server: str = host + ("" if str(port) == "80" else f":{port}")
    asked = server
    for name, value in scope.get("headers") or ():
        if name.lower() == b"host":
            asked = value.decode()
            break
    scheme: str = scope.get("scheme", "http")
    return server, port, scheme + "://" + asked + scope.get("path", "")


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
    url_of_scope: (_SCOPE, {"type": "http"}, {"server": ("c", 80), "path": "/a", "headers": [(b"x", b"y")]}),
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
            try:
                found = original(request, *mode, **named)
            except UnicodeError:  # of a client's bytes that are no text: the application may well answer
                found = original({**request, **_UNREADABLE}, *mode, **named)
        root = request.get(key)
        return rooted(root, found) if root else found

    return collect_request_attributes


def picking(new: Collection[str], old: Collection[str], original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that keeps of attributes those that a metric has, as the original one does.

    Args:
        new: names of those that the metric has by the stable conventions.
        old: by the older ones.
    """
    stable, former = _stable_conventions(original), _conventions(original, "default")
    by_new, by_old = frozenset(new), frozenset(old)

    def pick(attributes: Mapping[str, Any], *mode: Any, **named: Any) -> Any:
        chosen = mode[0] if mode else named.get(_MODE, former)
        if chosen is not stable and chosen is not former:
            return original(attributes, *mode, **named)
        names, found = by_new if chosen is stable else by_old, {}
        for name, value in attributes.items():
            if name in names:
                found[name] = value  # noqa: PERF403 a comprehension is one more function before Python 3.12
        return found

    example = dict.fromkeys(("a", *sorted({*new, *old})), "b")
    try:
        same = all(original(example, mode) == pick(example, mode) for mode in (stable, former))
    except Exception:  # noqa: BLE001 a release that picks them in another way
        same = False
    return pick if same and stable is not None else original


def setting_status(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that puts an answer's status to a server span, as the original one does."""
    stable = _stable_conventions(original)

    def set_status(
        span: Any, attributes: MutableMapping[str, Any], status: int, *args: Any, **named: Any
    ) -> Any:
        if (
            _INFORMATIONAL <= status < _SERVER_ERROR  # then the span's own status stays as it is
            and named.get(_MODE) is stable
            and named.get("server_span")
        ):
            if span.is_recording():
                span.set_attribute(_STATUS, status)
            attributes[_STATUS] = status
        else:
            original(span, attributes, status, *args, **named)

    try:
        seen = [_Seen().after(each, stable) for each in (original, set_status)]
    except Exception:  # noqa: BLE001 a release that sets it in another way
        return original
    return set_status if stable is not None and seen[0] == seen[1] else original


class _Seen:
    """A span that notes what is set."""

    def after(self, set_status: Callable[..., Any], stable: Any) -> list[Any]:
        """Return what a function sets of some answers."""
        self.noted: list[Any] = []
        for status in (100, 200, 302, 404, 499):
            metric: dict[str, Any] = {}
            named = {"server_span": True, _MODE: stable}
            set_status(self, metric, status, str(status), **named)
            self.noted.append(metric)
        return self.noted

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, name: str, value: Any) -> None:
        self.noted.append((name, value))

    def set_status(self, status: Any) -> None:
        if not status.is_unset:
            self.noted.append(status)


def asking(quick: Callable[[Any], Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that answers as the original one does to `EXAMPLES`, and by it where the quick one fails."""

    def ask(request: Any) -> Any:
        try:
            return quick(request)
        except Exception:  # noqa: BLE001 the original says what an odd request comes to
            try:
                return original(request)
            except UnicodeError:
                return original({**request, **_UNREADABLE})

    try:
        same = all(quick(example) == original(example) for example in EXAMPLES[quick])
    except Exception:  # noqa: BLE001 a release that asks in another way
        same = False
    return ask if same else original


def _conventions_of(quick: Callable[..., Any], original: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the conventions by which a function equals the original one, and its detection of robots."""
    http = sys.modules.get(_AGENTS.where)
    detect = _remembering(_AGENTS.of(http)) if http is not None else None
    stable = _stable_conventions(original)
    try:
        for example in EXAMPLES[quick]:
            if list(original(dict(example), stable).items()) != list(quick(example, detect).items()):
                return None, None
    except Exception:  # noqa: BLE001 a release that collects them in another way
        return None, None
    return stable, detect


def _remembering(detect: Detect | None) -> Detect | None:
    """Return a function that remembers what the last clients were: most come again."""
    if detect is None:
        return None
    return functools.lru_cache(128)(detect)


def _stable_conventions(original: Callable[..., Any]) -> Any:
    return _conventions(original, "http")


def _conventions(original: Callable[..., Any], name: str) -> Any:
    """Return the value for a function's parameter that chooses the conventions of this name; None without."""
    mode = inspect.signature(original).parameters.get(_MODE)
    kinds = type(mode.default) if mode is not None else ()
    return (
        next((each for each in kinds if each.value == name), None) if hasattr(kinds, "__members__") else None
    )
