"""Spans of OpenTelemetry in the form of sentry-sdk's: what its span API returns. See `scope.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, Status, StatusCode, format_span_id, format_trace_id
from sentry_sdk import tracing_utils

from slotel.runtime.requests.decision import REQUEST_KINDS
from slotel.runtime.requests.served import SERVED
from slotel.runtime.sentry.propagation import SENTRY_TRACE
from slotel.runtime.sentry.transactions.mapping import http_status_name
from slotel.runtime.sentry.transactions.payload import CONTEXTS, JSON, MEASUREMENTS, ORIGIN, data_of
from slotel.runtime.upstream.otel.failure import failed_by, record
from slotel.runtime.upstream.sentry.spans import NoOpSpan, add_breadcrumb_of, name_later_events
from slotel.version import __version__

if TYPE_CHECKING:
    from typing_extensions import Self

    from slotel.runtime.requests.local_roots import LocalRoot, OpenSpans

OP: Final = "sentry.op"
STATUS: Final = "sentry.status"
SOURCE: Final = "sentry.source"
TRANSACTION: Final = "sentry.transaction"
"""Attributes that Sentry's transactions read. Source: Sentry's SDKs for JavaScript, "semantic attributes"."""
DESCRIPTION: Final = "sentry.description"
"""Of a span whose name has a bound, as metrics need it: a cache's key, a command line."""
_SAID: Final = frozenset({OP, STATUS, SOURCE, TRANSACTION, DESCRIPTION})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_OPERATION: Final = "gen_ai.operation.name"
_AUTO: Final = "auto."
_ORIGINS: Final = ("auto.ai", "auto.graphql")
_OPS: Final = ("cache.", "subprocess")
_FAILED: Final = 400
_FLAG: Final = "flag.evaluation."
_MOST_FLAGS: Final = 10
"""Of one span. Source: sentry-sdk, `Span.set_flag`."""


