"""Faults of OpenTelemetry's instrumentation of Tornado: when it ends and measures a request, whose span it makes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from slotel.runtime.upstream.probe import Probe

_TORNADO: Final = "opentelemetry.instrumentation.tornado"
_MEASURES: Final = Probe(
    _TORNADO, "_record_on_finish_metrics",
    why="Tornado's requests that an exception ends are measured when it is logged and when they finish (0.66b1)",
    without="http_server_request_duration_seconds counts them twice",
)  # fmt: skip
_FINISH: Final = Probe(
    _TORNADO, "_finish_span",
    why="ends a request of Tornado's with a 500 when an exception is logged, whatever is sent then (0.66b1)",
    without="a Tornado request whose exception `write_error` answers with a 4xx is bad",
)  # fmt: skip
_CONTEXT: Final = Probe(
    _TORNADO, "_HANDLER_CONTEXT_KEY",
    why="the same: the attribute of a handler that has its span", without=_FINISH.without,
)  # fmt: skip
_ANSWERS: Final = Probe(
    "tornado.web:RequestHandler", "_handle_request_exception",
    why="the same: when it has ended, an answer was sent", without=_FINISH.without,
)  # fmt: skip
_FINISHED: Final = Probe(
    "tornado.web:RequestHandler", "_finished", level=None,  # of an instance
    why="makes a span of a 404 that a handler raises after it has answered (0.66b1)",
    without="such a request counts twice",
)  # fmt: skip
_HANDLER: Final = Probe(
    _TORNADO, "patch_handler_class",
    why="the span of a FallbackHandler ends, with 200, before the application that it hands on to has begun (0.66b1)",
    without="a failed request to a WSGI application within Tornado counts as good",
)  # fmt: skip
_ROUTES: Final = Probe(
    _TORNADO, "route_from_rule",
    why="asks a handler for its method of the request's name, also for PROPFIND, which Tornado has not (0.66b1)",
    without="Tornado's requests with such methods are not counted, and are error events",
)  # fmt: skip
_PENDING: Final = "_slotel_pending"
"""Attribute of a handler while it answers an exception: what ends its span, or None so far."""
_STATUSES: Final = ("http.response.status_code", "http.status_code")

Function = Callable[..., Any]


def patch_tornado() -> None:
    """Patch the instrumentation, which was just loaded."""
    module = _FINISH.owner()
    if module is None:
        return
    _MEASURES.wrap(module, _measuring_at_the_end)
    _HANDLER.wrap(module, _leaving_fallbacks_out)
    _ROUTES.wrap(module, _naming_any_method)
    key = _CONTEXT.of(module)
    if key is not None and _FINISH.of(module) is not None and _ANSWERS.wrap_imported(_answering):
        _FINISH.wrap(module, functools.partial(_finishing_when_sent, key))


def _measuring_at_the_end(original: Function) -> Function:
    """Measure a request when it finishes, with its status, and not when an exception is logged."""

    def record(histograms: Any, handler: Any, error: Any, *args: Any, **kwargs: Any) -> None:
        if error is None:
            original(histograms, handler, error, *args, **kwargs)

    return record


def _leaving_fallbacks_out(original: Function) -> Function:
    """Make no span of Tornado's FallbackHandler: another application, or the layer of a WSGI one, makes its own."""

    def patch_handler_class(tracer: Any, histograms: Any, kind: Any, *args: Any, **kwargs: Any) -> Any:
        if issubclass(kind, sys.modules["tornado.web"].FallbackHandler):
            return False
        return original(tracer, histograms, kind, *args, **kwargs)

    return patch_handler_class


def _naming_any_method(original: Function) -> Function:
    """Name the route of a request whose method Tornado does not know as that of a GET.

    A handler may have something else of that name: `request`, `write`, `settings`.
    """

    def route_from_rule(rule: Any, handler: Any) -> Any:
        if handler.request.method not in handler.SUPPORTED_METHODS:
            handler = SimpleNamespace(get=handler.get, request=SimpleNamespace(method="GET"))
        return original(rule, handler)

    return route_from_rule


def _finishing_when_sent(key: str, original: Function) -> Function:
    """End the span of a request whose exception is being answered when it is answered, by the status that is sent."""

    def end(tracer: Any, handler: Any, *more: Any) -> None:
        traced = getattr(handler, key, None)
        if traced is not None:
            sent = _Sent(traced.activation, traced.span, handler.get_status())
            setattr(handler, key, traced._replace(activation=sent))
        original(tracer, handler, *more)

    def finish_span(tracer: Any, handler: Any, error: Any, *more: Any) -> None:
        its = vars(handler)
        if error is not None and key not in its and _FINISHED.of(handler):
            return
        if _PENDING not in its:
            original(tracer, handler, error, *more)
        elif error is not None:
            its[_PENDING] = functools.partial(end, tracer, handler, error, *more)
        else:
            (its.pop(_PENDING) or functools.partial(original, tracer, handler, None, *more))()

    return finish_span


def _answering(original: Function) -> Function:
    def handle(its: Any, error: Any) -> Any:
        vars(its)[_PENDING] = None
        try:
            return original(its, error)
        finally:
            pending = vars(its).pop(_PENDING, None)
            if pending is not None:  # no answer was finished
                pending()

    return handle


class _Sent:
    """Context manager that makes a span the current one, and at its end gives it the status that was sent."""

    def __init__(self, activation: Any, span: Any, status: int) -> None:
        self._activation, self._span, self._status = activation, span, status

    def __exit__(self, *error: object) -> Any:
        for name in _STATUSES:
            if name in (self._span.attributes or {}):
                self._span.set_attribute(name, self._status)
        return self._activation.__exit__(*error)
