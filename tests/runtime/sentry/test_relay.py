"""Every payload through Sentry's own normalizer: no error, no field that it trims or throws away."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from slotel.cli.sink.server import SentrySink
from slotel.config.tags import TagPolicy
from support.sentry_tracing import provider, shipping

processing = pytest.importorskip("sentry_relay.processing", reason="run: pip install sentry-relay")

DAY = 86_400


def normalized(event):
    normalizer = processing.StoreNormalizer(
        project_id=1,
        enable_trimming=True,
        remove_other=True,
        max_secs_in_past=30 * DAY,
        max_secs_in_future=60,
    )
    return normalizer.normalize_event({**event, "received": time.time()})


def assert_whole(event):
    """The normalizer keeps the event: nothing in _meta, no error, and all that matters is still there."""
    result = normalized(event)
    assert "_meta" not in result, result["_meta"]
    assert not result.get("errors")
    assert result["transaction"] == event["transaction"]
    assert result["transaction_info"] == event["transaction_info"]
    sent, kept = event["contexts"]["trace"], result["contexts"]["trace"]
    for key in ("trace_id", "span_id", "parent_span_id", "op", "status", "origin", "links"):
        assert sent.get(key) is None or kept.get(key) == sent[key], key
    assert {key: kept["data"].get(key) for key in sent["data"]} == sent[
        "data"
    ]  # it adds, and takes nothing away
    for part, values in event["contexts"]["otel"].items():
        assert result["contexts"]["otel"][part] == values
    tags = {key: value for key, value in result.get("tags") or () if key != "server_name"}
    assert tags == event["tags"]
    assert len(result["spans"]) == len(event["spans"])
    for sent, kept in zip(event["spans"], result["spans"], strict=True):
        for key in (
            "trace_id",
            "span_id",
            "parent_span_id",
            "op",
            "description",
            "status",
            "origin",
            "links",
        ):
            assert sent.get(key) is None or kept.get(key) == sent[key], key
        assert {key: kept["data"].get(key) for key in sent["data"]} == sent["data"]


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=300)
values = st.one_of(
    text,
    st.integers(-(2**53), 2**53),
    st.booleans(),
    st.lists(text, max_size=3),
    st.sampled_from([0.5, -3.25, 1e6]),
)
attributes = st.dictionaries(st.text("abc./_ é-", min_size=1, max_size=30), values, max_size=12)
conventions = st.sampled_from(
    [
        {},
        {"http.request.method": "GET", "url.full": "https://h/p?q=1", "http.response.status_code": 404},
        {
            "http.method": "PUT",
            "http.target": "/a",
            "http.host": "h:80",
            "http.status_code": 200,
            "http.route": "/a",
        },
        {"db.system.name": "mysql", "db.query.text": "SELECT 1"},
        {"rpc.system": "grpc", "rpc.method": "M", "rpc.grpc.status_code": 5},
        {
            "messaging.system": "kafka",
            "messaging.destination.name": "q",
            "messaging.operation.type": "process",
        },
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3},
        {"faas.trigger": "http", "faas.invocation_id": "1", "cloud.provider": "aws"},
    ]
)


def node(children):
    events = st.lists(attributes, max_size=2)
    kinds, codes = st.sampled_from(list(SpanKind)), st.sampled_from(list(StatusCode))
    return st.tuples(text, kinds, conventions, attributes, codes, events, children)


nodes = st.recursive(node(st.just([])), lambda below: node(st.lists(below, max_size=2)), max_leaves=4)


def make(tracer, node):
    name, kind, convention, free, code, events, children = node
    link = Link(SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(1)), {"why": "x"})
    with tracer.start_as_current_span(
        name, kind=kind, attributes={**free, **convention}, links=[link] if events else []
    ) as span:
        for event in events:
            span.add_event("event", event)
        for child in children:
            make(tracer, child)
        span.set_status(Status(code, "why" if code is StatusCode.ERROR else None))


@pytest.fixture(scope="module")
def shipped():
    """A function that makes a tree of spans and returns the transactions that arrived."""
    policy = TagPolicy(set={"region": "eu-west-1", "team": "a\nb" * 150})
    with (
        SentrySink() as sentry,
        shipping(sentry, policy=policy, worker={"interval": 3600.0}, release="r1", environment="e1") as (
            sink,
            losses,
        ),
    ):
        tracer = provider(sink, tags={"free/tag": "v", "empty": ""}).get_tracer("t")

        def ship(build):
            sentry.clear()
            build(tracer)
            assert sink.flush(60)
            assert losses.counts == {}
            return sentry.payloads("transaction")

        yield ship


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tree=nodes)
def test_random_trees_of_every_convention_pass_whole(shipped, tree):
    (event,) = shipped(lambda tracer: make(tracer, tree))
    assert_whole(event)


def test_long_values_pass_whole(shipped):
    def build(tracer):
        large = {f"key.{number}": "v" * 5000 for number in range(20)}
        with tracer.start_as_current_span("n" * 500, attributes=large) as span:
            span.add_event("exception", {"exception.stacktrace": "s" * 20_000})
            tracer.start_span("m" * 500, attributes=large).end()

    (event,) = shipped(build)
    assert_whole(event)
    assert len(event["contexts"]["trace"]["data"]["key.19"]) == 5000


def test_a_span_that_ends_before_it_starts_does_not_take_its_trace_with_it(shipped):
    def build(tracer):
        now = time.time_ns()
        with tracer.start_as_current_span("root"):
            tracer.start_span("backwards", start_time=now).end(now - 1_000_000)

    (event,) = shipped(build)
    assert_whole(event)


def test_continuations_pass_whole(shipped):
    def build(tracer):
        with tracer.start_as_current_span("root"):
            for _ in range(1500):
                tracer.start_span("step").end()

    events = shipped(build)
    assert len(events) == 2
    for event in events:
        assert_whole(event)
