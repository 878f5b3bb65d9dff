"""The one span processor that slotel registers: every span is measured, then handed to the sinks. Each call is guarded.

The SDK lets an exception of a processor escape into the app; nothing escapes from here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from slotel.runtime.accounts import Accounts
from slotel.runtime.enforce import Enforcer
from slotel.runtime.entries import Entries, Entry
from slotel.runtime.measure import Measure
from slotel.runtime.stage import Sink


class Pipeline(SpanProcessor):
    """Runs the stages, and counts the faults of each under its name."""

    def __init__(self, entries: Entries, measure: Measure, sinks: Sequence[Sink], accounts: Accounts) -> None:
        self._entries = entries
        self._measure = measure
        self._sinks = tuple(sinks)
        self._accounts = accounts
        self._add = threading.Lock()

    def add_sink(self, sink: Sink) -> None:
        """Feed one more sink."""
        with self._add:
            self._sinks += (sink,)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note the span as open and show it to the sinks."""
        try:
            entry = self._entries.open(span)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            self._accounts.stage_error("entries", error)
            return
        for sink in self._sinks:
            try:
                sink.on_start(span, entry, parent_context)
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                self._accounts.stage_error(_name(sink), error)

    def on_end(self, span: ReadableSpan) -> None:
        """Measure the span, then hand it to each sink; one that fails takes nothing from the others."""
        entry: Entry | None = None
        try:
            context = span.context
            if context is not None:
                entry = self._entries.close(context.span_id)
            self._measure.on_end(span, context, entry)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            self._accounts.stage_error("measure", error)
        for sink in self._sinks:
            try:
                sink.on_end(span, entry)
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                self._accounts.stage_error(_name(sink), error)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush every sink; return whether all could."""
        flushed = True
        for sink in self._sinks:
            try:
                flushed = sink.flush(timeout_millis / 1000) and flushed
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                self._accounts.stage_error(_name(sink), error)
                flushed = False
        return flushed

    def shutdown(self) -> None:
        """Stop every sink."""
        for sink in self._sinks:
            try:
                sink.shutdown()
            except Exception as error:  # noqa: BLE001 nothing may reach the app
                self._accounts.stage_error(_name(sink), error)


class ProcessorSink:
    """A processor of the SDK (a batch exporter) as a sink: gets enforced copies of sampled spans."""

    def __init__(self, processor: SpanProcessor, enforcer: Enforcer) -> None:
        self.processor = processor
        self._enforcer = enforcer

    def on_start(self, span: Span, entry: Entry, parent_context: Context | None) -> None:
        """Pass the start on."""
        del entry
        self.processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan, entry: Entry | None) -> None:
        """Pass the span on as it may leave; what is not sampled stays."""
        if span.context is not None and span.context.trace_flags.sampled:
            self.processor.on_end(self._enforcer.span(span, entry.tags if entry is not None else {}))

    def flush(self, timeout: float) -> bool:
        """Flush the processor."""
        return self.processor.force_flush(int(timeout * 1000))

    def shutdown(self) -> None:
        """Stop the processor."""
        self.processor.shutdown()


def _name(sink: Sink) -> str:
    return "export" if isinstance(sink, ProcessorSink) else type(sink).__name__.lower()
