"""Replaces functions of OpenTelemetry's HTTP instrumentations by ones with the same results and fewer calls (0495).

At a hundred requests a second each function that a request needs costs up to 3 us, however little it does: its code has
left the processor's caches since the request before. Attributes are collected by the stable conventions, and of what
most requests are: a function answers None, or fails, where the instrumentation's own is to be asked.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from slotel.runtime.upstream.probe import SLOWER, Probe
from slotel.runtime.upstream.stdlib import quick_environment

_PACKAGE: Final = "opentelemetry.instrumentation"
_AGENTS: Final = Probe(
    "opentelemetry.util.http", "detect_synthetic_user_agent",
    why="tells a robot by its user agent", without="each HTTP request costs 12 us more",
    level=SLOWER,
)  # fmt: skip
_COLLECT: Final = Probe(
    f"{_PACKAGE}.wsgi", "collect_request_attributes",
    why="leaves the application's root out of path and route, and costs 15 us, for Flask twice (0.66b1)",
    without="below a root path routes lack it",
)  # fmt: skip
_COLLECT_ASGI: Final = Probe(
    f"{_PACKAGE}.asgi", "collect_request_attributes", why=_COLLECT.why, without=_COLLECT.without
)
_STATUSES: Final = tuple(
    Probe(
        f"{_PACKAGE}.{kind}", "_set_status",
        why="the status of an answer takes six functions (0.66b1)", without="each HTTP request costs 5 us more",
        level=SLOWER,
    )
    for kind in ("wsgi", "asgi")
)  # fmt: skip
_URL: Final = Probe(
    f"{_PACKAGE}.asgi", "get_host_port_url_tuple",
    why="cannot decode each Host header: the error would end the request (0.66b1)",
    without="an ASGI request whose Host header has odd bytes fails",
)  # fmt: skip
_GETTER: Final = Probe(
    f"{_PACKAGE}.asgi:ASGIGetter", "get",
    why="cannot decode each header, nor each header's name: the error would end the request (0.66b1)",
    without="an ASGI request fails whose traceparent or baggage, or a name beside them, has odd bytes",
)  # fmt: skip
_TARGET: Final = Probe(
    f"{_PACKAGE}.asgi", "_collect_target_attribute",
    why="nine functions make what only the older conventions' metrics have (0.66b1)",
    without="each ASGI request costs 7 us more", level=SLOWER,
)  # fmt: skip
_ENVIRON: Final = Probe(
    "opentelemetry.util.http", "environ",
    why="seven variables that are mostly not set are asked for in each request (0.66b1)",
    without="each HTTP request costs 4 us more",
    level=SLOWER,
)  # fmt: skip
_REQUEST_HEADERS: Final = Probe(
    f"{_PACKAGE}.wsgi", "collect_custom_request_headers_attributes",
    why="all headers of a request are gone through, though none is to be captured (0.66b1)",
    without="each WSGI request costs 2 us more",
    level=SLOWER,
)  # fmt: skip
_ANSWER_HEADERS: Final = Probe(
    f"{_PACKAGE}.wsgi", "collect_custom_response_headers_attributes",
    why="the same of its answer",
    without=_REQUEST_HEADERS.without,
    level=SLOWER,
)  # fmt: skip
_FLASK: Final = Probe(
    f"{_PACKAGE}.flask", "flask",
    why="looks at `flask.request` some twenty times a request, each time through a proxy of three functions (0.66b1)",
    without="each request to Flask costs 10 us more",
    level=SLOWER,
)  # fmt: skip
_CAPTURED: Final = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_"
_MODE: Final = "sem_conv_opt_in_mode"
"""Parameter that says by which conventions; `http` are the stable ones."""
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_AGENT: Final = b"user-agent"
_LONG_AGENT: Final = 300
"""Characters of a user agent that is not remembered."""
_HTTP_PORT: Final = 80
_STATUS: Final = "http.response.status_code"
_INFORMATIONAL: Final = 100
_SERVER_ERROR: Final = 500
_VALUE: Final = itemgetter(1)
_UNREADABLE: Final = {"query_string": b"", "headers": ()}
"""Replaces what the instrumentations (0.66b1) cannot decode in an ASGI request: the error would end the request."""

Collected = dict[str, Any]
Detect = Callable[[str], Any]
Rooted = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Gives a request's attributes with the application's root before its path, and before a route that is added."""