class OtelSpan:
    """What sentry-sdk's `Span` and `Transaction` are to their callers, on a span of OpenTelemetry.

    Args:
        names_events: it is a transaction; if it is in no other span, it names later events of its scope, too.
        came_in: what it was started in, with the baggage of the trace that it continues.
    """

    def __init__(
        self,
        span: Span,
        open_spans: OpenSpans | None = None,
        *,
        names_events: bool = False,
        came_in: Context | None = None,
    ) -> None:
        self._span = span
        self._names_events = names_events
        self._open_spans = open_spans
        self._came_in = came_in
        self._token: Any = None

    def __eq__(self, other: object) -> bool:
        """Whether it is the same span: each look at the current one makes another object."""
        return isinstance(other, OtelSpan) and other.span is self._span

    def __hash__(self) -> int:
        """Return the span's."""
        return hash(self._span)

    def __repr__(self) -> str:
        """Return what it is, as variables of frames show it."""
        kind = type(self).__name__
        return f"<{kind}(op={self.op!r}, name={self.name!r}, trace_id={self.trace_id!r}, span_id={self.span_id!r})>"

    @property
    def span(self) -> Span:
        """OpenTelemetry's span."""
        return self._span

    # -- lifetime --------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Make it the current span."""
        if self._names_events and not trace.get_current_span().get_span_context().is_valid:
            name_later_events(self.name, self.source or "custom")
        self._token = otel_context.attach(self._within())
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End it; an exception marks it failed."""
        if isinstance(error, Exception):
            record(self._span, error)
            self._span.set_status(failed_by(error))
            if STATUS in self._attributes():  # what was said before is over
                self._span.set_attribute(STATUS, "internal_error")
        self.finish()

    def finish(self, scope: Any = None, end_timestamp: float | datetime | None = None) -> str | None:
        """End it; once it has ended, do nothing."""
        del scope
        token, self._token = self._token, None
        if token is not None:
            otel_context.detach(token)
        if self.timestamp is not None:
            return None
        self._set_conversation()
        if op := self.op:
            said = self._attributes()
            data = {name: value for name, value in said.items() if not name.startswith("sentry.")}
            add_breadcrumb_of(op, str(said.get(DESCRIPTION) or self.name), data)
        self._span.end(_nanoseconds(end_timestamp))
        return None

    def end(self, end_timestamp: float | datetime | None = None) -> None:
        """End it."""
        self.finish(None, end_timestamp)

    def start_child(self, instrumenter: str = "sentry", **how: Any) -> Any:
        """Start a span below this one."""
        del instrumenter
        if not is_made_by_code(how.get("origin")):
            return NoOpSpan()
        return start(how, self._within(), self._open_spans)

    new_span = start_child

    # -- what is said of it ----------------------------------------------------------------------------------

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one value; what OpenTelemetry does not take is written as text."""
        if value is None:
            return
        plain = _attribute(value)
        if plain is None:
            plain = _json(value)
            self._span.set_attribute(JSON, [*self._attributes().get(JSON, ()), key])
        self._span.set_attribute(key, plain)

    set_data = set_attribute

    def set_tag(self, key: str, value: Any) -> None:
        """Set one value; of the span that a transaction is made of, as a tag of the transaction, too."""
        self.set_attribute(key, value)
        local_root = self._local_root()
        if local_root is not None and local_root.span is self._span and value is not None:
            local_root.tags[str(key)] = str(value)

    def set_attributes(self, values: Mapping[str, Any]) -> None:
        """Set several values."""
        for key, value in values.items():
            self.set_attribute(key, value)

    update_data = set_attributes

    def set_tags(self, values: Mapping[str, Any]) -> None:
        """Set several tags."""
        for key, value in values.items():
            self.set_tag(key, value)

    def set_flag(self, flag: str, result: bool) -> None:
        """Say how a feature flag was evaluated in it: the first ten of a span."""
        if sum(name.startswith(_FLAG) for name in self._attributes()) < _MOST_FLAGS:
            self.set_attribute(flag, result)

    def set_measurement(self, name: str, value: float, unit: str = "") -> None:
        """Set one of Sentry's measurements: a number with its unit."""
        self._add(MEASUREMENTS, name, {"value": value, "unit": unit})

    def set_context(self, key: str, value: Any) -> None:
        """Set a context of the transaction that is made of this span."""
        self._add(CONTEXTS, key, value)

    def _add(self, attribute: str, key: str, value: Any) -> None:
        told = json.loads(self._attributes().get(attribute) or "{}")
        self._span.set_attribute(attribute, _json({**told, key: value}))

    def set_status(self, status: Any) -> None:
        """Set Sentry's status: `ok`, or what went wrong."""
        text = str(getattr(status, "value", status))
        self._span.set_attribute(STATUS, text)
        self._span.set_status(Status(StatusCode.OK if text == "ok" else StatusCode.ERROR))

    def set_http_status(self, http_status: int) -> None:
        """Set the status code of an answer, and the status that it means."""
        self._span.set_attribute("http.response.status_code", http_status)
        self._span.set_attribute(STATUS, http_status_name(http_status))
        if http_status >= _FAILED:
            self._span.set_status(Status(StatusCode.ERROR))

    def set_thread(self, *_: Any) -> None:
        """Do nothing: an instrumentation writes `thread.id`."""

    set_profiler_id = set_thread

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return format_trace_id(self._span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return format_span_id(self._span.get_span_context().span_id)

    @property
    def parent_span_id(self) -> str | None:
        """16 hexadecimal digits, or None."""
        parent = getattr(self._span, "parent", None)
        return format_span_id(parent.span_id) if parent is not None else None

    @property
    def parent_sampled(self) -> bool | None:
        """Whether the caller exports its trace; None if it continues none."""
        parent = self._remote_parent()
        return None if parent is None else bool(parent.trace_flags.sampled)

    @property
    def same_process_as_parent(self) -> bool:
        """Whether no other process has begun its trace."""
        return self._remote_parent() is None

    @property
    def start_timestamp(self) -> datetime | None:
        """When it began."""
        return _datetime(getattr(self._span, "start_time", None))

    @property
    def timestamp(self) -> datetime | None:
        """When it ended; None before."""
        return _datetime(getattr(self._span, "end_time", None))

    @property
    def sampled(self) -> bool:
        """Whether it is exported."""
        return bool(self._span.get_span_context().trace_flags.sampled)

    @sampled.setter
    def sampled(self, sampled: Any) -> None:
        """Do nothing: OpenTelemetry's sampler has decided."""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._attributes().get(TRANSACTION) or getattr(self._span, "name", ""))

    @name.setter
    def name(self, name: str) -> None:
        """Name it; of a request or a job its transaction alone, since metrics need names that have a bound."""
        if self._is_root() and getattr(self._span, "kind", None) in REQUEST_KINDS:
            self.set_attribute(TRANSACTION, name)
        else:
            self._span.update_name(name)

    @property
    def description(self) -> str:
        """What is said of it: its name, where the code says nothing else."""
        return str(self._attributes().get(DESCRIPTION) or self.name)

    @description.setter
    def description(self, description: str) -> None:
        """Describe it: a transaction keeps its name."""
        if self._is_root():
            self.set_attribute(DESCRIPTION, description)
        else:
            self._span.update_name(description)

    origin = ORIGIN

    @property
    def op(self) -> str | None:
        """Its operation."""
        return self._attributes().get(OP)

    @op.setter
    def op(self, op: str) -> None:
        self.set_attribute(OP, op)

    @property
    def source(self) -> str | None:
        """How its name was found."""
        return self._attributes().get(SOURCE)

    @source.setter
    def source(self, source: Any) -> None:
        self.set_attribute(SOURCE, str(getattr(source, "value", source)))

    @property
    def status(self) -> str | None:
        """Sentry's status."""
        return self._attributes().get(STATUS)

    @status.setter
    def status(self, status: Any) -> None:
        self.set_status(status)

    @property
    def containing_transaction(self) -> OtelSpan:
        """The span that its transaction is made of."""
        opened = self._local_root()
        return (
            self if opened is None or opened.span is self._span else OtelSpan(opened.span, self._open_spans)
        )

    root_span = containing_transaction

    def is_success(self) -> bool:
        """Whether its status is `ok`."""
        return self.status == "ok"

    def to_traceparent(self) -> str:
        """Return the value of the header `sentry-trace`."""
        return f"{self.trace_id}-{self.span_id}-{int(self.sampled)}"

    def get_baggage(self) -> Any:
        """Return what the header `baggage` says of Sentry."""
        return tracing_utils.Baggage.from_incoming_header(self._headers().get("baggage", ""))

    to_baggage = get_baggage

    def iter_headers(self) -> Iterator[tuple[str, str]]:
        """Yield the headers of a request that this span makes."""
        yield SENTRY_TRACE, self._headers()[SENTRY_TRACE]
        baggage = self.get_baggage().serialize()
        if baggage:
            yield "baggage", baggage

    def get_trace_context(self) -> dict[str, Any]:
        """Return `contexts.trace` of an event within this span."""
        found: dict[str, Any] = {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_span_id": self.parent_span_id,
            "op": self.op,
            "description": self.description,
            "origin": self.origin,
        }
        return {**found, "status": self.status} if self.status else found

    def to_json(self) -> dict[str, Any]:
        """Return what is known of it."""
        found = {
            **self.get_trace_context(),
            "same_process_as_parent": self.same_process_as_parent,
            "start_timestamp": self.start_timestamp,
            "timestamp": self.timestamp,
            "data": data_of({name: value for name, value in self._attributes().items() if name not in _SAID}),
        }
        if self._names_events or self._is_root():
            found.update(name=self.name, source=self.source, sampled=self.sampled)
        return found

    # what sentry-sdk itself calls
    _to_traceparent, _to_baggage, _iter_headers = to_traceparent, to_baggage, iter_headers
    _get_trace_context = get_trace_context

    def __getattr__(self, name: str) -> Any:
        """Let what else sentry-sdk's integrations call on a span of theirs do nothing: it must not fail in the app."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing

    def _set_conversation(self) -> None:
        """Say which conversation an AI span belongs to, as the code has set it in the scope."""
        attributes = self._attributes()
        if _OPERATION in attributes or str(attributes.get(OP)).startswith(("ai.", "gen_ai.")):
            import sentry_sdk

            for scope in (sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()):
                asked = getattr(scope, "get_conversation_id", _nothing)
                self.set_attribute("gen_ai.conversation.id", asked())

    def _is_root(self) -> bool:
        local_root = self._local_root()
        return local_root is not None and local_root.span is self._span

    def _remote_parent(self) -> SpanContext | None:
        parent = getattr(self._span, "parent", None)
        return parent if parent is not None and parent.is_remote else None

    def _within(self) -> Context:
        """Return the current context within this span, with the baggage that its trace came with."""
        context = otel_context.get_current()
        if self._came_in is not None:
            for key, value in baggage.get_all(self._came_in).items():
                context = baggage.set_baggage(key, value, context)
        return trace.set_span_in_context(self._span, context)

    def _local_root(self) -> LocalRoot | None:
        return self._open_spans.of(self._span.get_span_context().span_id) if self._open_spans else None

    def _headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier, self._within())
        carrier.setdefault(SENTRY_TRACE, self.to_traceparent())
        return carrier

    def _attributes(self) -> Mapping[str, Any]:
        return getattr(self._span, "attributes", None) or {}


class ContinuedTrace:
    """What `continue_trace` returns: a transaction that has not begun; `start_transaction` begins it.

    What the code says of it before is said to the span once there is one. Nothing is left open when it never begins.
    """

    def __init__(self, context: Context, how: dict[str, Any], open_spans: OpenSpans | None) -> None:
        self.context = context
        self.name, self.op, self.source = how.get("name"), how.get("op"), how.get("source")
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
        """Begin it."""
        if self._started is None:
            how = {"name": self.name, "op": self.op, "source": self.source, "status": self.status, **more}
            self._started = start(how, self.context, self._open_spans, names_events=True)
            for method, given, named in self._said:
                getattr(self._started, method)(*given, **named)
        return self._started

    def __enter__(self) -> OtelSpan:
        """Begin it, as the current span."""
        return self.start({}).__enter__()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End it."""
        if self._started is not None:
            self._started.__exit__(None, error, None)

    def __getattr__(self, name: str) -> Any:
        """Note what is said; everything else is that of the span which has begun, else of the caller's."""
        if name.startswith("__"):
            raise AttributeError(name)
        if self._started is not None:
            return getattr(self._started, name)
        if not name.startswith(("set_", "update_")):
            return getattr(OtelSpan(trace.get_current_span(self.context)), name)

        def say(*given: Any, **named: Any) -> None:
            self._said.append((name, given, named))

        return say


