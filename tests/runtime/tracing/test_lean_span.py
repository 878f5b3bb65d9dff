"""Whatever is done to a span of slotel's own, what is exported is what the SDK's span would have exported."""

import asyncio
import contextvars
import json
import logging
import random
import re
import sys
import types
from contextlib import contextmanager

import opentelemetry.sdk.trace as sdk
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from slotel.runtime.tracing.fast import span as lean_span
from slotel.runtime.tracing.fast.current_span import use_span as quick
from slotel.runtime.tracing.provider import record_every_span
from support.adopted import runtime_around

STATE = TraceState([("vendor", "1")])


class Marking(Sampler):
    """Samples every second trace, and adds to what it decides on."""

    def should_sample(
        self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None
    ):
        decision = Decision.RECORD_AND_SAMPLE if trace_id % 2 else Decision.DROP
        return SamplingResult(decision, {**(attributes or {}), "sampler": "marking"}, STATE)

    def get_description(self):
        return "Marking"


class Text(str):
    __slots__ = ()


class Shown:
    def __str__(self):
        return "shown"


class Hidden:
    """Has no text of its own."""


class FailsAsText:
    def __str__(self):
        raise ValueError("no text")


def remote(flags, *, is_remote=True, state=None):
    return NonRecordingSpan(SpanContext(7 << 64 | 9, 11, is_remote, TraceFlags(flags), state))


PARENTS = {
    "none": None,
    "remote": remote(0),
    "remote sampled": remote(1),
    "remote random": remote(3, state=STATE),
    "remote odd flags": remote(0xFF),
    "local, of another tracer": remote(0xFF, is_remote=False),
    "invalid": NonRecordingSpan(SpanContext(0, 0, True)),
    "no span": "nothing that is a span",
}
SAMPLERS = {
    "on": ALWAYS_ON, "off": ALWAYS_OFF, "parent on": ParentBased(ALWAYS_ON), "parent off": ParentBased(ALWAYS_OFF),
    "marking": Marking(), "parent marking": ParentBased(Marking()),
}  # fmt: skip
LIMITS = {
    "default": SpanLimits(),
    "tight": SpanLimits(max_span_attributes=2, max_events=1, max_links=1, max_event_attributes=1, max_link_attributes=1),
    "none": SpanLimits(max_attributes=0, max_events=0, max_links=0),
    "short": SpanLimits(max_attribute_length=3, max_span_attribute_length=2),
    "unlimited": SpanLimits(max_attributes=SpanLimits.UNSET, max_events=SpanLimits.UNSET, max_links=SpanLimits.UNSET),
}  # fmt: skip

PLAIN = st.one_of(st.text(max_size=5), st.integers(-9, 9), st.booleans(), st.floats(allow_nan=False))
ODD = st.sampled_from(
    [None, b"bytes", Text("subclass"), Shown(), Hidden(), (1, "a"), [True, [2]], {"a": {"": 1, 3: [4]}}]
)
VALUES = st.one_of(PLAIN, ODD, st.builds(FailsAsText))
KEYS = st.one_of(st.sampled_from("abcde"), st.sampled_from(["", 0, 5, None, Text("f"), ("t",)]))
ATTRIBUTES = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from("abcde"), PLAIN, max_size=4),
    st.dictionaries(KEYS, VALUES, max_size=4),
    st.dictionaries(st.sampled_from("abc"), PLAIN, max_size=3).map(types.MappingProxyType),
    st.dictionaries(st.sampled_from(["", "a", "b"]), PLAIN, max_size=3),
)
TIMES = st.one_of(st.none(), st.sampled_from([1, 10**9, 2 * 10**18]))
CONTEXTS = st.sampled_from(
    [
        SpanContext(3, 4, True, TraceFlags(1), STATE),
        SpanContext(0, 0, True),
        SpanContext(0, 0, True, None, STATE),
    ]
)
LINKS = st.lists(st.tuples(CONTEXTS, ATTRIBUTES), max_size=3)
STATUS = st.one_of(
    st.tuples(st.sampled_from(StatusCode), st.sampled_from([None, "why"])),
    st.tuples(
        st.builds(Status, st.just(StatusCode.ERROR), st.sampled_from([None, "what"])),
        st.sampled_from([None, "why"]),
    ),
    st.tuples(st.builds(Status, st.just(StatusCode.OK)), st.none()),
    st.tuples(st.just("no status"), st.none()),
)
FLAGS = st.tuples(st.booleans(), st.booleans(), st.booleans())
STARTED = st.tuples(
    st.sampled_from(["a", "GET /"]), st.sampled_from(SpanKind), ATTRIBUTES, LINKS, TIMES, FLAGS
)
ERRORS = st.sampled_from(
    [None, ValueError("wrong"), StopIteration("over"), GeneratorExit(), KeyboardInterrupt()]
)
STEPS = st.one_of(
    st.tuples(st.just("set_attribute"), KEYS, VALUES),
    st.tuples(st.just("set_attributes"), ATTRIBUTES.filter(lambda given: given is not None)),
    st.tuples(st.just("add_event"), st.text(max_size=3), ATTRIBUTES, TIMES),
    st.tuples(st.just("add_link"), CONTEXTS, ATTRIBUTES),
    st.tuples(st.just("record_exception"), st.builds(ValueError, st.text(max_size=3)), ATTRIBUTES, TIMES),
    st.tuples(st.just("update_name"), st.text(max_size=3)),
    st.tuples(st.just("set_status"), STATUS),
    st.tuples(st.just("start")),
    st.tuples(st.just("end"), TIMES),
)
TREES = st.recursive(
    st.lists(STEPS, max_size=8).map(lambda steps: steps),
    lambda below: st.lists(st.one_of(STEPS, st.tuples(st.just("current"), STARTED, ERRORS, below),
                                     st.tuples(st.just("itself"), STARTED, ERRORS, below)), max_size=6),
    max_leaves=4,
)  # fmt: skip
BARE = ("a", SpanKind.INTERNAL, None, [], None, (True, True, True))
PROGRAMS = st.tuples(STARTED, TREES)


