"""sentry-sdk's own span API on OpenTelemetry: `start_span`, `start_transaction`, `trace`, `continue_trace`, headers.

A span that the app makes through sentry-sdk is an OpenTelemetry span with the same parent, and the current span is the
one of OpenTelemetry. Of the spans of sentry-sdk's integrations slotel makes those of AI libraries, GraphQL, caches and
processes; OpenTelemetry's instrumentations make the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import sentry_sdk
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from sentry_sdk import tracing_utils

from slotel.runtime.requests.current import served_span
from slotel.runtime.requests.served import SERVED
from slotel.runtime.sentry.errors.integrations import SET_UP
from slotel.runtime.sentry.errors.request_scopes import use_active_scopes
from slotel.runtime.sentry.span_api.arguments import SOURCE, TRANSACTION, is_made_by_code, with_bounded_name
from slotel.runtime.sentry.span_api.span import OtelSpan, start
from slotel.runtime.sentry.transactions.names import is_named_by
from slotel.runtime.sentry.transactions.payload import PART
from slotel.runtime.upstream.sentry import replace
from slotel.runtime.upstream.sentry.spans import (
    IS_2,
    SCOPE,
    NoOpSpan,
    accept_as_sentry_span,
    add_breadcrumb_of,
)

if TYPE_CHECKING:
    from slotel.runtime.requests.local_roots import OpenSpans

_MIDDLEWARES: Final = ("sentry_sdk.integrations.wsgi", "sentry_sdk.integrations.asgi")
"""An app may put these around itself by hand. They then trace with the origin of code: `manual`."""
_INTEGRATIONS: Final = "sentry_sdk.integrations."
_STDLIB: Final = "sentry_sdk.integrations.stdlib"
_PROCESS: Final = "subprocess"
_SDK: Final = "sentry_sdk."
_BETWEEN: Final = (
    __name__,
    replace.__module__,
    "sentry_sdk.api",
    "sentry_sdk.scope",
    "sentry_sdk.tracing_utils",
)
"""Modules between the caller and the replaced method."""


def install(open_spans: OpenSpans, *, native_names: bool = False) -> None:
    """Replace methods of sentry-sdk's `Scope` by ones that make and read OpenTelemetry spans.

    Args:
        native_names: transactions are named as sentry-sdk's integrations name them by default.
    """
    api = _Replacements(open_spans, native_names)
    for name in SCOPE:
        if IS_2 or name != "start_span":  # see `streamed_spans.py`
            replace(SCOPE[name], getattr(api, name))
    accept_as_sentry_span(OtelSpan)


class _Replacements:
    """Each method replaces the method of `Scope` with its name, which it is given as `original`."""

    def __init__(self, open_spans: OpenSpans, native_names: bool) -> None:
        self._open_spans = open_spans
        self._native_names = native_names

    def _current(self) -> OtelSpan | None:
        span = trace.get_current_span()
        if span.get_span_context().is_valid:
            return OtelSpan(span, self._open_spans)
        served = served_span()
        return None if served is None else OtelSpan(served, self._open_spans)

    def _span_to_show(self) -> OtelSpan | None:
        """Return the current span; None where sentry-sdk's own code asks before there is one.

        sentry-sdk 3 asks for the parent of a span that is not made here, and sets what it was given: it gets none.
        """
        is_there = IS_2 and trace.get_current_span().get_span_context().is_valid
        return self._current() if is_there or not _caller().startswith(_SDK) else None

    def _start(
        self, arguments: dict[str, Any], context: Context | None = None, *, names_events: bool = False
    ) -> OtelSpan:
        """Start a span below the current one, or below that of the request which is served.

        Args:
            context: of its caller, where code names one.
        """
        if names_events and context is None and self._is_in_part():
            context = trace.set_span_in_context(trace.INVALID_SPAN)
        elif context is None and not self._goes_on(current := trace.get_current_span().get_span_context()):
            served = None if current.is_valid else served_span()
            context = None if served is None else trace.set_span_in_context(served)
            if served is None and not names_events:
                arguments = {**arguments, "attributes": {**(arguments.get("attributes") or {}), PART: True}}
        return start(arguments, context, self._open_spans, names_events=names_events)

    def _goes_on(self, span: SpanContext) -> bool:
        """Whether a span is open here, or a caller's. One that has ended is current in a thread that it left behind."""
        return span.is_valid and (span.is_remote or self._open_spans.of(span.span_id) is not None)

    def _is_in_part(self) -> bool:
        """Whether the current span is in no transaction, because `start_span` has begun its trace."""
        current = self._current()
        root = None if current is None else current.containing_transaction.span
        return PART in (getattr(root, "attributes", None) or ())

    def _is_traced_already(self) -> bool:
        """Whether a middleware that the app put around itself asks, for a request that has a span or will have one."""
        is_traced = SERVED.get() is not None or self._current() is not None
        return is_traced and _caller().startswith(_MIDDLEWARES)

    def start_span(self, _original: Callable[..., Any], _scope: Any, *given: Any, **arguments: Any) -> Any:
        if not is_made_by_code(arguments.get("origin")):
            child = with_bounded_name(arguments) if self._current() is not None else None
            if child is None and arguments.get("op") == _PROCESS:
                add_breadcrumb_of(_PROCESS, str(arguments.get("name")), {})
            return NoOpSpan() if child is None else self._start(child)
        if given and isinstance(given[0], str):
            arguments.setdefault("name", given[0])
        if len(given) > 1 and isinstance(given[1], Mapping):
            arguments.setdefault("attributes", given[1])
        return self._start(arguments)

    def start_transaction(
        self,
        original: Callable[..., Any],
        scope: Any,
        transaction: Any = None,
        *given: Any,
        **arguments: Any,
    ) -> Any:
        is_traced = self._is_traced_already()
        if not is_traced and isinstance(transaction, ContinuedTrace):
            return transaction.start(arguments)
        if not is_traced and isinstance(transaction, OtelSpan):
            return transaction
        origin = arguments.get("origin") if transaction is None else getattr(transaction, "origin", None)
        if is_traced or not is_made_by_code(origin):
            use_active_scopes()
            return original(scope, transaction, *given, **arguments)
        if transaction is not None:
            return self._start_given(transaction, arguments)
        named = {"name": "<unlabeled transaction>", **arguments}
        return self._start(named, _caller_context(arguments), names_events=True)

    def _start_given(self, transaction: Any, arguments: Mapping[str, Any]) -> OtelSpan:
        """Start what a `Transaction` describes that the code has made: what was said of it, and its caller."""
        told = transaction.to_json()
        named = {name: told.get(name) for name in ("name", "op", "source", "description", "status")}
        caller = {
            name: getattr(transaction, name) for name in ("trace_id", "parent_span_id", "parent_sampled")
        }
        context = _caller_context(caller)
        if context is not None:
            for key, value in transaction.get_baggage().sentry_items.items():
                context = baggage.set_baggage(f"sentry-{key}", value, context)
        begun = self._start({**named, **arguments}, context, names_events=True)
        begun.set_tags({name: value for name, value in (told.get("tags") or {}).items() if name != "status"})
        begun.set_attributes(
            {
                name: value
                for name, value in (told.get("data") or {}).items()
                if not name.startswith("thread.")
            }
        )
        for name, measured in (told.get("measurements") or {}).items():
            begun.set_measurement(name, **measured)
        return begun

    def continue_trace(
        self,
        original: Callable[..., Any],
        scope: Any,
        environ_or_headers: Any,
        *given: Any,
        **arguments: Any,
    ) -> Any:
        made = original(scope, environ_or_headers, *given, **arguments)
        if not is_made_by_code(getattr(made, "origin", None)) or self._is_traced_already():
            return made
        known = {"name": made.name, "op": made.op, "source": made.source}
        carrier = tracing_utils.normalize_incoming_data(environ_or_headers)
        return ContinuedTrace(propagate.extract(carrier, Context()), known, self._open_spans)

    def get_traceparent(self, original: Callable[..., Any], *given: Any, **arguments: Any) -> Any:
        span = self._current()
        return original(*given, **arguments) if span is None else span.to_traceparent()

    def get_baggage(self, original: Callable[..., Any], *given: Any, **arguments: Any) -> Any:
        span = self._current()
        return original(*given, **arguments) if span is None else span.get_baggage()

    def iter_trace_propagation_headers(
        self, original: Callable[..., Any], *given: Any, **arguments: Any
    ) -> Any:
        asked = arguments.get("span")
        span = asked if isinstance(asked, OtelSpan) else self._current()
        if span is not None and sentry_sdk.get_client().options.get("propagate_traces", True):
            caller = _caller()
            starts_process = caller == _STDLIB and "stdlib" in SET_UP
            if starts_process or not caller.startswith(_SDK):
                return span.iter_headers()
        return original(*given, **arguments)  # an instrumentation writes the headers of requests

    def set_transaction_name(
        self, original: Callable[..., Any], scope: Any, name: str, source: Any = None
    ) -> Any:
        caller = _caller()
        is_wanted = not caller.startswith(_INTEGRATIONS) or is_named_by(
            caller.removeprefix(_INTEGRATIONS).partition(".")[0], is_native=self._native_names
        )
        span = self._current() if is_wanted else None
        if span is not None:
            root = span.containing_transaction
            root.set_attribute(TRANSACTION, name)
            if source:
                root.set_attribute(SOURCE, str(getattr(source, "value", source)))
        return original(scope, name, source)

    def span(self, original: Callable[[Any], Any], scope: Any) -> Any:
        # sentry-sdk's own span is of an integration, and not sampled
        return self._span_to_show() or original(scope)

    def transaction(self, original: Callable[[Any], Any], scope: Any) -> Any:
        span = self._span_to_show()
        return original(scope) if span is None else span.containing_transaction


