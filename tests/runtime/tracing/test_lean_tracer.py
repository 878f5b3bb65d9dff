"""A tracer of slotel's own is the SDK's to the app: decorator, coroutine, generator, fork, threads, an SDK it does not know."""

import asyncio
import contextvars
import json
import os
import random
import sys
import threading

import opentelemetry.sdk.trace as sdk
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    ParentBasedTraceIdRatio,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, TraceState

from slotel.runtime.tracing.fast.span import LeanSpan
from slotel.runtime.tracing.provider import SDK_VERSION
from support.adopted import runtime_around

REMOTE = NonRecordingSpan(SpanContext(7, 11, True, TraceFlags(1)))


def adopted(**options):
    provider = TracerProvider(shutdown_on_exit=False, **options)
    return provider, runtime_around(provider)


def shipped(provider):
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter.get_finished_spans


def test_a_span_is_an_sdk_span_to_everyone_who_asks():
    provider, _ = adopted()
    tracer = provider.get_tracer("t")
    assert isinstance(tracer, sdk.Tracer)
    with tracer.start_as_current_span("a") as span:
        assert isinstance(span, (sdk.Span, sdk.ReadableSpan, trace.Span))
        assert isinstance(span, LeanSpan)
        span.whatever = "an instrumentation hangs its own things on a span"
        assert repr(span) == f'LeanSpan(name="a", context={span.get_span_context()})'
    assert not span.is_recording()


def test_a_tracer_that_stood_before_slotel_makes_lean_spans_too():
    provider = TracerProvider(shutdown_on_exit=False)
    before = provider.get_tracer("before")
    runtime_around(provider)
    assert isinstance(before.start_span("a"), LeanSpan)
    assert provider.get_tracer("before") is before


def test_the_spans_of_an_apps_own_tracer_are_counted_with_ours_around_and_below_them():
    class Own(sdk.Tracer):
        """An app's."""

    class OwnProvider(TracerProvider):
        def get_tracer(self, *args, **kwargs):
            tracer = super().get_tracer(*args, **kwargs)
            if args[0] == "own":
                tracer.__class__ = Own
            return tracer

    provider = OwnProvider(shutdown_on_exit=False)
    runtime, spans = runtime_around(provider), shipped(provider)
    own, ours = provider.get_tracer("own"), provider.get_tracer("ours")
    with (
        ours.start_as_current_span("a") as a,
        own.start_as_current_span("b") as b,
        ours.start_as_current_span("c") as c,
    ):
        assert {runtime.open_spans.of(span.get_span_context().span_id).span for span in (a, b, c)} == {a}
    assert [type(each) for each in (a, b, c)] == [LeanSpan, sdk._Span, LeanSpan]
    assert [span.name for span in spans()] == ["c", "b", "a"]
    assert len({span.context.trace_id for span in spans()}) == 1


def test_on_an_sdk_whose_spans_have_changed_its_own_are_measured_and_one_line_says_so(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("slotel.runtime.upstream.otel.spans.TESTED", frozenset())
    provider, runtime = adopted()
    with provider.get_tracer("t").start_as_current_span("a") as span:
        assert type(span) is sdk._Span
    (line,) = [record.getMessage() for record in caplog.records if "OpenTelemetry SDK" in record.getMessage()]
    assert line.startswith(f"slotel uses the OpenTelemetry SDK's spans ({SDK_VERSION}), which cost more")
    (family,) = [family for family in runtime.store.snapshot() if family.name == "traces_span_metrics_calls"]
    assert len(family.series) == 1


def test_another_version_of_the_sdk_with_the_same_code_changes_nothing(monkeypatch, caplog):
    monkeypatch.setattr("opentelemetry.sdk.version.__version__", "1.99.0")
    provider, _ = adopted()
    assert type(provider.get_tracer("t").start_span("a")) is LeanSpan
    assert not caplog.records


def test_as_a_decorator_each_call_of_a_function_is_a_span_and_a_coroutine_is_one_to_its_end():
    provider, _ = adopted()
    tracer, spans = provider.get_tracer("t"), shipped(provider)

    @tracer.start_as_current_span("f", attributes={"a": 1})
    def function(x):
        """What it does."""
        assert trace.get_current_span().name == "f"
        return x

    @tracer.start_as_current_span("g")
    async def coroutine(x):
        await asyncio.sleep(0.01)
        assert trace.get_current_span().name == "g"
        return x

    assert (function(1), function(2), function.__doc__) == (1, 2, "What it does.")

    async def both():
        return await asyncio.gather(coroutine(3), coroutine(4))

    assert asyncio.run(both()) == [3, 4]
    assert [span.name for span in spans()] == ["f", "f", "g", "g"]
    assert all(span.end_time - span.start_time > 5e6 for span in spans()[2:])
    assert {span.parent for span in spans()} == {None}


def test_a_span_starts_where_the_block_is_entered_and_leaves_the_context_as_it_was():
    provider, _ = adopted()
    tracer = provider.get_tracer("t")
    waiting = tracer.start_as_current_span("child")
    with tracer.start_as_current_span("parent") as parent:
        with waiting as child:
            assert child.parent == parent.context
        assert trace.get_current_span() is parent
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_generator_that_is_closed_in_another_context_ends_its_span_and_the_sdk_says_why(caplog):
    provider, _ = adopted()
    tracer, spans = provider.get_tracer("t"), shipped(provider)

    def rows():
        with tracer.start_as_current_span("rows"):
            yield 1

    generator = rows()
    contextvars.copy_context().run(next, generator)
    generator.close()
    (span,) = spans()
    assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())
    assert [record.getMessage() for record in caplog.records] == ["Failed to detach context"]


