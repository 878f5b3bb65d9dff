"""Faults of OpenTelemetry's instrumentation of Django: routes, names, the root, hosts that are not allowed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from slotel.runtime.upstream.frameworks.django import FORCED_ROOT
from slotel.runtime.upstream.probe import Probe

_MIDDLEWARE: Final = "opentelemetry.instrumentation.django.middleware.otel_middleware"
_REFUSED: Final = "a request to a host that is not allowed is answered with 400"
_RESPONSE: Final = Probe(
    f"{_MIDDLEWARE}:_DjangoMiddleware", "process_response",
    why="asks for the URL of each request", without=_REFUSED,
)  # fmt: skip
_EXCEPTION: Final = Probe(
    f"{_MIDDLEWARE}:_DjangoMiddleware", "process_exception", why=_RESPONSE.why, without=_REFUSED
)
_HOST: Final = Probe(
    "django.http.request:HttpRequest", "_current_scheme_host",
    why="the URL of a request to a host that is not allowed", without=_REFUSED,
    level=None,  # asked only for such a request
)  # fmt: skip
_VIEW: Final = Probe(
    f"{_MIDDLEWARE}:_DjangoMiddleware", "process_view",
    why='Django\'s `path("")` has no route (0.66b1): the home page is grouped with 404s',
    without="Django's home page is counted without a route",
)  # fmt: skip
_REQUEST: Final = Probe(
    f"{_MIDDLEWARE}:_DjangoMiddleware", "process_request",
    why="it writes a request's path without FORCE_SCRIPT_NAME, and begins a second span where a middleware runs all"
    " middlewares again (0.66b1)",
    without="below FORCE_SCRIPT_NAME, the path of a 404 lacks it, and under ASGI the URL of events; a request that"
    " goes through all middlewares again is bad",
)  # fmt: skip
_SPAN: Final = Probe(
    f"{_MIDDLEWARE}:_DjangoMiddleware", "_environ_span_key",
    why="the same: the key under which a request has its span", without=_VIEW.without,
)  # fmt: skip
_NAME: Final = Probe(
    f"{_MIDDLEWARE}:_DjangoMiddleware", "_get_span_name",
    why="looks for the route before a middleware has set the language or the URLs of a request (0.66b1)",
    without="Django's requests in another language than the default are named by their method alone",
)  # fmt: skip
_NAMED: Final = "slotel.name"
"""Key under which a request of Django has the name that the instrumentation gave its span."""
_INSIDE: Final = "slotel.inside"
"""Key of the number of further chains of middlewares in which a request of Django is: a middleware may run one."""
_ROOT: Final = "SCRIPT_NAME"


def patch_django(place_under: Callable[[Any, str], object]) -> None:
    """Patch the instrumentation, which was just loaded.

    Args:
        place_under: puts the application's root before the route of a span.
    """
    middleware = _SPAN.owner()
    key = _SPAN.of(middleware) if middleware is not None else None
    if key is None:
        return
    _VIEW.wrap(middleware, functools.partial(_naming_requests, place_under, key))
    _NAME.wrap(middleware, _noting_names)
    _REQUEST.wrap(middleware, functools.partial(_placing_requests, place_under, key))
    _RESPONSE.wrap(middleware, _answering_once)
    _EXCEPTION.wrap(middleware, _allowing_hosts)


def _noting_names(original: Callable[..., str]) -> Callable[..., str]:
    def name_of(*arguments: Any) -> str:
        request = arguments[-1]
        name = request.META[_NAMED] = original(request)
        return name

    return name_of


def _naming_requests(
    place_under: Callable[[Any, str], object], key: str, original: Callable[..., Any]
) -> Callable[..., Any]:
    process = _allowing_hosts(original)

    def process_view(its: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        answer = process(its, request, *args, **kwargs)
        span = request.META.get(key)
        route = getattr(getattr(request, "resolver_match", None), "route", None)
        if span is None or route is None:
            return answer
        if not route:
            route = "/"
            span.set_attribute("http.route", route)
        name = getattr(span, "name", route)
        if name in (request.method, request.META.get(_NAMED)):  # one that the app gave stays
            word = name.partition(" ")[0]
            if name != f"{word} {route}":
                span.update_name(f"{word} {route}")
        if root := request.META.get(_ROOT):
            place_under(span, root)
        return answer

    return process_view


def _placing_requests(
    place_under: Callable[[Any, str], object], key: str, original: Callable[..., Any]
) -> Callable[..., Any]:
    process = _allowing_hosts(original)

    def process_request(its: Any, request: Any) -> Any:
        if key in request.META:  # it would forget the span, which would end there
            request.META[_INSIDE] = request.META.get(_INSIDE, 0) + 1
            return None
        answer = process(its, request)
        if root := request.META.get(_ROOT):
            getattr(request, "scope", {})[FORCED_ROOT] = root
            if (span := request.META.get(key)) is not None:
                place_under(span, root)
        return answer

    return process_request


def _answering_once(original: Callable[..., Any]) -> Callable[..., Any]:
    process = _allowing_hosts(original)

    def process_response(its: Any, request: Any, response: Any) -> Any:
        if inside := request.META.get(_INSIDE):
            request.META[_INSIDE] = inside - 1
            return response
        return process(its, request, response)

    return process_response


def _allowing_hosts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Trace a request whose host is not in ALLOWED_HOSTS: the app's code decides whether it is answered."""

    def process(its: Any, request: Any, *more: Any, **named: Any) -> Any:
        try:
            return original(its, request, *more, **named)
        except Exception as error:
            if type(error).__name__ != "DisallowedHost":
                raise
        vars(request)[_HOST.name] = (
            "http://unknown"  # what the instrumentation compares with OTEL_PYTHON_EXCLUDED_URLS
        )
        try:
            return original(its, request, *more, **named)
        finally:
            vars(request).pop(_HOST.name, None)

    return process