def shorten_requests(rooted: Rooted) -> None:
    """Shorten what the instrumentations that are loaded do for each request; a second call changes nothing.

    Args:
        rooted: see `Rooted`.
    """
    for probe, key, quick in ((_COLLECT, "SCRIPT_NAME", of_environ), (_COLLECT_ASGI, "root_path", of_scope)):
        probe.wrap_imported(functools.partial(_collecting_in_one, quick, rooted, key))
    for probe in _STATUSES:
        probe.wrap_imported(_setting_status)
    _URL.wrap_imported(_withstanding_odd_bytes)
    _GETTER.wrap_imported(_reading_odd_bytes)
    modes = {mode.strip() for mode in os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")}
    if "http" in modes and "http/dup" not in modes:
        _TARGET.wrap_imported(lambda _original: lambda _scope: None)
    module = _ENVIRON.owner()
    if module is not None and _ENVIRON.of(module) is os.environ:
        _ENVIRON.put(module, quick_environment())
    _capture_headers_if_asked(_REQUEST_HEADERS, f"{_CAPTURED}REQUEST")
    _capture_headers_if_asked(_ANSWER_HEADERS, f"{_CAPTURED}RESPONSE")
    module = _FLASK.owner()
    found = _FLASK.of(module) if module is not None else None
    if isinstance(found, ModuleType):
        _FLASK.put(module, _Flask(found))


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


def _agent(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name.lower() == _AGENT:
            return value.decode()
    return None


_REQUEST: Final = {
    "REQUEST_METHOD": "POST", "PATH_INFO": "/a", "QUERY_STRING": "b=1", "HTTP_HOST": "c:1", "SERVER_NAME": "d",
    "SERVER_PORT": "1", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "https", "SCRIPT_NAME": "/e", "RAW_URI": "/f",
    "REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "2", "REMOTE_HOST": "g", "HTTP_USER_AGENT": "googlebot",
}  # fmt: skip
_SCOPE: Final = {
    "type": "http", "method": "GET", "path": "/a", "query_string": b"b=1", "scheme": "https", "server": ("c", 1),
    "client": ("192.0.2.1", 2), "http_version": "1.1", "root_path": "/e",
    "headers": [(b"host", b"d:3"), (b"user-agent", b"googlebot")],
}  # fmt: skip
_EXAMPLES: Final[dict[Any, tuple[Mapping[str, Any], ...]]] = {
    of_environ: (_REQUEST, {"REQUEST_METHOD": "GET", "SERVER_PORT": "0", "SERVER_PROTOCOL": ""}),
    of_scope: (_SCOPE, {"type": "websocket", "scheme": "ws", "path": "/a"}),
}
"""Requests by which it is seen whether a release of the instrumentations still answers as these functions do."""


def _withstanding_odd_bytes(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a request that also answers where a client's bytes are no text: the application may, too."""

    def ask(request: Any, *args: Any, **named: Any) -> Any:
        try:
            return original(request, *args, **named)
        except UnicodeError:
            return original({**request, **_UNREADABLE}, *args, **named)

    return ask


def _reading_odd_bytes(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a getter of the headers of an ASGI request that also reads what is no text, as Latin-1."""

    def get(its: Any, carrier: Mapping[str, Any], key: str) -> Any:
        try:
            return original(its, carrier, key)
        except UnicodeError:
            wanted = key.lower().encode()
            return [
                value.decode("latin-1") for name, value in carrier["headers"] if name.lower() == wanted
            ] or None

    return get


def _collecting_in_one(
    quick: Callable[[Any, Detect], Collected | None], rooted: Rooted, key: str, original: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a function that answers as the original one does, but that it puts the application's root before the path.

    Args:
        quick: one of `_EXAMPLES`, not asked where its answers to them are others.
        rooted: gives the attributes with the root before each path.
        key: under which a request has its root.
    """
    stable = _stable_conventions(original)
    # most clients come again; where it is gone, the answers to the examples are others
    detect = functools.lru_cache(128)(_AGENTS.of(_AGENTS.owner()) or str)
    ask = _withstanding_odd_bytes(original)
    is_known = stable is not None and _answers_alike(
        lambda request: original(dict(request), stable),
        lambda request: quick(request, detect),
        _EXAMPLES[quick],
    )

    def collect_request_attributes(request: Any, *mode: Any, **named: Any) -> Any:
        found = None
        if is_known and (mode[0] if mode else named.get(_MODE)) is stable:
            try:
                found = quick(request, detect)
            except Exception:  # noqa: BLE001 the original says what an odd request comes to
                found = None
        if found is None:
            found = ask(request, *mode, **named)
        root = request.get(key)
        return rooted(root, found) if root else found

    return collect_request_attributes


def _setting_status(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that puts an answer's status to a server span, as the original one does."""
    stable = _stable_conventions(original)

    def set_status(span: Any, attributes: dict[str, Any], status: int, *args: Any, **named: Any) -> None:
        is_error = not _INFORMATIONAL <= status < _SERVER_ERROR  # else the span's own status stays as it is
        if is_error or named.get(_MODE) is not stable or not named.get("server_span"):
            original(span, attributes, status, *args, **named)
            return
        if span.is_recording():
            span.set_attribute(_STATUS, status)
        attributes[_STATUS] = status

    def seen(by: Callable[..., Any], status: int) -> tuple[Any, ...]:
        noted: list[Any] = []
        span = SimpleNamespace(
            is_recording=lambda: True,
            set_attribute=lambda name, value: noted.append((name, value)),
            set_status=lambda its: noted.extend([] if its.is_unset else [its]),
        )
        metric: dict[str, Any] = {}
        by(span, metric, status, str(status), **{"server_span": True, _MODE: stable})
        return noted, metric

    is_known = stable is not None and _answers_alike(
        functools.partial(seen, original), functools.partial(seen, set_status), (100, 200, 302, 404, 499)
    )
    return set_status if is_known else original


def _answers_alike(original: Callable[..., Any], quick: Callable[..., Any], examples: Iterable[Any]) -> bool:
    """Return whether this release of an instrumentation answers as the quick function does."""
    try:
        return all(original(example) == quick(example) for example in examples)
    except Exception:  # noqa: BLE001 a release that has another function there
        return False


def _capture_headers_if_asked(collect: Probe, variable: str) -> None:
    environ = quick_environment()

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def attributes_of_headers(headers: Any) -> Any:
            return original(headers) if environ.get(variable) else {}

        return attributes_of_headers

    collect.wrap_imported(wrap)


class _Flask:
    """The module `flask`, but that its `request` is the request and no proxy; where there is none, it is the proxy.

    Args:
        module: has everything else.
    """

    _module: ModuleType

    def __init__(self, module: ModuleType) -> None:
        vars(self)["_module"] = module

    @property
    def request(self) -> Any:
        """Return the request that is served here."""
        proxy = self._module.request
        try:
            return proxy._get_current_object()  # noqa: SLF001 Werkzeug documents it
        except (AttributeError, RuntimeError):
            return proxy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the module: instrumenting sets `Flask`."""
        setattr(self._module, name, value)


def _stable_conventions(original: Callable[..., Any]) -> Any:
    """Return the value for a function's parameter that chooses the stable conventions; None without."""
    mode = inspect.signature(original).parameters.get(_MODE)
    kinds = type(mode.default) if mode is not None else ()
    return (
        next((each for each in kinds if each.value == "http"), None)
        if hasattr(kinds, "__members__")
        else None
    )