def test_a_disabled_tracer_makes_no_span():
    provider, _ = adopted(_tracer_configurator=sdk._disable_tracer_configurator)
    tracer = provider.get_tracer("t")
    context = trace.set_span_in_context(REMOTE)
    made = tracer.start_span("a", context)
    assert (type(made), made.get_span_context()) == (
        NonRecordingSpan,
        REMOTE.get_span_context(),
    )
    provider._set_tracer_configurator(tracer_configurator=sdk._default_tracer_configurator)
    with tracer.start_as_current_span("b") as parent:
        assert isinstance(parent, LeanSpan)
        provider._set_tracer_configurator(tracer_configurator=sdk._disable_tracer_configurator)
        assert type(tracer.start_span("c")) is NonRecordingSpan


def test_an_id_generator_of_the_app_is_asked():
    class Counting(IdGenerator):
        last = 0

        def generate_span_id(self):
            self.last += 1
            return self.last

        def generate_trace_id(self):
            return 77

    tracer = adopted(id_generator=Counting())[0].get_tracer("t")
    with tracer.start_as_current_span("a") as a, tracer.start_as_current_span("b") as b:
        assert [tuple(span.context)[:4] for span in (a, b)] == [(77, 1, False, 1), (77, 2, False, 1)]


def test_a_sampler_that_the_app_sets_on_a_tracer_decides():
    tracer = adopted()[0].get_tracer("t")
    tracer.sampler = ParentBased(ALWAYS_ON, local_parent_sampled=ALWAYS_OFF)
    with tracer.start_as_current_span("a") as a:
        assert isinstance(a, LeanSpan)
        assert type(tracer.start_span("b")) is NonRecordingSpan


PARENTS = {
    "none": None,
    "invalid": NonRecordingSpan(SpanContext(0, 0, True)),
    **{
        f"{'a caller' if remote else 'local'}, flags {flags}": NonRecordingSpan(
            SpanContext(7, 11, remote, TraceFlags(flags), TraceState([("vendor", "1")]))
        )
        for remote in (True, False)
        for flags in (0, 1, 2, 3, 4)
    },
}
SAMPLERS = {
    "default": None,
    "on": ParentBased(ALWAYS_ON),
    "off": ParentBased(ALWAYS_OFF),
    "half": ParentBasedTraceIdRatio(0.5),
    "all": ParentBasedTraceIdRatio(1.0),
    "none": ParentBasedTraceIdRatio(0.0),
    "not by parent": TraceIdRatioBased(0.5),
    "callers are not believed": ParentBased(ALWAYS_ON, remote_parent_sampled=ALWAYS_OFF),
    "root of the app's own": ParentBased(type("Own", (TraceIdRatioBased,), {})(0.5)),
}


