"""A request as its server sees it: from the call of the application to the last byte of the response.

The layers of `layers/` make one for each request. It knows what a span does not know: whether
the client disconnected, whether the response broke after its headers, whether an instrumentation made a server span.
It measures nothing, and decides nothing: `decision.py` reads it.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from time import time_ns
from typing import TYPE_CHECKING, Any, ClassVar, Final

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from slotel.config.slo import HEALTH_ROUTES
from slotel.runtime.requests import outcomes as rows
from slotel.runtime.requests.decision import answered_with, broken_by, gets_answer, of_escaped, seen_by_server
from slotel.runtime.requests.layers.layer import Layer
from slotel.runtime.requests.span_name import PATHS, name_by_route, place_under, under
from slotel.runtime.upstream.frameworks.django import FORCED_ROOT
from slotel.runtime.upstream.otel.failure import failed_by, record
from slotel.runtime.upstream.otel.reading import attributes_of, set_sent_status
from slotel.runtime.upstream.otel.spans import can_take_context, span_in, take_context

if TYPE_CHECKING:
    from slotel.runtime.requests.local_roots import LocalRoot

TRACER: Final = "slotel.server"
_WSGI: Final = "opentelemetry.instrumentation.wsgi"
_ASGI: Final = "opentelemetry.instrumentation.asgi"
_AIOHTTP: Final = "opentelemetry.instrumentation.aiohttp_server"
_FASTAPI: Final = "fastapi.telemetry"
"""Modules that make server spans. Instrumentations of WSGI and ASGI frameworks import one of the first two; FastAPI
0.165 and later makes spans itself."""
_INSTRUMENTATIONS: Final = "opentelemetry.instrumentation."
MIDDLEWARES: Final = frozenset({_WSGI, _ASGI})
"""Scopes of the middlewares that an app puts around itself by hand: they know no route, the framework inside does."""
_ROUTE: Final = "http.route"
STATUS: Final = "http.response.status_code"
_OF_REQUESTS: Final = PATHS | {"http.request.method", "http.method"}
"""Every span of a request has at least one of these attributes: not every server gives the path as it was sent."""
SERVER_ERROR: Final = 500
_DIGITS: Final = 20
"""Most digits of a Content-Length that is read; Python raises for numbers of more than 4,300."""
_BODILESS: Final = frozenset({204, 304})
"""Statuses of responses without a body, whatever their Content-Length. Source: RFC 9110, section 6.4.1."""


class ServedRequest:
    """One request, from the server's side. A subclass for each protocol reads path and attributes.

    Defaults are class attributes, so that a request costs one small object.

    Attributes:
        mechanism: `mechanism.type` of the exceptions that Sentry gets from this layer.
        root: key of the request's scope or environ that holds the application's root path.
        route: key under which a framework without an instrumentation stores the route template (Litestar does).
        reported_route: the route template that such a framework reported by `note_route`.
        failure: the exception that failed a websocket which its framework closed normally.
        escaped: the exception that left the application.
        getter: reads the headers for the propagators.
        local_root: of the server span of this request; None if it has no span yet.
        client_left: the client disconnected before the response was complete.
        is_complete: the whole response was handed to the server.
        is_unanswered: the application ended without a response to a connected client: the server sends a 500.
        answers_stops: the server also sends a 500 after a BaseException that is no Exception.
        is_refused: the application gave a status and headers that the server refused to send.
        is_broken_off: the application ended before the end of its response, or returned no valid response.
        is_ending: the application has ended, or raised an exception.
        is_over: the request has ended, or is counted as part of an outer server's request.
        socket_scheme: `ws` or `wss`, for a websocket whose instrumentation treats it as a request.
        awaits_framework: slotel or a middleware for any application made the server span, and a framework's
            instrumentation may still make a span below it, which knows the route.
        framework_context: of that span, if a middleware made the server span.
        measured: names of the metrics that contain this request already: a mounted app and its outer app record it.
    """

    mechanism: ClassVar[str]
    root: ClassVar[str]
    route: ClassVar[str] = "path_template"
    reported_route: str | None = None
    failure: BaseException | None = None
    escaped: BaseException | None = None
    getter: ClassVar[Getter[Any]]
    status: int | None = None
    close_code: int | None = None
    client_left = False
    is_complete = False
    is_refused = False
    is_broken_off: bool = False
    socket_scheme: str | None = None
    local_root: LocalRoot | None = None
    awaits_framework = False
    framework_context: SpanContext | None = None
    measured: tuple[str, ...] = ()
    _has_own_span = False
    _framework: Span | None = None
    _starts_own = False
    _held: ReadableSpan | None = None
    is_ending = False
    is_unanswered: bool = False
    answers_stops = False
    is_over = False
    _attached: Any = None
    _token: Any = None

    def __init__(self, layer: Layer, request: Any) -> None:
        self.layer = layer
        self._server = layer.server
        self._request = request
        self._started = time_ns()

    def path(self) -> str:
        """Return the requested path, with a leading slash."""
        raise NotImplementedError

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of a server span. Source: OpenTelemetry semantic conventions, HTTP server."""
        raise NotImplementedError

    def begin(self, *, at_server: bool = True) -> None:
        """Make this the request of the current context, and start its server span if no instrumentation can.

        The context may still hold a span of the previous request on this connection or thread, or of the code that has
        started the server. A span that has ended, that belongs to another request to the same application, or that was
        there before any request, never becomes the parent.

        Args:
            at_server: a server calls; else a framework, which code may have called within a span.
        """
        before, standing = SERVED.get(), span_in()
        self._token = SERVED.set(self)
        inside = None
        if standing is not None:
            is_ours = before is not None and before.layer is self.layer
            if not is_ours and standing.is_recording() and getattr(standing, "kind", None) is SpanKind.SERVER:
                self.is_over = True  # a server inside another's request, which is counted
                return
            if is_ours or (at_server and before is None) or not standing.is_recording():
                inside = Context()
                if getattr(standing, "end_time", None) is not None:
                    # no code will detach this context, and the server would log in its trace
                    context.attach(inside)
        makes_span = self.layer.makes_spans
        if makes_span is None:
            makes_span = not _may_make_spans()
        if makes_span:
            own = self._start_span()
            if own is not None:
                self.awaits_framework = _may_make_spans()
                inside = trace.set_span_in_context(own, inside)
        if inside is not None:
            self._attached = context.attach(inside)

    @property
    def is_unsent(self) -> bool:
        """Whether the application has ended and no part of its response was sent."""
        return self.is_unanswered or self.is_refused

    def is_short(self, given: int, length: int | None, method: object) -> bool:
        """Return whether a response body is shorter than its Content-Length. Responses to HEAD have no body.

        Args:
            given: bytes of the body that were sent.
            length: Content-Length in bytes; None if the response has none.
        """
        return length is not None and given < length and method != "HEAD" and self.status not in _BODILESS

    def leave(self) -> None:
        """Restore the context that was current before `begin`."""
        try:
            if self._attached is not None:
                context.detach(self._attached)
            SERVED.reset(self._token)
        except ValueError:  # the server closes the answer in another context
            pass
        self._token = None  # it holds the context, which may hold this request

    def take(self, local_root: LocalRoot) -> LocalRoot:
        """Take a new server span as this request's, and return its local root. A second one is another request's.

        If slotel made the first span, the framework's span replaces it and takes over its ids, because child spans,
        events and outgoing headers already refer to them.
        """
        is_own = self._starts_own
        known = self.local_root
        is_in_place = False
        if not is_own:
            self.layer.makes_spans = False
            if known is not None and not known.ended and self._has_own_span:
                is_in_place = True
                self._tell(known.span, local_root.span)
                take_context(local_root.span, known.span.get_span_context())
                known.span = local_root.span
                local_root = known
        if is_in_place or (known is None and not self.is_over):
            self.local_root = local_root
            self._has_own_span = is_own
            local_root.served = self
            if PATHS.isdisjoint(
                attributes_of(local_root.span)
            ):  # WSGI servers need not tell the URL as it was sent
                local_root.span.set_attribute("url.path", self.path())
            if scheme := self.socket_scheme:
                local_root.span.set_attribute("url.scheme", scheme)
            if root := self._request.get(self.root):
                place_under(local_root.span, root)
            if not is_own:
                scope = local_root.span.instrumentation_scope
                is_middlewares = scope is not None and scope.name in MIDDLEWARES
                self.awaits_framework = is_middlewares and _ROUTE not in attributes_of(local_root.span)
        return local_root

    @property
    def is_measured_by_framework(self) -> bool:
        """Whether a framework's instrumentation made the server span, and so measures the request."""
        scope = None if self.local_root is None else self.local_root.span.instrumentation_scope
        return (
            scope is not None and scope.name.startswith(_INSTRUMENTATIONS) and scope.name not in MIDDLEWARES
        )

    def _tell(self, former: Span, span: Span) -> None:
        """Copy the attributes that the app's code set on the former span."""
        begun = {*self.attributes(), _ROUTE, *attributes_of(span)}
        for name, value in attributes_of(former).items():
            if name not in begun:
                span.set_attribute(name, value)

    def look_at(self, child: Span) -> None:
        """Check whether a child of the server span was made by a framework's instrumentation.

        Instrumentations make an INTERNAL span if a span is current. Its route is the request's. If the server span is
        slotel's, the instrumentation makes those of the requests that follow. Below a middleware another may follow.
        """
        scope, attributes = child.instrumentation_scope, attributes_of(child)
        if (
            scope is not None
            and scope.name.startswith(_INSTRUMENTATIONS)
            and not _OF_REQUESTS.isdisjoint(attributes)
        ):
            self.awaits_framework = scope.name in MIDDLEWARES
            self._framework = child
            self.layer.makes_spans = False
            if not self._has_own_span:
                self.framework_context = child.context
                self.name_own()  # ASGI's middleware ends its span before the framework's ends

    def ensure_span(self) -> None:
        """Make the server span now if there is none yet, and name it, so that an event can be linked to it."""
        if self.local_root is None and not self.is_over and (self.is_ending or can_take_context()):
            token = SERVED.set(self)
            self._start_span()
            self.awaits_framework = not self.is_ending and _may_make_spans()
            SERVED.reset(token)
        self.name_own()

    def name_own(self) -> None:
        """Name a server span that knows no route, slotel's or a middleware's, by its route, if the route is known."""
        local_root = self.local_root
        if local_root is None:
            return
        if not self._has_own_span and (
            self._framework is None or local_root.ended or _ROUTE in attributes_of(local_root.span)
        ):
            return
        if self._framework is not None:
            route = attributes_of(self._framework).get(_ROUTE)
        else:
            route = self.reported_route or self._request.get(self.route)
        if isinstance(route, str) and route:
            root = self._request.get(self.root)
            name_by_route(local_root.span, under(root, route) if root else route)

    def hold(self, span: ReadableSpan) -> bool:
        """Keep an ended span until the response ends; return False if the response has ended already."""
        if self.is_ending or self.is_complete:
            return False
        self._held = span
        return True

    def complete(self) -> None:
        """Note that the response is complete, and measure the span that `hold` kept."""
        self.is_complete = True
        self._finish(None)

    def end(self, error: BaseException | None) -> None:
        """End the request and its span. A second call does nothing.

        Args:
            error: the exception that is leaving the application; None if the response is complete or was abandoned.
        """
        if self.is_over:
            return
        self.is_ending, self.escaped = True, error
        if self.is_unanswered and (error is None or self.answers_stops or gets_answer(error)):
            self.status = SERVER_ERROR
        if self.local_root is None or self._has_own_span:
            self.ensure_span()
        self.is_over = True
        local_root: LocalRoot | None = self.local_root
        if local_root is None:
            return
        if self.layer.makes_spans is None:
            self.layer.makes_spans = True
        if not local_root.ended:
            self._end_open(local_root, error)
        if self._held is not None:
            self._finish(error)
        # a cycle would keep the request's objects until the next garbage collection
        local_root.served = None
        if error is not None and of_escaped(error).reports:
            decision = local_root.decision
            if decision is None or decision.exception is not error:
                self._server.pipeline.escaped(error, self.mechanism)

    def fail(self, error: BaseException) -> None:
        """End slotel's server span with the status that the server will send. Spans of instrumentations are not ended.

        Args:
            error: the exception that is leaving the application.
        """
        if self.local_root is None:
            self.ensure_span()
        if self.local_root is not None and self._has_own_span:
            self.name_own()
            if not self.local_root.ended:
                self._end_open(self.local_root, error)

    def _end_open(self, local_root: LocalRoot, error: BaseException | None) -> None:
        # the span starts late: the exception in flight was raised after the request arrived
        local_root.handled = 0
        self._end_span(local_root.span, error)

    def _finish(self, error: BaseException | None) -> None:
        """Measure the span that `hold` kept."""
        local_root, span = self.local_root, self._held
        if local_root is None or span is None:
            return
        self._held = None
        decision = local_root.decision
        if decision is not None and (
            error is not None or self.client_left or self.close_code is not None or self.is_broken_off
        ):
            local_root.decision = seen_by_server(
                decision if error is None else broken_by(decision, error), self
            )
        elif (
            decision is not None
            and self.status is not None
            and (decision.row is not rows.SUCCEEDED or self.status >= SERVER_ERROR)
        ):
            local_root.decision = answered_with(decision, self.status)
        if self.status is not None or self.is_refused:
            attributes = attributes_of(span)
            if attributes.get(STATUS) != self.status and "http.request.method" in attributes:
                set_sent_status(span, STATUS, self.status)
        self._server.pipeline.finish(span, local_root)

    def _start_span(self) -> Span | None:
        attributes = self.attributes()
        if self._server.excludes(attributes):
            return None
        if root := self.layer.forced_root:
            attributes["url.path"] = under(root, attributes["url.path"])
            self._request[FORCED_ROOT] = root
        if attributes["url.path"] in HEALTH_ROUTES:
            attributes[_ROUTE] = attributes["url.path"]  # objectives exclude it by that
        parent = propagate.extract(self._request, Context(), self.getter)
        method = attributes["http.request.method"]
        name = " ".join(("HTTP" if method == "_OTHER" else method, attributes.get(_ROUTE, ""))).strip()
        self._starts_own = True
        span = trace.get_tracer(TRACER).start_span(
            name, parent, SpanKind.SERVER, attributes, start_time=self._started
        )
        self._starts_own = False
        return span if isinstance(span, Span) else None

    def _end_span(self, span: Span, error: BaseException | None) -> None:
        """End slotel's span, or one that its instrumentation has left open."""
        is_own = self._has_own_span
        if self.status is not None and "http.request.method" in attributes_of(span):
            span.set_attribute(STATUS, self.status)
        if isinstance(error, Exception) and not self.is_complete:
            record(span, error)
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(failed_by(error))
        elif is_own and self.status is not None and self.status >= SERVER_ERROR:
            span.set_attribute("error.type", str(self.status))
            span.set_status(StatusCode.ERROR)
        elif self.is_broken_off:
            span.set_status(Status(StatusCode.ERROR, "the application gave no whole answer"))
        span.end()


def _may_make_spans() -> bool:
    """Whether a module that makes server spans is imported."""
    return not sys.modules.keys().isdisjoint((_WSGI, _ASGI, _AIOHTTP, _FASTAPI))


def is_own(span: Span) -> bool:
    """Return whether slotel made a server span, not an instrumentation."""
    scope = span.instrumentation_scope
    return scope is not None and scope.name == TRACER


SERVED: ContextVar[ServedRequest | None] = ContextVar("slotel-served-request", default=None)
"""The request that is being served in this context."""


def length_of(value: object) -> int | None:
    """Return the value of a Content-Length header in bytes; None if it is not a valid length."""
    if not isinstance(value, str) or len(value) > _DIGITS or not (value.isascii() and value.isdigit()):
        return None
    return int(value)
