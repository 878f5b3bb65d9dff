"""Faults of OpenTelemetry's instrumentations of Kafka's clients, seen in 0.66b1.

aiokafka's and confluent-kafka's make CONSUMER spans of a poll around, or before, the one of each message. What is
FastStream's is counted by its handler. confluent-kafka's ends the context of a message where the next one is polled,
which is another one for `asyncio.to_thread(consumer.poll)`: OpenTelemetry logs a traceback for each message.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any, Final

from opentelemetry import trace

from slotel.runtime.upstream.probe import Probe

CLIENTS: Final = ("aiokafka", "confluent_kafka")
"""Entry points of the instrumentations that are given `MessagesOnly`."""
_END: Final = Probe(
    "opentelemetry.instrumentation.confluent_kafka", "_end_current_consume_span",
    why="detaches the context of the last message, which may have been attached in another thread",
    without="OpenTelemetry logs a traceback for each message that is polled in a thread of asyncio",
)  # fmt: skip

_SPAN: Final = Probe(
    "opentelemetry.instrumentation.confluent_kafka:AutoInstrumentedConsumer", "_current_consume_span",
    why="the span of the last message", without=_END.without, level=None,  # of an instance
)  # fmt: skip
_TOKEN: Final = Probe(
    "opentelemetry.instrumentation.confluent_kafka:AutoInstrumentedConsumer", "_current_context_token",
    why="of its context", without=_END.without, level=None,  # of an instance
)  # fmt: skip


class MessagesOnly(trace.TracerProvider):
    """The global tracer provider, for a client whose polls are no messages."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        """Return a tracer of the global provider that makes no spans of polls."""
        return _MessageTracer(trace.get_tracer_provider().get_tracer(*args, **kwargs))


class _MessageTracer(trace.Tracer):
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> trace.Span:
        if kwargs.get("kind") is trace.SpanKind.CONSUMER and _is_faststreams():
            return trace.INVALID_SPAN
        return self._tracer.start_span(name, *args, **kwargs)

    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Start a span, but not of a poll: only a message's has the context that it brings."""
        if kwargs.get("kind") is trace.SpanKind.CONSUMER and ("context" not in kwargs or _is_faststreams()):
            return nullcontext(trace.INVALID_SPAN)
        return self._tracer.start_as_current_span(name, *args, **kwargs)


def _is_faststreams() -> bool:
    frame: Any = sys._getframe(2)  # noqa: SLF001 the callers
    while frame is not None and not str(frame.f_globals.get("__name__")).startswith("faststream."):
        frame = frame.f_back
    return frame is not None


def detach_where_attached() -> None:
    """Have confluent-kafka's instrumentation leave a context alone that is not this thread's or task's."""

    def wrap(original: Any) -> Any:
        def end(consumer: Any) -> Any:
            if trace.get_current_span() is not _SPAN.of(consumer):
                _TOKEN.put(consumer, None)
            return original(consumer)

        return end

    _END.wrap_imported(wrap)
