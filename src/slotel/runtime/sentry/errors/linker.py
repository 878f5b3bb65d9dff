"""Links Sentry's error events to the OpenTelemetry span that failed: trace, name, tags, one event per exception.

It is a sink of the pipeline and an event processor of sentry-sdk. It captures only exceptions that escape a request.
"""

from __future__ import annotations

import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import sentry_sdk
from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, format_span_id, format_trace_id

from slotel.config.tags import as_given, sentry_tag_key
from slotel.runtime.process import finalizers
from slotel.runtime.process.finalizers import in_finalizer
from slotel.runtime.requests.decision import REQUEST_KINDS, Decision, records
from slotel.runtime.requests.local_roots import LocalRoot, OpenSpans
from slotel.runtime.requests.outcomes import BROKEN_STREAM
from slotel.runtime.requests.served import SERVED
from slotel.runtime.sentry.errors.breadcrumbs import add_calls, keep_call, move_calls_to_scope
from slotel.runtime.sentry.errors.capture import capture
from slotel.runtime.sentry.errors.exception_record import RECORD, ExceptionRecord, record_of, remember
from slotel.runtime.sentry.errors.integrations import SET_UP
from slotel.runtime.sentry.errors.request_scopes import (
    SCOPES,
    RequestEventProcessor,
    Scopes,
    capture_within,
    leave,
)
from slotel.runtime.sentry.errors.second_reports import is_second_report
from slotel.runtime.sentry.propagation import request_of
from slotel.runtime.sentry.protocols import DUPLICATE
from slotel.runtime.sentry.transactions.mapping import root_status, span_fields
from slotel.runtime.sentry.transactions.names import (
    TransactionStyles,
    framework_of,
    name_of_code,
    name_of_route,
)
from slotel.runtime.sentry.transactions.payload import ORIGIN, PART, data_of
from slotel.runtime.sentry.transactions.sampling_context import incoming
from slotel.runtime.tracing.sink import Sink
from slotel.runtime.upstream.otel.context import flags_of
from slotel.runtime.upstream.otel.reading import UNSET
from slotel.runtime.upstream.sentry.events import given_tags, name_given_to_event
from slotel.runtime.upstream.sentry.scope import CURRENT, ISOLATION, fork_when_used

_tuple: Final = tuple.__new__  # a named tuple's own is a call more
DUPLICATE_WINDOW: Final = 5.0
"""Seconds within which repeated reports of an exception without a trace are one occurrence."""

_ANSWERS_EVERYTHING: Final = "django"
"""Its spans also end with exceptions that a middleware turned into a response; Django's signal is more precise."""

_STARLETTE: Final = ("starlette", "fastapi")
_SPAN_API: Final = "sentry_sdk"
"""The instrumentation scope of spans made by sentry-sdk's span API, whose data are also written to events."""
_SAID_BESIDE: Final = ("sentry.op", "sentry.source", "sentry.status", "sentry.transaction")

_RUNTIME: Final = {
    "name": platform.python_implementation(),
    "version": platform.python_version(),
    "build": sys.version,
}