class Capture:
    """Sees what starts and what ends: as a processor of the SDK, or as a sink of the pipeline."""

    starts, sampled_only, no_quiet_children = "all", False, False

    def __init__(self):
        self.started, self.ended = [], []

    def on_start(self, span, *more, parent_context=None):
        del more, parent_context
        self.started.append(
            (span.name, str(span.attributes), span.kind, span.is_recording(), repr(span.get_span_context()))
        )

    def on_end(self, span, *local_root):
        del local_root
        self.ended.append(span)

    def _on_ending(self, span):
        pass


def by_sdk(sampler, limits, resource):
    provider = TracerProvider(sampler=sampler, span_limits=limits, resource=resource, shutdown_on_exit=False)
    record_every_span(provider)
    capture = Capture()
    provider.add_span_processor(capture)
    return provider.get_tracer("t", "1", attributes={"of": "scope"}), capture


def by_slotel(sampler, limits, resource):
    provider = TracerProvider(sampler=sampler, span_limits=limits, resource=resource, shutdown_on_exit=False)
    runtime, capture = runtime_around(provider), Capture()
    runtime.pipeline.add_sink(capture)
    return provider.get_tracer("t", "1", attributes={"of": "scope"}), capture


class Clock:
    """One tick for each step, so that both sides read the same time."""

    now = 10**18

    def __call__(self):
        return self.now


def run(tracer, program, parent, clock):
    """Return what each step raised."""
    raised = []

    def step(span, what, *given):
        clock.now += 1
        if what == "set_status":
            given = given[0]
        try:
            getattr(span, what)(*given)
        except Exception as error:
            raised.append(type(error))

    def steps(span, tree):
        for each in tree:
            if each[0] in {"current", "itself"}:
                below(*each)
            else:
                step(span, *each)

    def below(how, started, error, tree):
        clock.now += 1
        name, kind, attributes, links, start_time, (records, marks, ends) = started
        options = {
            "kind": kind, "attributes": attributes, "links": [Link(*each) for each in links], "start_time": start_time,
            "record_exception": records, "set_status_on_exception": marks,
        }  # fmt: skip
        try:
            if how == "current":
                opened = tracer.start_as_current_span(name, end_on_exit=ends, **options)
            else:
                opened = tracer.start_span(name, **options)
            with opened as span:
                assert how == "itself" or trace.get_current_span() is span
                steps(span, tree)
                clock.now += 1
                leave(error)
        except BaseException as caught:
            raised.append(type(caught))
            if type(caught) is AssertionError:
                raise

    context = Context() if parent is None else trace.set_span_in_context(parent, Context())
    name, kind, attributes, links, start_time, (records, marks, _) = program[0]
    try:
        root = tracer.start_span(
            name, context, kind, attributes, [Link(*each) for each in links], start_time, records, marks
        )
    except Exception as error:
        return [type(error)]
    with trace.use_span(root, end_on_exit=True):
        steps(root, program[1])
    return raised


def leave(error):
    if error is not None:
        raise error


@contextmanager
def frozen(clock):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdk, "time_ns", clock)
        patch.setattr(lean_span, "time_ns", clock)
        yield


