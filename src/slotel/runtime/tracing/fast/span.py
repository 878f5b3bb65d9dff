"""slotel's own span: it behaves as the SDK's `Span`, at a fraction of the cost. Decides nothing.

What the SDK's span has and most spans never use is made when it is used: events, links, the check of odd attributes.
The ended span is itself what processors and exporters get: it takes no more writes, so nobody needs a copy of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from operator import attrgetter
from time import time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanLimits
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AnyValue, Attributes

from slotel.runtime.logs import printable
from slotel.runtime.upstream.exception_text import EXCEPTION_TEXT
from slotel.runtime.upstream.otel.reading import UNSET
from slotel.runtime.upstream.otel.spans import ATTRIBUTES_LOG, TRACE_LOG, clean, new_links, readable_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slotel.runtime.tracing.fast.tracer import LeanTracer

_OK: Final = StatusCode.OK
_PLAIN: Final = frozenset({str, int, float, bool, bytes, type(None)})
"""Values that need no cleaning. A subclass of them goes the long way."""
_TEXT: Final = frozenset({str})
_FULL: Final = (
    "Attributes dict is full. Dropping the oldest key-value pair from attributes "
    "to make space for the new key-value pair."
)
_COPIED: Final = (dict, MappingProxyType)


class LeanSpan(Span):
    """A span that records.

    There is no lock: a dict's operations are atomic, and between the look at `_end_time` and a write stands no call,
    where alone CPython lets another thread in. What is rare lives in the instance's `__dict__`, else in these defaults.
    """

    __slots__ = (
        "_attributes", "_context", "_end_time", "_first_end", "_kind", "_name", "_parent", "_resource", "_start_time",
        "_status", "_tracer",
    )  # fmt: skip

    _context: SpanContext
    recorded: dict[str, Any]
    """The attributes as they stand, not to be written to."""
    _events: Sequence[Event] = ()
    _links: Sequence[Link] = ()
    _dropped_attributes = 0
    _record_exception = True
    _set_status_on_exception = True
    _record_end_metrics: Callable[[], None] | None = None
    _trace_config = None

    def begin(
        self,
        tracer: LeanTracer,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Attributes,
        start_time: int | None,
    ) -> None:
        """Fill the slots; the SDK's constructor is not used."""
        self._tracer = tracer
        self._name = name
        self._context = context
        self._parent = parent
        self._kind = kind
        self._resource = tracer.resource
        self._status = UNSET
        self._end_time: int | None = None
        self._first_end = True
        limits = tracer.span_limits
        if not attributes:
            self._attributes: dict[str, Any] = {}
        elif attributes.__class__ in _COPIED and _fits(attributes, limits, 0):
            self._attributes = dict(attributes)
        else:
            self._attributes = {}
            self._put_all(attributes)
        self._start_time = time_ns() if start_time is None else start_time

    def begin_with(
        self,
        links: Sequence[Link],
        record_exception: bool,
        set_status_on_exception: bool,
        record_end_metrics: Callable[[], None] | None,
    ) -> None:
        """Add what few spans have."""
        if links:
            self._links = new_links(self, links)
        self._record_exception = record_exception
        self._set_status_on_exception = set_status_on_exception
        self._record_end_metrics = record_end_metrics

    def __deepcopy__(self, memo: dict[int, Any]) -> ReadableSpan:
        """Return what the SDK's copy of an ended span is."""
        return copy.deepcopy(readable_span(self), memo)

    # -- what the tracer knows ---------------------------------------------------------------------------------

    @property
    def _limits(self) -> SpanLimits:
        return self._tracer.span_limits

    @property
    def _instrumentation_scope(self) -> Any:  # type: ignore[override]
        return self._tracer.scope

    @property
    def _instrumentation_info(self) -> Any:  # type: ignore[override]
        return self._tracer.instrumentation_info

    @property
    def _span_processor(self) -> Any:  # type: ignore[override]
        return self._tracer.span_processor

    @property
    def _sampler(self) -> Any:  # type: ignore[override]
        return self._tracer.sampler

    # -- reading -----------------------------------------------------------------------------------------------

    def get_span_context(self) -> SpanContext:
        """Return the span's context."""
        return self._context

    def is_recording(self) -> bool:
        """Return whether the span has not ended."""
        return self._end_time is None

    @property
    def dropped_attributes(self) -> int:
        """Return how many attributes found no place or had no valid key."""
        return self._dropped_attributes

    # -- writing -----------------------------------------------------------------------------------------------

    def set_attribute(self, key: str, value: AnyValue) -> None:
        """Set one attribute."""
        own = self._attributes
        limits = self._tracer.span_limits
        most = limits.max_span_attributes
        if (
            value.__class__ in _PLAIN
            and key.__class__ is str
            and key
            and (most is None or len(own) < most)
            and (limits.max_span_attribute_length is None or value.__class__ is not str)
        ):
            if key in own and self._end_time is None:
                own.pop(key, None)  # the latest stands last
            if self._end_time is None:
                own[key] = value
                return
        if self._end_time is not None:
            TRACE_LOG.warning("Setting attribute on ended span.")
        else:
            self._put_any(key, value)

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        """Set several attributes."""
        own = self._attributes
        fits = attributes.__class__ is dict and _fits(attributes, self._tracer.span_limits, len(own))
        if fits and own.keys().isdisjoint(attributes) and self._end_time is None:
            own.update(attributes)
        elif self._end_time is not None:
            TRACE_LOG.warning("Setting attribute on ended span.")
        else:
            self._put_all(attributes)

    def _add_event(self, event: Event) -> None:
        if self._is_open("_add_event"):
            events = vars(self).get("_events")
            if events is None:  # setdefault is atomic: the first list is used
                events = vars(self).setdefault("_events", BoundedList(self._limits.max_events))
            events.append(event)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an event that describes an exception."""
        kind = type(exception)
        module = kind.__module__
        described: dict[str, Any] = {
            "exception.type": f"{module}.{kind.__qualname__}"
            if module and module != "builtins"
            else kind.__qualname__,
            "exception.message": printable(exception),
            "exception.stacktrace": EXCEPTION_TEXT(exception),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**described, **(attributes or {})}, timestamp)

    def _add_link(self, link: Link) -> None:
        if self._is_open("_add_link"):
            links = vars(self).get("_links")
            if links is None:
                links = vars(self).setdefault("_links", BoundedList(self._limits.max_links))
            links.append(link)

    def update_name(self, name: str) -> None:
        """Give the span another name."""
        if self._is_open("update_name"):
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; OK is final, UNSET changes nothing."""
        if not self._is_open("set_status"):
            return
        code = getattr(status, "status_code", status)
        if not isinstance(code, StatusCode) or code is StatusCode.UNSET or self._status.status_code is _OK:
            return
        if not isinstance(status, Status):
            status = Status(code, description)
        elif description is not None:
            TRACE_LOG.warning(
                "Description %s ignored. Use either `Status` or `(StatusCode, Description)`", description
            )
        if self._end_time is None:
            self._status = status

    def amend_status(self, code: StatusCode) -> None:
        """Set the status of a span that has ended and was not exported yet."""
        self._status = Status(code)

    # -- start and end -----------------------------------------------------------------------------------------

    def start(self, start_time: int | None = None, parent_context: Any = None) -> None:
        """Do nothing: a tracer's span has started."""
        del start_time, parent_context
        TRACE_LOG.warning("Calling start() on a started span.")

    def end(self, end_time: int | None = None) -> None:
        """End the span and hand it to the processors."""
        if end_time is None:
            end_time = time_ns()
        try:
            del self._first_end  # atomic: of two threads that end a span, one gets past
        except AttributeError:
            TRACE_LOG.warning("Calling end() on an ended span.")
            return
        self._end_time = end_time
        if self._record_end_metrics is not None:
            self._record_end_metrics()
        processor = self._tracer.span_processor
        processor._on_ending(self)
        processor.on_end(self)

    # -- the long way ------------------------------------------------------------------------------------------

    def _is_open(self, called: str) -> bool:
        if self._end_time is None:
            return True
        TRACE_LOG.warning("Tried calling %s on an ended span.", called)
        return False

    def _put_any(self, key: str, value: AnyValue) -> None:
        """Set an attribute that may be invalid or find no place."""
        limits = self._limits
        if limits.max_span_attributes == 0:
            self._dropped_attributes += 1
        elif not key or not isinstance(key, str):
            ATTRIBUTES_LOG.warning(
                "invalid key `%s`. must be non-empty string. Dropping key from attributes.", key
            )
            self._dropped_attributes += 1
        else:
            self._put(key, clean(value, limits.max_span_attribute_length))

    def _put_all(self, attributes: Mapping[str, AnyValue]) -> None:
        limits = self._limits
        if limits.max_span_attributes == 0:
            self._dropped_attributes += len(attributes)
            return
        cleaned = clean(attributes, limits.max_span_attribute_length)
        self._dropped_attributes += len(attributes) - len(cleaned)
        for key, value in cleaned.items():
            self._put(key, value)

    def _put(self, key: str, value: AnyValue) -> None:
        """Set a clean attribute; the oldest makes place for it."""
        own, most = self._attributes, self._limits.max_span_attributes
        while most is not None and key not in own and len(own) >= most:
            oldest = next(iter(list(own)), key)
            if self._end_time is not None:
                return
            if own.pop(oldest, own) is not own:
                self._dropped_attributes += 1
                ATTRIBUTES_LOG.warning(_FULL)
        if key in own and self._end_time is None:
            own.pop(key, None)
        if self._end_time is None:  # else another thread ended the span meanwhile
            own[key] = value


def _fits(attributes: Mapping[Any, Any], limits: SpanLimits, standing: int) -> bool:
    """Whether attributes can be taken over as they are."""
    most = limits.max_span_attributes
    return (
        limits.max_span_attribute_length is None
        and (most is None or standing + len(attributes) <= most)
        and _PLAIN.issuperset(map(type, attributes.values()))
        and _TEXT.issuperset(map(type, attributes))
        and "" not in attributes
    )


for _name in ("context", "end_time", "kind", "name", "parent", "resource", "start_time", "status"):
    setattr(
        LeanSpan, _name, property(attrgetter(f"_{_name}"))
    )  # read-only, as the SDK's, and without a Python call
setattr(LeanSpan, "instrumentation_scope", property(attrgetter("_tracer.scope")))  # noqa: B010 the SDK's is a property, too
LeanSpan.recorded = vars(LeanSpan)["_attributes"]
