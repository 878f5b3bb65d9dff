"""The span processor: measures every span, then passes it to the sinks. No exception reaches the app."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from slotel.runtime.metrics.self_metrics import SelfMetrics
from slotel.runtime.metrics.span_metrics import SpanMetrics
from slotel.runtime.process.interrupts import comes_from_handler
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.requests.decision import REQUEST_KINDS, Decision, decide
from slotel.runtime.requests.local_roots import LocalRoot, OpenSpans
from slotel.runtime.requests.outcomes import OutcomeRow
from slotel.runtime.requests.served import SERVED
from slotel.runtime.requests.span_name import better_name
from slotel.runtime.tracing.sink import Sink
from slotel.runtime.upstream.otel.context import flags_of, span_id_of
from slotel.runtime.upstream.otel.exports import watch
from slotel.runtime.upstream.otel.reading import UNSET, exact

_T = TypeVar("_T")


class SlotelSpanProcessor(SpanProcessor):
    """Runs the stages; a fault in one is counted under its name."""

    def __init__(
        self,
        open_spans: OpenSpans,
        span_metrics: SpanMetrics,
        self_metrics: SelfMetrics,
    ) -> None:
        self._open_spans = open_spans
        self._measure = span_metrics
        self._self_metrics = self_metrics
        self._add = threading.RLock()
        self._take(())

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Return the sinks that export spans."""
        return self._sinks

    def add_sink(self, sink: Sink) -> None:
        """Add a sink."""
        with self._add:
            self._take((*self._sinks, sink))

    def _take(self, sinks: tuple[Sink, ...]) -> None:
        """Group the sinks by the calls that they need: a call that does nothing still has a cost."""
        self._sinks = sinks
        self._see_local_roots = tuple(sink for sink in sinks if sink.starts != "none")
        self._see_children = tuple(sink for sink in sinks if sink.starts == "all")
        unsampled = tuple(sink for sink in sinks if not sink.sampled_only)
        self._see_ends = (unsampled, _beside_quiet(unsampled)), (sinks, _beside_quiet(sinks))

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Register the span as open, and pass it to the sinks."""
        try:
            local_root = self._open_spans.open(span)
            sinks = self._see_local_roots if local_root.span is span else self._see_children
            if span.kind is SpanKind.SERVER:
                if local_root.span is span and (served := SERVED.get()) is not None:
                    taken = served.take(local_root)
                    if taken is not local_root:
                        self._open_spans.close(local_root.root_id)
                        local_root = taken
                if (name := better_name(span)) is not None:
                    span.update_name(name)
            elif span.kind is SpanKind.INTERNAL and (inside := local_root.served) and inside.awaits_framework:
                inside.look_at(span)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            _raise(self._fault("open_spans", error))
            return
        interrupt: Exception | None = None
        for sink in sinks:
            try:
                sink.on_start(span, local_root, parent_context)
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                interrupt = self._fault(_name(sink), error) or interrupt
        if interrupt is not None:
            _raise(interrupt)

    def on_end(self, span: ReadableSpan) -> None:
        """Decide the outcome, measure the span, and pass it to each sink; a fault in one does not stop the others."""
        local_root: LocalRoot | None = None
        interrupt: Exception | None = None
        sinks = self._sinks
        try:
            context = span.context
            open_spans = self._open_spans
            if context is not None:
                span_id = span_id_of(context)
                local_root = open_spans.close(span_id)
                quiet = span.status is UNSET and local_root is not None and not local_root.ended
                sinks = self._see_ends[flags_of(context) & 1][quiet]
            if open_spans.inherited and context is not None and span_id in open_spans.inherited:
                # open at a fork: the parent counts and exports it; this copy is dropped
                sinks = (
                    self._see_ends[False][False]
                    if local_root is not None and local_root.root_id == span_id
                    else ()
                )
            else:
                decision, row = None, None
                if local_root is None or local_root.root_id == span_id or span.kind in REQUEST_KINDS:
                    try:
                        decision = decide(span, local_root)
                        row = decision.row
                    except Exception as error:  # noqa: BLE001 it is counted all the same
                        decision, row = self._decided_again(error, span, local_root)
                    if local_root is not None and local_root.root_id == span_id:
                        local_root.decision = decision
                        if local_root.served is not None and local_root.served.hold(span):
                            return  # measured when the server has the whole answer
                elif (inside := local_root.served) is not None and inside.framework_context is context:
                    inside.name_own()
                try:
                    self._measure.on_end(span, context, local_root, row)
                except Exception as error:  # noqa: BLE001 an attribute's value may have failed it
                    _again(self._measure.on_end, error, span, context, local_root, row)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            interrupt = self._fault("measure", error) or interrupt
        self._hand_on(span, local_root, sinks, interrupt)

    def _decided_again(
        self, error: Exception, span: ReadableSpan, local_root: LocalRoot | None
    ) -> tuple[Decision, OutcomeRow] | tuple[None, None]:
        """Return the decision about a span whose values are plain; for others count the fault."""
        try:
            decision = _again(decide, error, span, local_root)
            return decision, decision.row  # noqa: TRY300 what has no row is a fault
        except Exception as fault:
            if comes_from_handler(fault):
                raise
            self._fault("decision", fault)
            return None, None

    def finish(self, span: ReadableSpan, local_root: LocalRoot) -> None:
        """Measure a local root whose end was delayed, and pass it to the sinks."""
        context, decision = span.context, local_root.decision
        interrupt: Exception | None = None
        try:
            row = decision.row if decision is not None else None
            try:
                self._measure.on_end(span, context, local_root, row)
            except Exception as error:  # noqa: BLE001 an attribute's value may have failed it
                _again(self._measure.on_end, error, span, context, local_root, row)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            interrupt = self._fault("measure", error)
        sampled = context is not None and flags_of(context) & 1
        self._hand_on(span, local_root, self._see_ends[sampled][False], interrupt)

    def escaped(self, error: BaseException, mechanism: str) -> None:
        """Pass an exception that left the application, and is on no span, to the sinks that send exceptions."""
        for sink in self._sinks:
            try:
                sink.escaped(error, mechanism)
            except Exception as fault:  # noqa: BLE001 nothing may reach the app
                _raise(self._fault(_name(sink), fault))

    def _hand_on(
        self,
        span: ReadableSpan,
        local_root: LocalRoot | None,
        sinks: tuple[Sink, ...],
        interrupt: Exception | None,
    ) -> None:
        for sink in sinks:
            try:
                sink.on_end(span, local_root)
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                interrupt = self._fault(_name(sink), error) or interrupt
        if interrupt is not None:
            _raise(interrupt)

    def guard(self, stage: str, call: Callable[[Span], None], span: Span) -> None:
        """Call a function; count a fault under a stage's name."""
        try:
            call(span)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            _raise(self._fault(stage, error))

    def _fault(self, stage: str, error: Exception) -> Exception | None:
        """Count a fault under a stage's name; return it if it is the app's own, raised by a signal handler."""
        if comes_from_handler(error):
            return error
        self._self_metrics.stage_error(stage, error)
        return None

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush every sink; return whether all could."""
        flushed = True
        for sink in self._sinks:
            try:
                flushed = sink.flush(timeout_millis / 1000) and flushed
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                self._self_metrics.stage_error(_name(sink), error)
                flushed = False
        return flushed

    def shutdown(self) -> None:
        """Stop every sink."""
        for sink in self._sinks:
            try:
                sink.shutdown()
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                self._self_metrics.stage_error(_name(sink), error)


_DOING_NOTHING: Final = (SpanProcessor.on_start, BatchSpanProcessor.on_start, SimpleSpanProcessor.on_start)


class ProcessorSink(Sink):
    """A processor of the SDK, such as a batch exporter, as a sink: receives redacted copies of sampled spans."""

    sampled_only = True

    def __init__(self, processor: SpanProcessor, enforcer: Enforcer) -> None:
        self.processor = processor
        self.starts = "none" if getattr(type(processor), "on_start", None) in _DOING_NOTHING else "all"
        self._enforcer = enforcer
        watch(getattr(processor, "span_exporter", None), "traces")

    def on_start(self, span: Span, local_root: LocalRoot, parent_context: Context | None) -> None:
        """Pass on the start of a sampled span; of others the processor never sees the end."""
        del local_root
        if flags_of(span.context) & 1:
            self.processor.on_start(span, parent_context=parent_context)  # by name, as the SDK calls it

    def on_end(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        """Pass on a redacted copy of the span, if it is sampled."""
        if span.context is not None and span.context.trace_flags.sampled:
            self.processor.on_end(
                self._enforcer.span(span, local_root.tags if local_root is not None else {})
            )

    def flush(self, timeout: float) -> bool:
        """Flush the processor."""
        return self.processor.force_flush(int(timeout * 1000))

    def shutdown(self) -> None:
        """Stop the processor."""
        self.processor.shutdown()


def _beside_quiet(sinks: tuple[Sink, ...]) -> tuple[Sink, ...]:
    return tuple(sink for sink in sinks if not sink.no_quiet_children)


def _again(stage: Callable[..., _T], error: Exception, span: ReadableSpan, *rest: Any) -> _T:
    """Call a stage that has failed once more, with plain values: methods of an attribute's value may have failed it."""
    plain = None if comes_from_handler(error) else exact(span)
    if plain is None:
        raise error
    return stage(plain, *rest)


def _raise(interrupt: Exception | None) -> None:
    """Raise the exception of the app's signal handler, after every sink has the span."""
    if interrupt is not None:
        raise interrupt


def _name(sink: Sink) -> str:
    return "export" if isinstance(sink, ProcessorSink) else type(sink).__name__.lower()
