"""OpenTelemetry's instrumentations: faults of theirs that break an app or a count, and what they cannot be told.

Each probe names the fault and the release that was seen to have it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from slotel.runtime.upstream.probe import SLOWER, Probe

_PACKAGE: Final = "opentelemetry.instrumentation"
_MIDDLEWARE: Final = f"{_PACKAGE}.django.middleware.otel_middleware"
_INSTANCE: Final = Probe(
    f"{_PACKAGE}.instrumentor:BaseInstrumentor", "_instance",
    why="the status page lists the instrumentations that are at work", without="it lists none",
)  # fmt: skip
_STATUS: Final = Probe(
    f"{_PACKAGE}.wsgi", "add_response_attributes",
    why="Falcon's `resp.status = 404` is split as text (0.66b1), and every answer becomes a 500",
    without="a Falcon app must set its statuses as text",
)  # fmt: skip
_DJANGO: Final = Probe(
    _MIDDLEWARE, "_DjangoMiddleware",
    why='Django\'s `path("")` has no route (0.66b1): the home page is grouped with 404s',
    without="Django's home page is counted without a route",
)  # fmt: skip
_VIEW: Final = Probe(
    f"{_MIDDLEWARE}:_DjangoMiddleware", "process_view", why=_DJANGO.why, without=_DJANGO.without
)
_SPAN: Final = Probe(
    f"{_MIDDLEWARE}:_DjangoMiddleware", "_environ_span_key",
    why="the same: the key under which a request has its span", without=_DJANGO.without,
)  # fmt: skip
_FLASK: Final = Probe(
    f"{_PACKAGE}.flask", "_InstrumentedFlask",
    why="an empty list of excluded URLs is looked at three times a request, 20 us in all",
    without="Flask's requests cost that",
    level=SLOWER,
)  # fmt: skip
_EXCLUDED: Final = Probe(
    f"{_PACKAGE}.flask:_InstrumentedFlask", "_excluded_urls",
    why="the same: no argument sets it to None",
    without=_FLASK.without,
    level=SLOWER,
)  # fmt: skip
_STARLETTE: Final = Probe(
    f"{_PACKAGE}.starlette", "OpenTelemetryMiddleware",
    why="spans of single ASGI messages are left out; it cannot be told so (opentelemetry-python-contrib#3725)",
    without="each ASGI message has a span",
)  # fmt: skip


def mend(name: str) -> None:
    """Mend the faults of an instrumentation that was just loaded, by the name of its entry point."""
    if name == "falcon":
        _accept_statuses_as_numbers()
    elif name == "django":
        _name_djangos_home()


def _accept_statuses_as_numbers() -> None:
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def add_response_attributes(span: Any, status: Any, *args: Any, **kwargs: Any) -> Any:
            text = status if isinstance(status, str) else f"{getattr(status, 'value', status)} "
            return original(span, text, *args, **kwargs)

        return add_response_attributes

    module = sys.modules.get(_STATUS.where)
    if module is not None:
        _STATUS.wrap(module, wrap)


def _name_djangos_home() -> None:
    module = sys.modules.get(_MIDDLEWARE)
    middleware = _DJANGO.of(module) if module is not None else None
    key = _SPAN.of(middleware) if middleware is not None else None
    if key is None:
        return

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def process_view(its: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            answer = original(its, request, *args, **kwargs)
            span, match = request.META.get(key), getattr(request, "resolver_match", None)
            if span is not None and getattr(match, "route", None) == "":
                span.set_attribute("http.route", "/")
                span.update_name(f"{request.method} /")
            return answer

        return process_view

    _VIEW.wrap(middleware, wrap)


def skip_flasks_url_exclusion() -> None:
    """Let Flask's instrumentation look at no list of excluded URLs."""
    module = sys.modules.get(_FLASK.where)
    app = _FLASK.of(module) if module is not None else None
    if app is not None:
        _EXCLUDED.put(app, None)


def leave_out_messages(instrumentation: Any, messages: Collection[str]) -> None:
    """Let Starlette's instrumentation make no span of these ASGI messages."""
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
