"""A tracer that makes slotel's own spans: what the SDK's tracer does, in few calls. Decides nothing itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import SpanLimits, Tracer
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    get_current_span,
)
from opentelemetry.util.types import Attributes

from slotel.runtime.tracing.fast.current_span import start_as_current_span
from slotel.runtime.tracing.fast.span import LeanSpan
from slotel.runtime.tracing.sampler import LOW_BITS, RecordEverySpan
from slotel.runtime.upstream.otel.pickling import Pickled, tracer_by
from slotel.runtime.upstream.otel.spans import SPAN_KEY, is_enabled

_new: Final = object.__new__
_tuple: Final = tuple.__new__
_random: Final = random.getrandbits
_FLAGS: Final = tuple(map(TraceFlags, range(4)))
_RANDOM_TRACE_ID: Final = TraceFlags.RANDOM_TRACE_ID
_NO_STATE: Final = SpanContext(1, 1, is_remote=False).trace_state


class LeanTracer(Tracer):
    """The SDK's tracer, but for the spans that it makes. A tracer of the SDK becomes one (upstream/otel/spans.py).

    Attributes:
        scope: the instrumentation scope.
        sdk_metrics: counts spans, if the SDK's metrics about itself are on.
    """

    span_limits: SpanLimits
    scope: Any
    sdk_metrics: Any
    has_sdk_metrics: bool
    is_enabled = is_enabled

    def __reduce__(self) -> Pickled:
        """Be the tracer of this scope in the process that reads the pickle."""
        return tracer_by(self.scope)

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """Start a span, as `opentelemetry.trace.Tracer` says."""
        above: Any = (get_current() if context is None else context).get(SPAN_KEY)
        sampler = self.sampler
        own = record_end = parent = None
        if (
            sampler.__class__ is RecordEverySpan
            and self.id_generator.__class__ is RandomIdGenerator
            and not self.has_sdk_metrics
            and self.is_enabled
        ):  # mostly there is nothing to ask: a span does as its parent did, and a root's trace id decides
            if above is None:
                if (bound := sampler.root_bound) is not None:
                    trace_id = _random(128) or 1
                    flags = _FLAGS[_RANDOM_TRACE_ID | ((trace_id & LOW_BITS) < bound)]
                    own = _tuple(SpanContext, (trace_id, _random(64) or 1, False, flags, _NO_STATE, True))
            elif above.__class__ is not LeanSpan:
                parent, own = _entering(sampler, above)
            elif sampler.children_follow:
                parent = above.context
                own = _tuple(SpanContext, (parent[0], _random(64) or 1, False, parent[3], parent[4], True))
        if own is None:
            parent = get_current_span(context).get_span_context()
            made = self._ask(parent, context, name, kind, attributes, links or ())
            if isinstance(made, NonRecordingSpan):
                return made
            own, attributes, record_end = made
            if parent is not None and not parent.is_valid:
                parent = None
        span: LeanSpan = _new(LeanSpan)
        span.begin(self, name, own, parent, kind, attributes, start_time)
        if links or record_end is not None or not (record_exception and set_status_on_exception):
            span.begin_with(links or (), record_exception, set_status_on_exception, record_end)
        self.span_processor.on_start(span, context)
        return span

    start_as_current_span = start_as_current_span  # type: ignore[assignment]  # as the SDK's, but no generator

    def _ask(
        self,
        parent: SpanContext | None,
        context: Context | None,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link],
    ) -> NonRecordingSpan | tuple[SpanContext, Attributes, Callable[[], None] | None]:
        """Ask id generator, sampler and the SDK's own metrics; return what the span is to be, or one that records not.

        Raises:
            TypeError: the parent's context is none.
        """
        if parent is not None and not isinstance(parent, SpanContext):
            raise TypeError("parent_span_context must be a SpanContext or None.")
        if not self.is_enabled:
            return NonRecordingSpan(parent)  # type: ignore[arg-type]  # as the SDK does
        ids = self.id_generator
        if parent is None or not parent.is_valid:
            parent, trace_id, is_random = None, ids.generate_trace_id(), ids.is_trace_id_random()
        else:
            trace_id, is_random = parent.trace_id, parent.trace_flags.random_trace_id
        result = self.sampler.should_sample(context, trace_id, name, kind, attributes, links)
        flags = TraceFlags.SAMPLED if result.decision.is_sampled() else TraceFlags.DEFAULT
        if is_random:
            flags |= TraceFlags.RANDOM_TRACE_ID
        own = SpanContext(
            trace_id,
            ids.generate_span_id(),
            is_remote=False,
            trace_flags=TraceFlags(flags),
            trace_state=result.trace_state,
        )
        record_end = self.sdk_metrics.start_span(parent, result.decision)
        if not result.decision.is_recording():
            return NonRecordingSpan(own)
        return own, result.attributes, record_end if self.has_sdk_metrics else None


def _entering(sampler: RecordEverySpan, above: Any) -> tuple[SpanContext | None, SpanContext | None]:
    """Return the context of a caller and that of the span below it, as id generator and sampler would make it.

    Its own context is None where the sampler must be asked.
    """
    if above.__class__ is NonRecordingSpan and sampler.callers_follow:
        parent = above.get_span_context()
        trace_id, _, is_remote, flags, state, is_valid = parent
        if is_remote and is_valid:
            return parent, _tuple(
                SpanContext, (trace_id, _random(64) or 1, False, _FLAGS[flags & 3], state, True)
            )
    return None, None
