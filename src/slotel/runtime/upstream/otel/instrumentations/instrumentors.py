"""OpenTelemetry's instrumentations: faults of theirs, work that they do twice, and what they cannot be told.

Each probe names the fault and the release that was seen to have it.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from slotel.runtime.upstream.otel.instrumentations.aiohttp_server import MeasureLate, patch_aiohttp_server
from slotel.runtime.upstream.otel.instrumentations.django import patch_django
from slotel.runtime.upstream.otel.instrumentations.grpc import (
    Refused,
    take_arguments_by_position,
    watch_refused_calls,
)
from slotel.runtime.upstream.otel.instrumentations.kafka import detach_where_attached
from slotel.runtime.upstream.otel.instrumentations.shorter_requests import Rooted, shorten_requests
from slotel.runtime.upstream.otel.instrumentations.tornado import patch_tornado
from slotel.runtime.upstream.probe import SLOWER, Probe

_PACKAGE: Final = "opentelemetry.instrumentation"
_INSTANCE: Final = Probe(
    f"{_PACKAGE}.instrumentor:BaseInstrumentor", "_instance",
    why="the status page lists the instrumentations that are at work", without="it lists none",
)  # fmt: skip
_STATUS: Final = Probe(
    f"{_PACKAGE}.wsgi", "add_response_attributes",
    why="Falcon's `resp.status = 404` is split as text (0.66b1), and every answer becomes a 500",
    without="a Falcon app must set its statuses as text",
)  # fmt: skip
_FALCON: Final = Probe(
    f"{_PACKAGE}.falcon:_TraceMiddleware", "process_response",
    why="names a span by the client's own word for a method (0.66b1), which has no bound",
    without="a scanner's methods fill the series of a Falcon app",
)  # fmt: skip
_FALCONS_SPAN: Final = Probe(
    f"{_PACKAGE}.falcon", "_ENVIRON_SPAN_KEY",
    why="the key under which a request has its span", without=_FALCON.without,
)  # fmt: skip
_EXCLUDED: Final = Probe(
    f"{_PACKAGE}.flask:_InstrumentedFlask", "_excluded_urls",
    why="an empty list of excluded URLs is looked at three times a request, 20 us in all; no argument sets it to None",
    without="Flask's requests cost that", level=SLOWER,
)  # fmt: skip
_EXCLUDED_URLS: Final = ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")
_STARLETTE: Final = Probe(
    f"{_PACKAGE}.starlette", "OpenTelemetryMiddleware",
    why="spans of single ASGI messages are left out; it cannot be told so (opentelemetry-python-contrib#3725)",
    without="each ASGI message has a span",
)  # fmt: skip
_ROUTES: Final = Probe(
    f"{_PACKAGE}.fastapi", "_flatten_routes",
    why="FastAPI's instrumentation makes an object for each route to ask it whether a request is its own (0.66b1)",
    without="each request to a FastAPI app costs 2 us more for each of its routes",
    level=SLOWER,
)  # fmt: skip
_CURSOR: Final = Probe(
    "asyncpg.cursor:CursorIterator", "__anext__",
    why="asyncpg's instrumentation makes a span for each row of a cursor, not for each query of more rows (0.66b1)",
    without="each row of a cursor of asyncpg is a span",
)  # fmt: skip
_ROWS, _EXHAUSTED = (
    Probe("asyncpg.cursor:CursorIterator", name, why=f"the same: {what}", without=_CURSOR.without)
    for name, what in (("_buffer", "the rows that it has"), ("_exhausted", "there are no more"))
)
_MIDDLEWARES: Final = tuple(
    Probe(
        f"{_PACKAGE}.{kind}:OpenTelemetryMiddleware", "__init__",
        why="an app that puts it around itself names no meter, and the framework's instrumentation measures, too",
        without="http.server.* counts each request to an app that puts OpenTelemetryMiddleware around itself twice",
    )
    for kind in ("asgi", "wsgi")
)  # fmt: skip
_METER_PROVIDER: Final = "meter_provider"


def patch_instrumentation(
    name: str,
    *,
    place_under: Callable[[Any, str], object] = lambda _span, _root: None,
    rooted: Rooted = lambda _root, attributes: attributes,
    refused: Refused = lambda _method, _metadata, _error: None,
    has_span: Callable[[], bool] = lambda: False,
    measure_late: MeasureLate = lambda _measure: False,
) -> None:
    """Patch the faults of an instrumentation that was just loaded, by the name of its entry point.

    Args:
        place_under: puts the application's root before the route of a span.
        rooted: see `Rooted`.
        refused: see `Refused`.
        has_span: whether the request that is served has its server span.
        measure_late: see `MeasureLate`.
    """
    if name == "falcon":
        _accept_statuses_as_numbers()
        _bound_falcons_names()
    elif name == "django":
        patch_django(place_under)
    elif name == "flask":
        _skip_check_of_excluded_urls()
    elif name == "fastapi":
        _ask_plain_routes_themselves()
    elif name == "asyncpg":
        _CURSOR.wrap_imported(_trace_queries_of_rows_alone)
    elif name == "aiohttp-server":
        patch_aiohttp_server(has_span, measure_late)
    elif name == "confluent_kafka":
        detach_where_attached()
    elif name == "tornado":
        patch_tornado()
    elif name in ("grpc_server", "grpc_aio_server"):
        watch_refused_calls(refused)
        take_arguments_by_position()
    shorten_requests(rooted)


def _ask_plain_routes_themselves() -> None:
    """Ask routes of Starlette's and FastAPI's own classes whether a request is theirs, and no object around each."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        kinds = sys.modules["starlette.routing"].Route, sys.modules["fastapi.routing"].APIRoute

        def flatten(routes: Iterable[Any]) -> Iterator[Any]:
            for route in routes:
                if route.__class__ in kinds:
                    yield route
                else:
                    yield from original([route])

        return flatten

    _ROUTES.wrap_imported(wrap)


