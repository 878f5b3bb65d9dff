"""The pipeline around a real SDK provider: guarded, measured, enforced."""

import asyncio
import threading

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, AlwaysRecordSampler, ParentBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.tracing import processor
from slotel.runtime.tracing.sink import Sink
from support.adopted import runtime_around


class Raising(SpanProcessor):
    def on_start(self, span, parent_context=None):
        raise RuntimeError("start")

    def on_end(self, span):
        raise RuntimeError("end")

    def shutdown(self):
        raise RuntimeError("shutdown")

    def force_flush(self, timeout_millis=30000):
        raise RuntimeError("flush")


def value(runtime, name, *labels):
    for family in runtime.store.snapshot():
        if family.name == name:
            return sum(row[0] for values, row in family.series.items() if set(labels) <= set(values))
    return None


def test_a_processor_that_raises_reaches_no_app_and_stops_no_other():
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(Raising())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runtime = runtime_around(provider)
    with provider.get_tracer("t").start_as_current_span("work"):
        pass
    assert provider.force_flush() is False
    provider.shutdown()
    assert [span.name for span in exporter.get_finished_spans()] == ["work"]
    assert value(runtime, "slotel_stage_errors", "export") == 4
    assert value(runtime, "traces_span_metrics_calls", "work") == 1


def test_a_stage_that_raises_is_counted_and_the_span_still_leaves(monkeypatch):
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runtime = runtime_around(provider)

    def fail(*_):
        raise RuntimeError("measuring failed")

    monkeypatch.setattr(runtime.pipeline._measure, "on_end", fail)
    provider.get_tracer("t").start_span("work").end()
    assert len(exporter.get_finished_spans()) == 1
    assert value(runtime, "slotel_stage_errors", "measure") == 1


def fail(*_):
    raise RuntimeError("broken on purpose")


def garbage(*_):
    return object()


@pytest.mark.parametrize("fault", [fail, garbage])
def test_a_request_whose_outcome_cannot_be_decided_is_counted_all_the_same(monkeypatch, fault):
    provider = TracerProvider()
    runtime = runtime_around(provider)
    monkeypatch.setattr(processor, "decide", fault)
    provider.get_tracer("t").start_span("work", kind=SpanKind.SERVER).end()
    assert value(runtime, "slotel_stage_errors", "decision") == 1
    assert value(runtime, "traces_span_metrics_calls", "work") == 1


@pytest.mark.parametrize("fault", [fail, garbage])
def test_a_fault_of_the_list_of_open_spans_reaches_no_app(monkeypatch, fault):
    provider = TracerProvider()
    runtime = runtime_around(provider)
    monkeypatch.setattr(runtime.pipeline._open_spans, "open", fault)
    provider.get_tracer("t").start_span("work", kind=SpanKind.SERVER).end()
    assert value(runtime, "slotel_stage_errors", "open_spans") == 1
    assert value(runtime, "traces_span_metrics_calls", "work") == 1


def test_a_span_that_is_sampled_out_is_measured_and_not_shipped():
    provider, exporter = TracerProvider(sampler=ALWAYS_OFF), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runtime = runtime_around(provider)
    provider.get_tracer("t").start_span("GET /", kind=SpanKind.SERVER).end()
    assert exporter.get_finished_spans() == ()
    assert value(runtime, "traces_span_metrics_calls", "GET /") == 1
    assert value(runtime, "slo_events", "good") == 1


class Open(SpanProcessor):
    """Keeps the names of open spans, as processors that measure or annotate do."""

    def __init__(self):
        self.open = {}
        self.ended = []

    def on_start(self, span, parent_context=None):
        self.open[span.context.span_id] = span.name

    def on_end(self, span):
        self.ended.append(self.open.pop(span.context.span_id))


