"""An OpenTelemetry span with the methods of sentry-sdk's `Span` and `Transaction`: what its span API returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import sentry_sdk
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, Status, StatusCode, format_span_id, format_trace_id
from sentry_sdk import tracing_utils

from slotel.runtime.requests.decision import REQUEST_KINDS
from slotel.runtime.sentry.propagation import SENTRY_TRACE
from slotel.runtime.sentry.span_api.arguments import (
    ATTRIBUTES,
    DESCRIPTION,
    OP,
    SOURCE,
    STATUS,
    TRANSACTION,
    as_attribute,
    as_datetime,
    as_json,
    is_made_by_code,
    nanoseconds_of,
)
from slotel.runtime.sentry.transactions.mapping import http_status_name
from slotel.runtime.sentry.transactions.payload import (
    CONTEXTS,
    JSON,
    MEASUREMENTS,
    ORIGIN,
    TAGS,
    data_of,
    mapping_of,
)
from slotel.runtime.upstream.otel.failure import failed_by, record
from slotel.runtime.upstream.sentry.spans import NoOpSpan, add_breadcrumb_of, name_later_events
from slotel.version import __version__

if TYPE_CHECKING:
    from typing_extensions import Self

    from slotel.runtime.requests.local_roots import LocalRoot, OpenSpans

_AI_OPERATION: Final = "gen_ai.operation.name"
_AI_OPS: Final = ("ai.", "gen_ai.")
_CLIENT_ERROR: Final = 400
_FLAG: Final = "flag.evaluation."
_MOST_FLAGS: Final = 10
"""Most flags of one span. Source: sentry-sdk, `Span.set_flag`."""
_MOST_KEPT: Final = 200
"""Most tags, measurements or contexts of one span: each further one decodes and encodes those before it."""


class _NoMethod:
    """Stands for a method or a value that a span of OpenTelemetry lacks: does nothing when called, and is false."""

    def __call__(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def __bool__(self) -> bool:
        """Return False."""
        return False


_NO_METHOD: Final = _NoMethod()


class OtelSpan:
    """The interface of sentry-sdk's `Span` and `Transaction`, on a span of OpenTelemetry.

    Attributes, tags and times go to that span; what it has no place for is kept in attributes `sentry.*`, which
    `transactions/payload.py` reads. A method of sentry-sdk that is not here does nothing: it never fails in the app.

    Args:
        span: one of OpenTelemetry; also one that has ended, or is not recorded.
        open_spans: finds the span that the transaction is made of.
        names_events: it is a transaction; if no other span is around it, it names later events of its scope, too.
        parent_context: the context that it was started in, with the baggage of the trace that it continues.
    """

    def __init__(
        self,
        span: Span,
        open_spans: OpenSpans | None = None,
        *,
        names_events: bool = False,
        parent_context: Context | None = None,
    ) -> None:
        self.span = span
        self._names_events = names_events
        self._open_spans = open_spans
        self._came_in = parent_context
        self._token: Any = None

    def __eq__(self, other: object) -> bool:
        """Return whether it is the same span: each call that asks for the current span gets a new object."""
        return isinstance(other, OtelSpan) and other.span is self.span

    def __hash__(self) -> int:
        """Return the hash of the span."""
        return hash(self.span)

    def __repr__(self) -> str:
        """Return the text of it in the variables of an error event."""
        kind = type(self).__name__
        return f"<{kind}(op={self.op!r}, name={self.name!r}, trace_id={self.trace_id!r}, span_id={self.span_id!r})>"

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
            record(self.span, error)
            self.span.set_status(failed_by(error))
            if STATUS in self._attributes():  # what was said before is over
                self.span.set_attribute(STATUS, "internal_error")
        self.finish()

    def finish(self, scope: Any = None, end_timestamp: float | datetime | None = None) -> str | None:
        """End it; a second call does nothing.

        Args:
            end_timestamp: unix seconds, or a datetime; None for now.
        """
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
        self.span.end(nanoseconds_of(end_timestamp))
        return None

    def end(self, end_timestamp: float | datetime | None = None) -> None:
        """End it."""
        self.finish(None, end_timestamp)

    def start_child(self, instrumenter: str = "sentry", **arguments: Any) -> Any:
        """Start a span below this one."""
        del instrumenter
        if not is_made_by_code(arguments.get("origin")):
            return NoOpSpan()
        return start(arguments, self._within(), self._open_spans)

    new_span = start_child

    # -- its attributes -------------------------------------------------------------------------------------

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one value; None is left out, and what OpenTelemetry does not accept (a dict, numbers) becomes JSON."""
        if value is None:
            return
        plain = as_attribute(value)
        if plain is None:
            plain = as_json(value)
            names = self._attributes().get(JSON)
            names = names if isinstance(names, tuple) else ()
            is_new = key not in names and len(names) < _MOST_KEPT
            self.span.set_attribute(JSON, (*names, key) if is_new else names)
        self.span.set_attribute(key, plain)

    set_data = set_attribute

    def set_tag(self, key: str, value: Any) -> None:
        """Set an attribute and a tag; a root's are tags of its transaction, unless a scope has the key."""
        self.set_attribute(key, value)
        if value is not None:
            self._add(TAGS, str(key), str(value))

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
        """Set how a feature flag was evaluated in it, for the first ten flags of a span."""
        if sum(name.startswith(_FLAG) for name in self._attributes()) < _MOST_FLAGS:
            self.set_attribute(flag, result)

    def set_measurement(self, name: str, value: float, unit: str = "") -> None:
        """Set one of Sentry's measurements: a number with its unit, as `millisecond` or `byte`."""
        self._add(MEASUREMENTS, name, {"value": value, "unit": unit})

    def set_context(self, key: str, value: Any) -> None:
        """Set one of the `contexts` of the transaction that is made of this span."""
        self._add(CONTEXTS, key, value)

    def _add(self, attribute: str, key: str, value: Any) -> None:
        """Add a value to an attribute with JSON; one that does not fit in the limit of attribute values is left out."""
        before = mapping_of(self._attributes().get(attribute))
        is_full = key not in before and len(before) >= _MOST_KEPT
        text = as_json(before if is_full else {**before, key: value})  # set again it is the last to give way
        self.span.set_attribute(attribute, text)
        if self.span.is_recording() and self._attributes().get(attribute) != text:
            self.span.set_attribute(attribute, as_json(before))

    def set_status(self, status: Any) -> None:
        """Set Sentry's status: `ok`, or a name of a gRPC status, as `not_found`."""
        text = str(getattr(status, "value", status))
        self.span.set_attribute(STATUS, text)
        self.span.set_status(Status(StatusCode.OK if text == "ok" else StatusCode.ERROR))

    def set_http_status(self, http_status: int) -> None:
        """Set the status code of a response, and Sentry's status for it; from 400 on the span is failed."""
        self.span.set_attribute("http.response.status_code", http_status)
        self.span.set_attribute(STATUS, http_status_name(http_status))
        if http_status >= _CLIENT_ERROR:
            self.span.set_status(Status(StatusCode.ERROR))

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return format_trace_id(self.span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return format_span_id(self.span.get_span_context().span_id)

    @property
    def parent_span_id(self) -> str | None:
        """16 hexadecimal digits, or None."""
        parent = getattr(self.span, "parent", None)
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
        return as_datetime(getattr(self.span, "start_time", None))

    @property
    def timestamp(self) -> datetime | None:
        """When it ended; None before."""
        return as_datetime(getattr(self.span, "end_time", None))

    @property
    def sampled(self) -> bool:
        """Whether it is sampled, and so exported."""
        return bool(self.span.get_span_context().trace_flags.sampled)

    @sampled.setter
    def sampled(self, sampled: Any) -> None:
        """Do nothing: OpenTelemetry's sampler has decided."""

    @property
    def name(self) -> str:
        """The name of its transaction, where the app has named that; else the span's."""
        return str(self._attributes().get(TRANSACTION) or getattr(self.span, "name", ""))

    @name.setter
    def name(self, name: str) -> None:
        """Name it; of a request or a job its transaction alone, since metrics need names that have a bound."""
        if self._is_root() and getattr(self.span, "kind", None) in REQUEST_KINDS:
            self.set_attribute(TRANSACTION, name)
        else:
            self.span.update_name(name)

    @property
    def description(self) -> str:
        """Its description, or else its name."""
        return str(self._attributes().get(DESCRIPTION) or self.name)

    @description.setter
    def description(self, description: str) -> None:
        """Describe it: a transaction keeps its name."""
        if self._is_root():
            self.set_attribute(DESCRIPTION, description)
        else:
            self.span.update_name(description)

    origin = ORIGIN

    @property
    def op(self) -> str | None:
        """Its operation, as `http.server`; None if the app gave none."""
        return self._attributes().get(OP)

    @op.setter
    def op(self, op: str) -> None:
        self.set_attribute(OP, op)

    @property
    def source(self) -> str | None:
        """Where its name comes from: `route`, `url`, `task`, `custom`; None if the app gave none."""
        return self._attributes().get(SOURCE)

    @source.setter
    def source(self, source: Any) -> None:
        self.set_attribute(SOURCE, str(getattr(source, "value", source)))

    @property
    def status(self) -> str | None:
        """Sentry's status, as `set_status` takes it; None if the app gave none."""
        return self._attributes().get(STATUS)

    @status.setter
    def status(self, status: Any) -> None:
        self.set_status(status)

    @property
    def containing_transaction(self) -> OtelSpan:
        """The span that its transaction is made of."""
        opened = self._local_root()
        return self if opened is None or opened.span is self.span else OtelSpan(opened.span, self._open_spans)

    root_span = containing_transaction

    def is_success(self) -> bool:
        """Whether its status is `ok`."""
        return self.status == "ok"

    def to_traceparent(self) -> str:
        """Return the value of the header `sentry-trace`."""
        return f"{self.trace_id}-{self.span_id}-{int(self.sampled)}"

    def get_baggage(self) -> Any:
        """Return sentry-sdk's `Baggage` with the `sentry-*` entries of the header."""
        return tracing_utils.Baggage.from_incoming_header(self._headers().get("baggage", ""))

    to_baggage = get_baggage

    def iter_headers(self) -> Iterator[tuple[str, str]]:
        """Yield name and value of the trace headers for a request that is made within this span."""
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
        """Return what sentry-sdk's own span returns: ids, times as datetimes, attributes under `data`."""
        found = {
            **self.get_trace_context(),
            "same_process_as_parent": self.same_process_as_parent,
            "start_timestamp": self.start_timestamp,
            "timestamp": self.timestamp,
            "data": data_of(
                {name: value for name, value in self._attributes().items() if name not in ATTRIBUTES}
            ),
        }
        if self._names_events or self._is_root():
            found.update(name=self.name, source=self.source, sampled=self.sampled)
        return found

    # what sentry-sdk itself calls
    _to_traceparent, _to_baggage, _iter_headers = to_traceparent, to_baggage, iter_headers
    _get_trace_context = get_trace_context

    def __getattr__(self, name: str) -> Any:
        """Return a stand-in for any other method or value of sentry-sdk's spans, which its integrations may ask for."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _NO_METHOD

    def _set_conversation(self) -> None:
        """Set the conversation of an AI span, which the app has set in its scope (`Scope.set_conversation_id`)."""
        attributes = self._attributes()
        if _AI_OPERATION in attributes or str(attributes.get(OP)).startswith(_AI_OPS):
            for scope in (sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()):
                asked = getattr(scope, "get_conversation_id", _NO_METHOD)
                self.set_attribute("gen_ai.conversation.id", asked())

    def _is_root(self) -> bool:
        local_root = self._local_root()
        return local_root is not None and local_root.span is self.span

    def _remote_parent(self) -> SpanContext | None:
        parent = getattr(self.span, "parent", None)
        return parent if parent is not None and parent.is_remote else None

    def _within(self) -> Context:
        """Return the current context within this span, with the baggage that its trace came with."""
        context = otel_context.get_current()
        if self._came_in is not None:
            for key, value in baggage.get_all(self._came_in).items():
                context = baggage.set_baggage(key, value, context)
        return trace.set_span_in_context(self.span, context)

    def _local_root(self) -> LocalRoot | None:
        return self._open_spans.of(self.span.get_span_context().span_id) if self._open_spans else None

    def _headers(self) -> dict[str, str]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier, self._within())
        carrier.setdefault(SENTRY_TRACE, self.to_traceparent())
        return carrier

    def _attributes(self) -> Mapping[str, Any]:
        return getattr(self.span, "attributes", None) or {}


def start(
    arguments: dict[str, Any],
    context: Context | None,
    open_spans: OpenSpans | None,
    *,
    names_events: bool = False,
) -> OtelSpan:
    """Start a span as sentry-sdk's arguments say."""
    name = arguments.get("name") or arguments.get("description") or arguments.get("op") or "<unlabeled span>"
    span = trace.get_tracer("sentry_sdk", __version__).start_span(
        str(name), context, start_time=nanoseconds_of(arguments.get("start_timestamp"))
    )
    made = OtelSpan(span, open_spans, names_events=names_events, parent_context=context)
    described = arguments.get("description") if names_events and arguments.get("name") else None
    said = ((OP, arguments.get("op")), (SOURCE, arguments.get("source")), (DESCRIPTION, described))
    made.set_attributes({key: value for key, value in said if value})
    made.set_attributes(arguments.get("attributes") or {})
    if arguments.get("status") is not None:
        made.set_status(arguments["status"])
    return made
