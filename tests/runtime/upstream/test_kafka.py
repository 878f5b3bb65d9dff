"""Spans of the instrumentations of Kafka's clients, by doubles that make them as theirs do: one for each message."""

import asyncio
import contextvars
import sys
from types import ModuleType, SimpleNamespace

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from slotel.runtime.setup.instrumentations import instrumentor_options
from slotel.runtime.upstream.otel.instrumentations.instrumentors import patch_instrumentation

KIND = {"kind": SpanKind.CONSUMER}


@pytest.fixture
def spans(monkeypatch):
    """Names of the spans that ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return lambda: [span.name for span in exporter.get_finished_spans()]


def tracer_of(name):
    """The tracer that an instrumentation makes of the options that it is given."""
    options = instrumentor_options(SimpleNamespace(name=name))
    return trace.get_tracer("its own", tracer_provider=options.get("tracer_provider"))


async def getmany(tracer):
    """As aiokafka's instrumentation, of two messages."""
    with tracer.start_as_current_span("poll", **KIND) as poll:
        with tracer.start_as_current_span("topic", **KIND) as topic:
            for number in range(2):
                with tracer.start_as_current_span(f"{number}", context=context.Context(), **KIND) as span:
                    topic.add_link(span.get_span_context())
        poll.set_attribute("messaging.batch.message_count", 2)


def _end_current_consume_span(consumer):
    if consumer._current_context_token:
        context.detach(consumer._current_context_token)
    consumer._current_context_token = None
    consumer._current_consume_span.end()
    consumer._current_consume_span = None


def poll(tracer, consumer, number):
    """As confluent-kafka's instrumentation."""
    if consumer._current_consume_span:
        sys.modules["opentelemetry.instrumentation.confluent_kafka"]._end_current_consume_span(consumer)
    with tracer.start_as_current_span("recv", **KIND):
        consumer._current_consume_span = tracer.start_span(name=f"{number}", **KIND)
    consumer._current_context_token = context.attach(
        trace.set_span_in_context(consumer._current_consume_span)
    )


@pytest.fixture
def consumer(monkeypatch):
    module = ModuleType("opentelemetry.instrumentation.confluent_kafka")
    module._end_current_consume_span = _end_current_consume_span
    monkeypatch.setitem(sys.modules, module.__name__, module)
    patch_instrumentation("confluent_kafka")
    return SimpleNamespace(_current_consume_span=None, _current_context_token=None)


def test_a_batch_of_aiokafka_is_one_span_for_each_message(spans):
    asyncio.run(getmany(tracer_of("aiokafka")))
    assert spans() == ["0", "1"]


def test_a_message_of_confluent_kafka_is_one_span_that_lasts_until_the_next(spans, consumer, caplog):
    tracer = tracer_of("confluent_kafka")

    def messages():
        for number in range(3):
            poll(tracer, consumer, number)
            assert trace.get_current_span().name == f"{number}"

    contextvars.copy_context().run(messages)
    assert spans() == ["0", "1"]
    assert caplog.records == []


def test_messages_that_are_polled_in_threads_of_asyncio_log_nothing(spans, consumer, caplog):
    tracer = tracer_of("confluent_kafka")

    async def messages():
        for number in range(3):
            await asyncio.to_thread(poll, tracer, consumer, number)

    asyncio.run(messages())
    assert spans() == ["0", "1"]
    assert caplog.records == []


def test_a_message_that_faststream_polls_is_counted_by_its_handler(spans, consumer):
    get_msg = {"__name__": "faststream.kafka.subscriber.usecase"}
    exec("async def get_msg(getmany, tracer): await getmany(tracer)", get_msg)
    asyncio.run(get_msg["get_msg"](getmany, tracer_of("aiokafka")))
    exec("def get_msg(poll, *given): poll(*given)", get_msg)
    for number in range(2):
        get_msg["get_msg"](poll, tracer_of("confluent_kafka"), consumer, number)
    assert spans() == []


def test_a_message_that_is_sent_has_its_span(spans):
    with tracer_of("aiokafka").start_as_current_span("send", kind=SpanKind.PRODUCER):
        pass
    assert spans() == ["send"]