@pytest.mark.parametrize(("sampler", "seen"), [(ALWAYS_OFF, []), (ALWAYS_ON, ["child", "root"])])
def test_a_processor_of_the_app_sees_start_and_end_of_what_is_sampled_and_neither_of_the_rest(sampler, seen):
    provider = TracerProvider(sampler=ParentBased(sampler))
    before, later = Open(), Open()
    provider.add_span_processor(before)
    runtime = runtime_around(provider)
    provider.add_span_processor(later)
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
        pass
    assert [(each.open, each.ended) for each in (before, later)] == [({}, seen), ({}, seen)]
    assert value(runtime, "slotel_stage_errors", "export") in (None, 0)


def test_a_required_tag_that_an_entry_lacks_or_has_wrong_is_counted_once_for_each_and_for_no_child():
    provider = TracerProvider(sampler=ALWAYS_OFF)
    tags = "{required: {team: {}, tier: {allowed: [free]}, tenant: {default: none}}, metric_labels: [team, tier]}"
    runtime = runtime_around(provider, yaml=f"tags: {tags}")
    tracer = provider.get_tracer("t")
    for _ in range(3):
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER, attributes={"tier": "gold"}):
            tracer.start_span("child", attributes={"tier": "wood"}).end()
    with tracer.start_as_current_span("GET /", attributes={"team": "a", "tier": "free", "tenant": "b"}):
        pass
    counted = {tag: value(runtime, "slotel_tag_violations", tag) for tag in ("team", "tier", "tenant")}
    assert counted == {"team": 3, "tier": 3, "tenant": 3}


def test_a_tracer_made_before_slotel_is_measured_too():
    provider = TracerProvider(sampler=ALWAYS_OFF)
    tracer = provider.get_tracer("early")
    runtime = runtime_around(provider)
    tracer.start_span("early work").end()
    assert value(runtime, "traces_span_metrics_calls", "early work") == 1


def test_a_processor_that_the_app_adds_later_gets_enforced_spans():
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    runtime_around(provider, yaml="tags: {required: {team: {default: payments}}}")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("t").start_span("work", attributes={"user.password": "hunter2"}).end()
    assert dict(exporter.get_finished_spans()[0].attributes) == {
        "user.password": "[Filtered]",
        "team": "payments",
    }


def test_an_attribute_that_is_a_list_is_no_fault():
    provider = TracerProvider()
    runtime = runtime_around(provider, yaml="slos: [{name: a, objective: 99%, include: {kinds: '*'}}]")
    provider.get_tracer("t").start_span("work", attributes={"http.route": ("a", "b"), "kinds": [1, 2]}).end()
    assert value(runtime, "slotel_stage_errors") == 0
    assert value(runtime, "traces_span_metrics_calls", "work") == 1


def test_an_explicit_outcome_on_the_span_beats_the_rules():
    provider = TracerProvider()
    runtime = runtime_around(provider)
    for outcome in ("bad", "excluded", "good", "splendid"):
        attributes = {"slo.outcome": outcome, "http.response.status_code": 200}
        provider.get_tracer("t").start_span("GET /", kind=SpanKind.SERVER, attributes=attributes).end()
    counted = [value(runtime, "slo_events", outcome) for outcome in ("good", "bad", "excluded")]
    assert counted == [2, 1, 1]


@pytest.mark.parametrize("convention", ["http.status_code", "http.response.status_code"])
def test_old_and_stable_conventions_count_alike(convention):
    provider = TracerProvider()
    runtime = runtime_around(provider)
    provider.get_tracer("t").start_span("GET /", kind=SpanKind.SERVER, attributes={convention: 503}).end()
    assert value(runtime, "slo_events", "bad") == 1
    assert value(runtime, "traces_span_metrics_calls", "503") == 1


def test_every_span_of_eight_threads_is_counted():
    provider = TracerProvider()
    runtime = runtime_around(provider)
    tracer = provider.get_tracer("t")

    def work():
        for _ in range(500):
            tracer.start_span("GET /", kind=SpanKind.SERVER).end()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(runtime, "traces_span_metrics_calls", "GET /") == 4000
    assert value(runtime, "slo_events", "good") == 4000
    assert len(runtime.open_spans) == 0