class ContinuedTrace:
    """A transaction of a caller's trace; `start_transaction(it)` or `with it` starts its span.

    Values that are set before are kept, and set on the span then. If it never starts, there is no span to end.

    Args:
        context: with the caller's span as remote parent, if the headers named one.
        arguments: `name`, `op` and `source` of the transaction.
    """

    def __init__(self, context: Context, arguments: dict[str, Any], open_spans: OpenSpans | None) -> None:
        self.context = context
        self.name, self.op, self.source = arguments.get("name"), arguments.get("op"), arguments.get("source")
        self.status: Any = None
        self._open_spans = open_spans
        self._said: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._started: OtelSpan | None = None

    @property
    def parent_span_id(self) -> str | None:
        """Id of the caller's span: 16 hexadecimal digits; None if no trace is continued."""
        span = trace.get_current_span(self.context)
        return OtelSpan(span).span_id if span.get_span_context().is_valid else None

    @property
    def parent_sampled(self) -> bool | None:
        """Whether the caller exports its trace; None if no trace is continued."""
        span = trace.get_current_span(self.context)
        return OtelSpan(span).sampled if span.get_span_context().is_valid else None

    def start(self, more: Mapping[str, Any]) -> OtelSpan:
        """Start its span, once, with further arguments of `start_transaction`, which win; return it."""
        if self._started is None:
            own = {"name": self.name, "op": self.op, "source": self.source, "status": self.status}
            self._started = start({**own, **more}, self.context, self._open_spans, names_events=True)
            for method, given, named in self._said:
                getattr(self._started, method)(*given, **named)
        return self._started

    def __enter__(self) -> OtelSpan:
        """Start its span as the current one."""
        return self.start({}).__enter__()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End it."""
        if self._started is not None:
            self._started.__exit__(None, error, None)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of its span, or before that of the caller's span; note calls of `set_*` until then."""
        if name.startswith("__"):
            raise AttributeError(name)
        if self._started is not None:
            return getattr(self._started, name)
        if not name.startswith(("set_", "update_")):
            return getattr(OtelSpan(trace.get_current_span(self.context)), name)

        def say(*given: Any, **named: Any) -> None:
            self._said.append((name, given, named))

        return say


def _caller_context(arguments: Mapping[str, Any]) -> Context | None:
    """Return a context with the remote parent that the arguments of a transaction name; None where they name none.

    Args:
        arguments: `trace_id` (32 hexadecimal digits), `parent_span_id` (16), `parent_sampled` (a bool or None).
    """
    try:
        ids = int(str(arguments["trace_id"]), 16), int(str(arguments["parent_span_id"]), 16)
    except (KeyError, ValueError):
        return None
    flags = TraceFlags.DEFAULT if arguments.get("parent_sampled") is False else TraceFlags.SAMPLED
    parent = SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(flags))
    return trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent.is_valid else None


def _caller() -> str:
    """Return the module that calls sentry-sdk's function."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 public, if documented as CPython's
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if not module.startswith(_BETWEEN):
            return module
        frame = frame.f_back
    return ""