def served_span() -> Span | None:
    """Return the span of the request that is served here: of an app's first one it may be made at the end only."""
    served = SERVED.get()
    if served is None or served.is_over:
        return None
    served.ensure_span()
    return None if served.local_root is None or served.local_root.ended else served.local_root.span


def start(
    how: dict[str, Any], context: Context | None, open_spans: OpenSpans | None, *, names_events: bool = False
) -> OtelSpan:
    """Start a span as sentry-sdk's arguments say."""
    name = how.get("name") or how.get("description") or how.get("op") or "<unlabeled span>"
    span = trace.get_tracer("sentry_sdk", __version__).start_span(
        str(name), context, start_time=_nanoseconds(how.get("start_timestamp"))
    )
    made = OtelSpan(span, open_spans, names_events=names_events, came_in=context)
    described = how.get("description") if names_events and how.get("name") else None
    said = ((OP, how.get("op")), (SOURCE, how.get("source")), (DESCRIPTION, described))
    made.set_attributes({key: value for key, value in said if value})
    made.set_attributes(how.get("attributes") or {})
    if how.get("status") is not None:
        made.set_status(how["status"])
    return made


class _Nothing:
    """Does nothing when it is called, and is false where code asks for a value."""

    def __call__(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def __bool__(self) -> bool:
        """Return False."""
        return False


_nothing: Final = _Nothing()


def is_made_by_code(origin: Any) -> bool:
    """Whether a span is made here: spans of most integrations are left to OpenTelemetry's instrumentations."""
    return origin is None or not str(origin).startswith(_AUTO) or str(origin).startswith(_ORIGINS)


def bounded(how: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how to start a child span of an integration that no instrumentation makes; None if one does."""
    op = str(how.get("op") or "")
    if not op.startswith(_OPS):
        return None
    said = how.get("name") or how.get("description")
    attributes = {**(how.get("attributes") or {}), **({DESCRIPTION: said} if said else {})}
    return {**how, "name": op, "attributes": attributes}


def _attribute(value: Any) -> Any:
    """Return a value as OpenTelemetry takes it; None where it does not."""
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return list(value)
    return None


def _json(value: Any) -> str:
    try:
        return json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(repr(value)[:1000])


def _datetime(nanoseconds: int | None) -> datetime | None:
    return None if nanoseconds is None else _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _nanoseconds(time: float | datetime | None) -> int | None:
    if time is None:
        return None
    return int((time.timestamp() if isinstance(time, datetime) else time) * 1e9)