@pytest.mark.parametrize("parent", PARENTS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_first_span_of_a_process_has_the_context_that_the_sdk_would_give_it(sampler, parent):
    def contexts(tracer):
        random.seed(1)
        around = None if PARENTS[parent] is None else trace.set_span_in_context(PARENTS[parent])
        for _ in range(20):
            span = tracer.start_span("a", around, attributes={"k": 1})
            above = getattr(span, "parent", None)
            yield tuple(span.get_span_context()), above and tuple(above)
            span.end()

    options = {"sampler": SAMPLERS[sampler], "shutdown_on_exit": False}
    expected = list(contexts(TracerProvider(**options).get_tracer("t")))
    ours = list(contexts(adopted(sampler=SAMPLERS[sampler])[0].get_tracer("t")))
    assert [context for context, _ in ours] == [context for context, _ in expected]
    sampled = [above for (context, _), (_, above) in zip(ours, expected, strict=True) if context[3] & 1]
    assert [above for context, above in ours if context[3] & 1] == sampled


def test_the_sdks_metrics_about_itself_are_kept(monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    reader = InMemoryMetricReader()
    provider, _ = adopted(meter_provider=MeterProvider([reader]))
    tracer = provider.get_tracer("t")

    def live():
        points = {}
        for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
            points[metric.name] = sum(getattr(point, "value", 0) for point in metric.data.data_points)
        return {name: value for name, value in points.items() if "sdk.span" in name}

    with tracer.start_as_current_span("a"), tracer.start_as_current_span("b"):
        assert live() == {"otel.sdk.span.started": 2, "otel.sdk.span.live": 2}
    assert live() == {"otel.sdk.span.started": 2, "otel.sdk.span.live": 0}


def test_a_processor_sees_a_span_start_ending_and_ended():
    seen = []

    class Watching(sdk.SpanProcessor):
        def on_start(self, span, parent_context=None):
            span.set_attribute("set", "at start")
            seen.append(("start", span.name))

        def _on_ending(self, span):
            seen.append(("ending", span.name, span.is_recording()))
            raise RuntimeError("reaches no app")

        def on_end(self, span):
            seen.append(("end", span.name, dict(span.attributes)))

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Watching())
    runtime_around(provider)
    provider.add_span_processor(Watching())
    provider.get_tracer("t").start_span("a").end()
    assert (
        seen == [("start", "a")] * 2 + [("ending", "a", False)] * 2 + [("end", "a", {"set": "at start"})] * 2
    )


def test_the_ended_span_that_is_exported_takes_no_more_writes():
    provider, _ = adopted()
    spans, span = shipped(provider), provider.get_tracer("t").start_span("a", attributes={"a": 1})
    span.end()
    (kept,) = spans()
    before = kept.to_json()
    span.set_attribute("b", 2)
    span.set_attributes({"c": 3})
    span.add_event("late")
    span.add_link(SpanContext(1, 2, True))
    span.set_status(StatusCode.ERROR)
    span.update_name("b")
    span.end(1)
    assert kept.to_json() == before
    with pytest.raises(TypeError):
        kept.attributes["b"] = 2


def test_threads_that_write_to_one_span_lose_nothing_and_keep_its_limits():
    provider, _ = adopted(span_limits=SpanLimits(max_span_attributes=50, max_events=50, max_links=50))
    spans, span = shipped(provider), provider.get_tracer("t").start_span("a")
    start, errors = threading.Barrier(8), []

    def write(worker):
        try:
            start.wait()
            for n in range(300):
                span.set_attribute(f"{worker} {n}", n)
                span.add_event("e")
                span.add_link(SpanContext(1, 2, True))
        except Exception as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    span.end()
    (kept,) = spans()
    assert errors == []
    assert [len(kept.attributes), len(kept.events), len(kept.links)] == [50, 50, 50]
    assert [kept.dropped_events, kept.dropped_links] == [2350, 2350]


def test_a_forked_childs_spans_carry_its_resource_and_its_own_ids():
    provider, _ = adopted(resource=Resource({"service.name": "shop", "service.instance.id": "parent"}))
    tracer = provider.get_tracer("t")
    tracer.start_span("before")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            span = tracer.start_span("child")
            os.write(
                writing, f"{span.resource.attributes['service.instance.id']} {span.context.span_id}".encode()
            )
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    instance, span_id = os.read(reading, 200).decode().split()
    os.close(reading)
    span = tracer.start_span("parent")
    assert (span.resource.attributes["service.instance.id"], instance != "parent") == ("parent", True)
    assert int(span_id) != span.context.span_id


def test_a_span_that_is_open_at_a_fork_is_counted_and_shipped_by_the_parent_alone():
    provider, runtime = adopted()
    tracer, spans = provider.get_tracer("t"), shipped(provider)
    reading, writing = os.pipe()
    with tracer.start_as_current_span("request"), tracer.start_as_current_span("step"):
        pid = os.fork()
        if pid == 0:
            with tracer.start_as_current_span("begun in the child"):
                pass
        else:
            os.waitpid(pid, 0)
    counted = {
        labels[1]: row[0]
        for family in runtime.store.snapshot()
        if family.name == "traces_span_metrics_calls"
        for labels, row in family.series.items()
    }
    if pid == 0:
        os.write(writing, json.dumps([counted, [span.name for span in spans()]]).encode())
        os._exit(0)
    os.close(writing)
    assert json.loads(os.read(reading, 10_000)) == [{"begun in the child": 1}, ["begun in the child"]]
    assert counted == {"request": 1, "step": 1}
    assert [span.name for span in spans()] == ["step", "request"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.10 switches threads between any two instructions")
def test_nothing_is_written_to_a_span_that_another_thread_has_ended():
    tracer, interval = adopted()[0].get_tracer("t"), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            span, start = tracer.start_span("a"), threading.Event()

            def write(span=span, start=start):
                start.set()
                for n in range(200):
                    span.set_attribute(f"{n % 50}", n)
                    span.set_attribute("list", [n])
                    span.set_attributes({f"m{n}": n, f"o{n}": n})

            writer = threading.Thread(target=write)
            writer.start()
            start.wait()
            span.end()
            at_end = list(span.attributes.items())
            writer.join()
            assert list(span.attributes.items()) == at_end
    finally:
        sys.setswitchinterval(interval)