class ErrorEventLinker(Sink):
    """Knows the span of each exception, and the exception of each event.

    Args:
        tags: returns the enforced tags of attributes and custom tags: `Enforcer.tags`.
        sampling: returns the dynamic sampling context of a span's trace.
        holds_calls: keep the ended spans of unsampled traces for breadcrumbs, because no other sink does.
    """

    starts = "local_roots"

    def __init__(
        self,
        open_spans: OpenSpans,
        tags: Callable[[Mapping[str, Any], Mapping[str, str]], dict[str, str]],
        sampling: Callable[[SpanContext], Mapping[str, str]] = lambda _: {},
        *,
        native_names: bool = False,
        holds_calls: bool = False,
    ) -> None:
        self._native_names = native_names
        self.no_quiet_children = not holds_calls
        self._open_spans = open_spans
        self._tags = tags
        self._sampling = sampling
        self._former: Any = None
        self._session_frameworks: frozenset[str] = frozenset()
        finalizers.watch()

    # -- as a sink of the pipeline ---------------------------------------------------------------------------

    def on_start(self, span: Span, local_root: LocalRoot, parent_context: Context | None) -> None:
        """Give a request its own Sentry scopes, so that its tags, user and breadcrumbs stay its own."""
        if local_root.span is not span or span.kind not in REQUEST_KINDS or in_finalizer():
            return
        scope = sentry_sdk.Scope
        isolation = ISOLATION.get() or scope.get_isolation_scope()
        current = CURRENT.get() or scope.get_current_scope()
        around = SCOPES.get()
        if around is not None and around.local_root is local_root:  # its span takes another one's place
            self._begin_session(span, around.isolation)
            return
        while around is not None and around.local_root.ended:  # an event loop's context outlives its request
            if around.isolation is isolation:
                isolation, current = around.base_isolation, around.base_current
            around = around.around
        view = RequestEventProcessor(self.link, local_root, request_of(parent_context))
        forked = fork_when_used(isolation, view.add_to)
        local_root.scopes = scopes = _tuple(Scopes, (around, isolation, current, forked, local_root, view))
        SCOPES.set(scopes)
        ISOLATION.set(forked)
        CURRENT.set(fork_when_used(current))
        if self._session_frameworks:
            self._begin_session(span, forked)

    def count_sessions(self, client: Any) -> None:
        """Count sessions of requests, if the client wants it: sentry-sdk does in middlewares that slotel leaves out."""
        wanted = client.options.get("auto_session_tracking")
        self._session_frameworks = frozenset(getattr(client, "integrations", ()) if wanted else ()) & SET_UP

    def _has_session(self, span: ReadableSpan) -> bool:
        return span.kind is SpanKind.SERVER and framework_of(span) in self._session_frameworks

    def _begin_session(self, span: Span, isolation: Any) -> None:
        if self._has_session(span):
            isolation.start_session(session_mode="request")

    def on_end(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        """Record the span of an exception, and report an exception that escapes a request."""
        if span.status is not UNSET and span.status.status_code is StatusCode.ERROR:
            error = sys.exc_info()[1]
            if error is not None and records(span, error):
                _remember_span(span, local_root, error)
        if local_root is None or not local_root.ended:  # a child, mostly
            if not self.no_quiet_children and local_root is not None and local_root.state is None:
                keep_call(local_root.spans, span)
            return
        if local_root.span.context is span.context and span.kind in REQUEST_KINDS:
            decision = local_root.decision
            if decision is not None and decision.exception is not None:
                if decision.reports:
                    _report(span, local_root, decision)
                else:  # the server may log it
                    _remember_span(span, local_root, decision.exception)
            if self._session_frameworks and local_root.scopes is not None and self._has_session(span):
                local_root.scopes.isolation.end_session()
            is_sent = flags_of(span.context) & 1 or (decision is not None and decision.row.kept)
            leave(local_root, is_sent=bool(is_sent))
            local_root.scopes = None  # they hold the local root: no cycle may be left
        elif local_root.span.context is span.context and not in_finalizer():
            move_calls_to_scope((*local_root.spans, span))

    def escaped(self, error: BaseException, mechanism: str) -> None:
        """Report an exception that left the application and failed no span. A second report is dropped."""
        capture(error, mechanism)

    def replaced(self, client: Any) -> None:
        """Note a replaced Sentry client, whose pending events must be flushed, too."""
        self._former = client

    def flush(self, timeout: float) -> bool:
        """Let Sentry send what is pending."""
        deadline = time.monotonic() + timeout
        sentry_sdk.flush(timeout=timeout)
        if self._former is not None:
            self._former.flush(timeout=max(deadline - time.monotonic(), 0.0))
        return True

    def shutdown(self) -> None:
        """Let Sentry send what is pending."""
        self.flush(2.0)

    # -- as an event processor of sentry-sdk -----------------------------------------------------------------

    def __call__(self, event: Any, hint: Any) -> Any:
        """Link an error event to its span; return None for a second report of the same exception."""
        if event.get("type") is not None:
            event.setdefault("contexts", {}).setdefault("runtime", _RUNTIME)
            return event
        current = trace.get_current_span().get_span_context()
        error = (hint.get("exc_info") or (None, None))[1]
        known = record_of(error)
        if known is not None and known.trace_differs(current):
            known = None
        is_repeated = known is not None and (
            known.reported and (known.context or time.monotonic() - known.reported < DUPLICATE_WINDOW)
        )
        if is_repeated or is_second_report(event, error):
            DUPLICATE.set(True)
            return None
        if known is None:
            known = ExceptionRecord(*self._where(current))
            if error is not None:
                remember(error, known)
        known.reported = time.monotonic()
        event.setdefault("contexts", {}).setdefault("runtime", _RUNTIME)
        hint[RECORD] = known
        local_root = known.local_root
        self.link(event, known.context, local_root, known.span)
        if local_root is not None and not local_root.ended and local_root.span.kind not in REQUEST_KINDS:
            add_calls(event, {}, local_root.spans)
        return event

    def _where(self, current: SpanContext) -> tuple[SpanContext | None, LocalRoot | None]:
        """Return the current span and local root; a response may go on after its span has ended."""
        local_root = self._open_spans.of(current.span_id) if current.is_valid else None
        served = local_root.served if local_root is not None else None if current.is_valid else SERVED.get()
        if served is not None:
            served.ensure_span()
            local_root = served.local_root
        if current.is_valid:
            return current, local_root
        return (None, None) if local_root is None else (local_root.span.context, local_root)

    def link(
        self,
        event: Any,
        context: SpanContext | None,
        local_root: LocalRoot | None,
        failed: ReadableSpan | None = None,
    ) -> None:
        """Write trace, transaction name and enforced tags into an event."""
        attributes: Mapping[str, Any] = failed.attributes or {} if failed is not None else {}
        if context is not None:
            event.setdefault("contexts", {})["trace"] = self._trace_context(context, local_root, failed)
        custom = given_tags(event.get("tags"))
        of_root = local_root.span.attributes or {} if local_root is not None else {}
        if local_root is not None and PART not in of_root:
            scopes = SCOPES.get()
            carrier = scopes.view.carrier if scopes is not None and scopes.local_root is local_root else None
            styles = TransactionStyles(sentry_sdk.get_client(), self._native_names)
            root = local_root.span
            name, source = of_root.get("sentry.transaction") or root.name, of_root.get("sentry.source")
            if "sentry.transaction" not in of_root:
                by_style = name_of_code(root, carrier, styles) or name_of_route(root, of_root, styles)
                name, source = by_style or (name, source)
            given = name_given_to_event()
            event["transaction"] = str(name) if given is None else given
            event["transaction_info"] = {"source": str(source or _source(root))}
        if local_root is not None:
            attributes = {**of_root, **attributes}
            custom.update(local_root.tags)
        tags = {
            sentry_tag_key(key): as_given(custom.get(key), text)
            for key, text in self._tags(attributes, custom).items()
            if text
        }
        tags.pop(None, None)
        event["tags"] = tags

    def _trace_context(
        self, context: SpanContext, local_root: LocalRoot | None, failed: ReadableSpan | None
    ) -> dict[str, Any]:
        thread = threading.current_thread()
        found: dict[str, Any] = {
            "trace_id": format_trace_id(context.trace_id),
            "span_id": format_span_id(context.span_id),
            "origin": ORIGIN,
            "data": {"thread.id": str(thread.ident), "thread.name": thread.name},
        }
        is_part = local_root is not None and PART in (local_root.span.attributes or {})
        root = None if local_root is None else local_root.span
        known = (trace.get_current_span(), root, failed)
        spans: list[Any] = [each for each in known if isinstance(each, ReadableSpan)]
        here = next((each for each in spans if each.get_span_context().span_id == context.span_id), None)
        if here is not None:
            attributes = here.attributes or {}
            scope = here.instrumentation_scope
            if scope is not None and scope.name == _SPAN_API:
                said = {name: value for name, value in attributes.items() if name not in _SAID_BESIDE}
                found["data"].update(data_of(said))
            fields = span_fields(here, attributes)
            # what says more of a job is written at its end
            is_job = fields.op == here.name and here.kind is SpanKind.CONSUMER
            if "messaging.destination.name" in fields.data:
                found["data"]["messaging.destination.name"] = fields.data["messaging.destination.name"]
            found["op"] = "queue.process" if is_job else fields.op
            if is_part or (root is not None and here is not root):
                found["description"] = fields.description
            found["parent_span_id"] = format_span_id(here.parent.span_id) if here.parent is not None else None
            decision = local_root.decision if local_root is not None and here is root else None
            status = root_status(fields, None if decision is None else decision.row, attributes)
            if status is not None:
                found["status"] = status
        sent_along = getattr(local_root.state, "incoming", None) if local_root is not None else None
        # another service that began the trace alone knows its rate
        is_begun_here = root is None or root.parent is None or not root.parent.is_remote
        told: Mapping[str, str] = incoming(get_current()) or incoming(sent_along)
        if not told and not is_part and is_begun_here:
            told = self._sampling(context)
        if told:
            found["dynamic_sampling_context"] = told  # sentry-sdk makes the envelope's header `trace` of it
        return found


def current_span_ids() -> tuple[str, str] | None:
    """Return trace and span id of the current OTel span, as sentry-sdk asks for them."""
    context = trace.get_current_span().get_span_context()
    return (format_trace_id(context.trace_id), format_span_id(context.span_id)) if context.is_valid else None


def _remember_span(span: ReadableSpan, local_root: LocalRoot | None, error: BaseException) -> None:
    """Record on an exception the innermost span of its trace that it failed."""
    known = record_of(error)
    if span.context is None:
        return
    if known is not None and known.context is None and known.reported:
        known.context, known.local_root, known.span = span.context, local_root, span
    elif known is None or known.context is None or known.context.trace_id != span.context.trace_id:
        remember(error, ExceptionRecord(span.context, local_root, span))


def _report(span: ReadableSpan, local_root: LocalRoot, decision: Decision) -> None:
    """Report the exception of a failed request, unless it became a response that the framework's integration judges."""
    error, served = decision.exception, local_root.served
    if error is None:
        return
    framework = framework_of(span)
    if (
        isinstance(error, Exception)
        and decision.row is not BROKEN_STREAM
        and (served is None or served.escaped is not error)
        and (decision.is_answer or framework == _ANSWERS_EVERYTHING)
        and sentry_sdk.get_client().get_integration(framework) is not None
    ):
        return
    _remember_span(span, local_root, error)
    mechanism = "opentelemetry" if served is None else served.mechanism
    if framework in _STARLETTE:
        mechanism = "starlette"
    capture_within(local_root.scopes, error, mechanism, handled=decision.is_answer)


def _source(span: Span) -> str:
    if span.kind is SpanKind.CONSUMER:
        return "task"
    return "route" if "http.route" in (span.attributes or {}) else "custom"