def shown(span):
    """What an exporter can see of a span."""
    try:
        plain = json.loads(span.to_json())
    except TypeError as error:  # bytes
        plain = {"events": [], "error": str(error)}
    for event in plain["events"]:
        error_linker = event["attributes"].get("exception.stacktrace")
        if isinstance(error_linker, str):
            event["attributes"]["exception.stacktrace"] = error_linker.splitlines()[-1:]
    order = (
        list((span.attributes or {}).items()),
        [
            [item for item in event.attributes.items() if item[0] != "exception.stacktrace"]
            for event in span.events
        ],
    )
    dropped = span.dropped_attributes, span.dropped_events, span.dropped_links
    ended = span.is_recording() if isinstance(span, sdk.Span) else False
    wire = str(encode_spans([span])).replace("\\n", "\n")
    wire = re.sub(r'(?s)key: "exception\.stacktrace".*?\n    \}', "", wire)
    facts = (
        span.parent,
        tuple(span.context),
        span.kind,
        span.instrumentation_scope,
        span.start_time,
        span.end_time,
    )
    return plain, order, dropped, ended, wire, facts


def outcome(make, program, parent, sampler, limits, caplog):
    caplog.clear()
    random.seed(1)
    clock = Clock()
    tracer, capture = make(SAMPLERS[sampler], LIMITS[limits], Resource({"service.name": "shop"}))
    with frozen(clock):
        raised = run(tracer, program, PARENTS[parent], clock)
    told = [
        (record.name, record.levelname, record.getMessage())
        for record in caplog.records
        if record.name.startswith("opentelemetry")
    ]
    return raised, capture.started, [shown(span) for span in capture.ended], told


@given(
    program=PROGRAMS,
    parent=st.sampled_from(list(PARENTS)),
    sampler=st.sampled_from(list(SAMPLERS)),
    limits=st.sampled_from(list(LIMITS)),
)
@example(
    program=(BARE, [("current", BARE, ValueError("after its end"), [("end", None)])]),
    parent="none",
    sampler="on",
    limits="default",
)
def test_any_use_of_a_span_exports_and_warns_what_the_sdks_span_does(
    program, parent, sampler, limits, shared_caplog
):
    expected = outcome(by_sdk, program, parent, sampler, limits, shared_caplog)
    actual = outcome(by_slotel, program, parent, sampler, limits, shared_caplog)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours == theirs


@pytest.fixture(scope="module")
def shared_caplog():
    """Log records, kept over the examples of one test."""

    class Records(logging.Handler):
        def __init__(self):
            super().__init__()
            self.records = []

        def emit(self, record):
            self.records.append(record)

        def clear(self):
            self.records.clear()

    handler = Records()
    logging.getLogger("opentelemetry").addHandler(handler)
    yield handler
    logging.getLogger("opentelemetry").removeHandler(handler)


THEIRS = getattr(trace.use_span, "_slotel_original", trace.use_span)


class Handled(SpanProcessor):
    """Notes which exception is being handled when a span ends."""

    def __init__(self, seen):
        self.seen = seen

    def on_end(self, span):
        self.seen.append(sys.exc_info()[0])


def used(use_span, error, ends, records, marks, *, how):
    """What is seen where a span is used: inside, by whom it was used, of itself afterwards."""
    seen = []
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Handled(seen))
    span = provider.get_tracer("t").start_span("x")
    opened = use_span(span, ends, record_exception=records, set_status_on_exception=marks)

    def inside():
        seen.append(trace.get_current_span() is span)
        leave(error)

    async def awaited():
        inside()

    try:
        if how == "block":
            with opened as given:
                seen.append(given is span)
                inside()
        elif how == "function":
            opened(inside)()
        elif how == "coroutine":
            asyncio.run(opened(awaited)())
        else:
            opened.__enter__()
            if how == "forgotten":
                del opened
            elif how == "given":  # as Django's instrumentation gives it
                opened.__exit__(*((type(error), error, None) if error else (None, None, None)))
            else:
                inside()
                opened.__exit__(None, None, None)
    except BaseException as caught:
        seen.append(caught is error)
    events = [(event.name, event.attributes["exception.type"]) for event in span.events]
    return (
        seen,
        span.is_recording(),
        span.status.status_code,
        span.status.description,
        events,
        trace.get_current_span() is span,
    )


@pytest.mark.parametrize("how", ["block", "function", "coroutine", "by hand", "given", "forgotten"])
@pytest.mark.parametrize("error", [None, ValueError("no"), KeyboardInterrupt(), StopIteration()])
@pytest.mark.parametrize(
    "flags", [(True, True, True), (False, False, True), (True, True, False), (False, False, False)]
)
def test_a_span_that_is_used_is_seen_as_with_the_api_alone(how, error, flags):
    assert _in_a_copy(quick, error, *flags, how=how) == _in_a_copy(THEIRS, error, *flags, how=how)


def _in_a_copy(*args, how):
    return contextvars.copy_context().run(used, *args, how=how)