def _trace_queries_of_rows_alone(traced: Any) -> Any:
    plain, kind = getattr(traced, "__wrapped__", None), _ROWS.owner()
    if plain is None or _ROWS.of(kind) is None or _EXHAUSTED.of(kind) is None:
        return traced

    def next_row(its: Any) -> Any:
        if getattr(its, _ROWS.name) or getattr(its, _EXHAUSTED.name):
            return plain(its)
        return traced.__get__(its, kind)()

    return next_row


def _accept_statuses_as_numbers() -> None:
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def add_response_attributes(span: Any, status: Any, *args: Any, **kwargs: Any) -> Any:
            text = status if isinstance(status, str) else f"{getattr(status, 'value', status)} "
            return original(span, text, *args, **kwargs)

        return add_response_attributes

    _STATUS.wrap_imported(wrap)


def _bound_falcons_names() -> None:
    module = _FALCONS_SPAN.owner()
    key = _FALCONS_SPAN.of(module) if module is not None else None

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def process_response(its: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            answer = original(its, request, *args, **kwargs)
            span = request.env.get(key)
            if (getattr(span, "attributes", None) or {}).get("http.request.method") == "_OTHER":
                span.update_name(f"HTTP {request.uri_template or ''}".strip())
            return answer

        return process_response

    if key is not None:
        _FALCON.wrap_imported(wrap)


def _skip_check_of_excluded_urls() -> None:
    app = _EXCLUDED.owner()
    if app is not None and not any(os.environ.get(variable, "").strip() for variable in _EXCLUDED_URLS):
        _EXCLUDED.put(app, None)


def leave_out_messages(instrumentation: Any, messages: Collection[str]) -> None:
    """Have Starlette's instrumentation make no spans for these ASGI messages."""
    middleware: Any = _STARLETTE.of(instrumentation)
    if middleware is None:
        return

    class Middleware(middleware):  # type: ignore[misc]  # known at run time only
        def __init__(self, app: Any, **kwargs: Any) -> None:
            super().__init__(app, **{"exclude_spans": list(messages), **kwargs})

    _STARLETTE.put(instrumentation, Middleware)


def active_instrumentations() -> tuple[str, ...]:
    """Return the names of the instrumentations that are on, sorted: `flask`, `urllib3`."""
    _INSTANCE.of(BaseInstrumentor)
    on = {
        type(instance).__name__.removesuffix("Instrumentor").lower()
        for kind in _kinds(BaseInstrumentor)
        if (instance := kind.__dict__.get(_INSTANCE.name)) is not None
        and getattr(instance, "is_instrumented_by_opentelemetry", False)
    }
    return tuple(sorted(on))


def _kinds(kind: Any) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


def measure_middlewares_by(meter_provider: Any) -> None:
    """Give a meter provider to the middlewares that are given neither one nor a meter, from now on."""

    def wrap(original: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(original)

        def make(*args: Any, **kwargs: Any) -> None:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:  # the original says it better
                return original(*args, **kwargs)
            if given.get("meter") is None and given.get(_METER_PROVIDER) is None:
                place = list(signature.parameters).index(_METER_PROVIDER)
                if place < len(args):  # given as None, by position
                    args = (*args[:place], meter_provider, *args[place + 1 :])
                else:
                    kwargs[_METER_PROVIDER] = meter_provider
            return original(*args, **kwargs)

        return make

    for each in _MIDDLEWARES:
        each.wrap_on_import(wrap)