def test_the_spans_of_a_request_share_an_entry_and_the_next_request_has_its_own():
    provider = TracerProvider()
    runtime = runtime_around(provider)
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("request") as root:
        with tracer.start_as_current_span("child") as child:
            local_root = runtime.open_spans.of(child.context.span_id)
            assert local_root is runtime.open_spans.of(root.context.span_id)
            assert local_root.span is root
        assert not local_root.ended
    assert local_root.ended
    with tracer.start_as_current_span("request") as other:
        assert runtime.open_spans.of(other.context.span_id) is not local_root


def test_a_remote_parent_makes_a_new_entry_even_within_one_process():
    provider = TracerProvider()
    runtime = runtime_around(provider)
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("caller") as caller:
        remote = SpanContext(
            caller.context.trace_id, caller.context.span_id, is_remote=True, trace_flags=TraceFlags(1)
        )
        span = tracer.start_span("callee", context=set_span_in_context(NonRecordingSpan(remote)))
        assert runtime.open_spans.of(span.context.span_id).span is span
        span.end()


def test_tasks_of_one_loop_do_not_share_entries():
    provider = TracerProvider()
    runtime = runtime_around(provider)
    tracer = provider.get_tracer("t")

    async def request(number):
        with tracer.start_as_current_span(f"request {number}") as root:
            await asyncio.sleep(0)
            with tracer.start_as_current_span("child") as child:
                assert runtime.open_spans.of(child.context.span_id).span is root

    async def requests():
        await asyncio.gather(*(request(number) for number in range(20)))

    asyncio.run(requests())


def test_spans_that_nobody_ends_do_not_fill_the_memory():
    provider = TracerProvider()
    forgotten: list[int] = []
    open_spans = OpenSpans(max_open=100, forgotten=forgotten.append)
    for number in range(1000):
        open_spans.open(provider.get_tracer("t").start_span(str(number)))
    assert len(open_spans) == 100
    assert sum(forgotten) == 900


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, AlwaysRecordSampler(ALWAYS_OFF), ParentBased(ALWAYS_OFF)])
def test_a_sampled_out_span_is_counted_with_the_attributes_it_started_with(sampler):
    """The route decides what is excluded and a tag is a label: neither may hang on the sampling rate."""
    yaml = "version: 1\nslos: [{name: a, objective: 99%, exclude: {http.route: [/healthz]}}]\ntags: {metric_labels: [team]}"
    provider = TracerProvider(sampler=sampler)
    runtime = runtime_around(provider, yaml=yaml)
    given = {"http.route": "/healthz", "team": "ops"}
    provider.get_tracer("t").start_span("GET", kind=SpanKind.SERVER, attributes=given).end()
    assert value(runtime, "traces_span_metrics_calls", "/healthz", "ops") == 1
    assert value(runtime, "slo_events", "excluded") == 1


def test_names_of_a_megabyte_are_counted_and_not_kept():
    provider = TracerProvider()
    runtime = runtime_around(provider)
    for number in range(20):
        provider.get_tracer("t").start_span(f"{number}" + "x" * 1_000_000, kind=SpanKind.SERVER).end()
    assert value(runtime, "slo_events", "good") == 20
    assert sum(len(str(key)) for key in runtime.pipeline._measure._known) < 1_000_000


def test_a_sink_without_quiet_children_sees_roots_failures_and_what_comes_late():
    class Watching(Sink):
        no_quiet_children = True

        def __init__(self):
            self.seen = []

        def on_end(self, span, local_root):
            self.seen.append(span.name)

    provider = TracerProvider(shutdown_on_exit=False)
    runtime, sink = runtime_around(provider), Watching()
    runtime.pipeline.add_sink(sink)
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("root"):
        tracer.start_span("quiet").end()
        late = tracer.start_span("late")
        failed = tracer.start_span("failed")
        failed.set_status(StatusCode.ERROR)
        failed.end()
    late.end()
    assert sink.seen == ["failed", "root", "late"]
