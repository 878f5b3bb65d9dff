"""Replaces functions of OpenTelemetry's HTTP instrumentations by ones with the same results and fewer calls.

`request_attributes.py` has the functions that answer; here they are put before the instrumentations' own (0495).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from slotel.runtime.upstream.otel.instrumentations.request_attributes import (
    Rooted,
    asking,
    collecting_in_one,
    of_environ,
    of_scope,
    picking,
    setting_status,
    url_of_scope,
)
from slotel.runtime.upstream.probe import SLOWER, Probe
from slotel.runtime.upstream.stdlib import quick_environment

_PACKAGE: Final = "opentelemetry.instrumentation"
_COLLECT: Final = Probe(
    f"{_PACKAGE}.wsgi", "collect_request_attributes",
    why="leaves the application's root out of path and route, and costs 15 us, for Flask twice (0.66b1)",
    without="below a root path routes lack it",
)  # fmt: skip
_COLLECT_ASGI: Final = Probe(
    f"{_PACKAGE}.asgi", "collect_request_attributes", why=_COLLECT.why, without=_COLLECT.without
)
_COSTS: Final = "each HTTP request costs 3 us more for each function that it takes"


def _many(kind: str, name: str, what: str) -> Probe:
    return Probe(f"{_PACKAGE}.{kind}", name, why=f"{what} (0.66b1)", without=_COSTS, level=SLOWER)


_QUICKER: Final = tuple(
    (
        _many(kind, "_set_status", "the status of an answer takes six functions"),
        tuple(
            (
                _many(
                    kind, f"_parse_{metric}_attrs", "the attributes of a metric take two to four functions"
                ),
                *(
                    _many(kind, f"_server_{names}_attrs_{age}", "the same: which they are")
                    for age in ("new", "old")
                ),
            )
            for metric, names in (("active_request_count", "active_requests_count"), ("duration", "duration"))
        ),
    )
    for kind in ("wsgi", "asgi")
)
_URL: Final = _many(
    "asgi", "get_host_port_url_tuple", "the URL that is compared with the excluded ones takes seven functions"
)
_TARGET: Final = _many(
    "asgi", "_collect_target_attribute", "nine functions make what only the older conventions' metrics have"
)
_ENVIRON: Final = Probe(
    "opentelemetry.util.http", "environ",
    why="seven variables that are mostly not set are asked for in each request (0.66b1)",
    without="each HTTP request costs 7 us more",
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
_ASGI_HEADER: Final = Probe(
    f"{_PACKAGE}.asgi:ASGIGetter", "get",
    why="all headers of a request are decoded for each of seven that are asked for, mostly in vain (0.66b1)",
    without="each ASGI request costs 10 us more",
    level=SLOWER,
)  # fmt: skip
_FLASK: Final = Probe(
    f"{_PACKAGE}.flask", "flask",
    why="looks at `flask.request` some twenty times a request, each time through a proxy of three functions (0.66b1)",
    without="each request to Flask costs 10 us more",
    level=SLOWER,
)  # fmt: skip
_CAPTURED: Final = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_"
_ROOT: Final = "SCRIPT_NAME"


def shorten_requests(rooted: Rooted) -> None:
    """Shorten what the instrumentations that are loaded do for each request; a second call changes nothing.

    Args:
        rooted: see `Rooted`.
    """
    _collect_attributes(rooted)
    _take_fewer_functions()
    _ask_environment_quickly()
    _capture_headers_if_asked(_REQUEST_HEADERS, f"{_CAPTURED}REQUEST")
    _capture_headers_if_asked(_ANSWER_HEADERS, f"{_CAPTURED}RESPONSE")
    _decode_headers_that_are_there()
    _look_at_the_request_itself()


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


def _look_at_the_request_itself() -> None:
    module = _FLASK.owner()
    found = _FLASK.of(module) if module is not None else None
    if isinstance(found, ModuleType):
        _FLASK.put(module, _Flask(found))


def _decode_headers_that_are_there() -> None:
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def get(its: Any, carrier: Any, key: str) -> Any:
            wanted, found = key.lower().encode(), []
            for name, value in carrier.get("headers") or ():
                if name.lower() == wanted:
                    try:
                        found.append(value.decode())
                    except ValueError:  # no UTF-8
                        return original(its, carrier, key)
            return found or None

        return get

    _ASGI_HEADER.wrap_imported(wrap)


def _capture_headers_if_asked(collect: Probe, variable: str) -> None:
    environ = quick_environment()

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def attributes_of_headers(headers: Any) -> Any:
            return original(headers) if environ.get(variable) else {}

        return attributes_of_headers

    collect.wrap_imported(wrap)


def _collect_attributes(rooted: Rooted) -> None:
    """Collect the attributes of a request in one go, and put the application's root before its path."""
    for probe, key, quick in ((_COLLECT, _ROOT, of_environ), (_COLLECT_ASGI, "root_path", of_scope)):
        probe.wrap_imported(functools.partial(collecting_in_one, quick, rooted, key))


def _take_fewer_functions() -> None:
    for status, picks in _QUICKER:
        module = status.owner()
        if module is None:
            continue
        status.wrap(module, setting_status)
        for pick, *names in picks:
            new, old = (each.of(module) for each in names)
            if new is not None and old is not None:
                pick.wrap(module, functools.partial(picking, new, old))
    _URL.wrap_imported(functools.partial(asking, url_of_scope))
    modes = {mode.strip() for mode in os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")}
    if "http" in modes and "http/dup" not in modes:
        _TARGET.wrap_imported(lambda _original: lambda _scope: None)


def _ask_environment_quickly() -> None:
    module = _ENVIRON.owner()
    if module is not None and _ENVIRON.of(module) is os.environ:
        _ENVIRON.put(module, quick_environment())
