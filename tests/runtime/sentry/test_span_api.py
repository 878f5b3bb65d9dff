"""sentry-sdk's own span API makes and reads OpenTelemetry spans, nested as the code says: beside plain sentry-sdk."""

import json
import re
from pathlib import Path

import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from slotel.cli.sink.server import SentrySink
from slotel.config.tags import TagPolicy, TagRule
from slotel.runtime.sentry.span_api.span import OtelSpan
from slotel.runtime.sentry.transactions.payload import CONTEXTS, JSON, MEASUREMENTS, TAGS
from slotel.runtime.upstream.sentry.spans import CHECKS_SPAN_CLASS
from support.sentry_app import run_app
from support.sentry_tracing import Through, provider, shipping

pytestmark = pytest.mark.skipif(
    not hasattr(sentry_sdk, "start_transaction"), reason="sentry-sdk 3 has no start_transaction"
)


def run(how):
    ran = run_app(
        how, "span_api.py", how, SENTRY_TRACES_SAMPLE_RATE="1", SENTRY_ENVIRONMENT="production", SENTRY_RELEASE="r"
    )  # fmt: skip
    transactions = {event["transaction"]: event for event in ran.payloads("transaction")}
    return json.loads(ran.stdout), transactions, ran.payloads("event")


@pytest.fixture(scope="module")
def both():
    return run("slotel"), run("plain")


def tree(event):
    """Each span's op and name, with that of its parent."""
    trace = event["contexts"]["trace"]
    named = {span["span_id"]: (span["op"], span["description"]) for span in event["spans"]}
    named[trace["span_id"]] = (trace["op"], event["transaction"])
    return sorted(
        (named[span["span_id"]], named[span["parent_span_id"]])
        for span in event["spans"]
        if "/envelope/" not in str(span["description"])  # plain's own, where a thread sends meanwhile
    )


def test_the_code_finds_the_same_spans_and_headers(both):
    (slotel, _, _), (plain, _, _) = both
    assert set(plain["baggage"]) <= set(slotel["baggage"])
    assert {**slotel, "baggage": 0} == {**plain, "baggage": 0}


def test_a_transaction_has_the_same_spans_below_each_other(both):
    (_, slotel, _), (_, plain, _) = both
    assert {"nightly", "continued"} <= set(plain) <= set(slotel)
    for name in ("nightly", "of the app's own origin", "within a span of no transaction"):
        assert tree(slotel[name]) == tree(plain[name])
    ours, theirs = slotel["nightly"], plain["nightly"]
    assert ours["tags"]["job"] == theirs["tags"]["job"] == "yes"
    (query,) = [span for span in ours["spans"] if span["op"] == "db.query"]
    assert (query["data"]["rows"], query["data"]["shard"], query["status"]) == (3, "a", "ok")
    (failed,) = [span for span in ours["spans"] if span["op"] == "fails"]
    assert failed["status"] == "internal_error"


def test_a_trace_is_continued_and_an_error_belongs_to_its_transaction(both):
    (_, transactions, (event, *_)), (_, plain, _) = both
    for found in (transactions, plain):
        trace = found["continued"]["contexts"]["trace"]
        assert (trace["trace_id"], trace["parent_span_id"], trace["op"]) == ("a" * 32, "b" * 16, "queue")
    assert event["contexts"]["trace"]["trace_id"] == transactions["nightly"]["contexts"]["trace"]["trace_id"]


def test_what_happens_after_a_transaction_carries_its_name(both):
    (_, _, (_, *slotel)), (_, _, (_, *plain)) = both
    told = [
        [(each["message"], each.get("transaction"), each["transaction_info"]) for each in events]
        for events in (slotel, plain)
    ]
    assert told[0] == told[1]
    assert len(told[0]) == 5


def test_a_span_below_one_that_opentelemetry_made_is_in_its_transaction(both):
    (_, transactions, _), _ = both
    assert tree(transactions["otel"]) == [(("below", "below otel"), ("otel", "otel"))]


def test_what_code_says_of_a_transaction_is_as_under_plain_sentry_sdk(both):
    (_, slotel, _), (_, plain, _) = both

    def said(event):
        trace, contexts = event["contexts"]["trace"], event["contexts"]
        tags = {name: event["tags"].get(name) for name in ("early", "http.status_code")}
        return [
            trace.get("status"),
            trace.get("description"),
            trace["data"].get("cart"),
            contexts.get("response"),
            tags,
        ]

    for name in ("described", "named", "answers", "fails late", "ended twice", "head's"):
        assert said(slotel[name]) == said(plain[name]), name
        for part in ("trace_id", "parent_span_id"):
            if name in ("described", "named", "head's"):
                assert slotel[name]["contexts"]["trace"][part] == plain[name]["contexts"]["trace"][part], name
    assert said(plain["answers"])[0] == "unavailable"


ONLY_SENTRYS = {
    "hub", "scope", "init_span_recorder", "from_traceparent", "continue_from_environ", "continue_from_headers", "sample_rate",
    "update_active_thread", "get_profile_context", "set_thread", "set_profiler_id",
}  # fmt: skip
"""What a span of OpenTelemetry has nothing of: it is false, and does nothing when it is called."""


def test_what_sentry_sdks_own_spans_tell_a_span_of_opentelemetry_tells_too():
    span = OtelSpan(trace.INVALID_SPAN)
    names = {name for kind in (sentry_sdk.tracing.Span, sentry_sdk.tracing.Transaction) for name in dir(kind)}
    told = {name for name in names if not name.startswith("_")}
    assert {name for name in told if not hasattr(OtelSpan, name)} == ONLY_SENTRYS & told
    assert not any(getattr(span, name) for name in ONLY_SENTRYS)


REQUEST = {
    "http.request.method": "POST",
    "http.route": "/graphql",
    "url.path": "/graphql",
    "server.address": "shop",
}
OF_INSTRUMENTATIONS = {"scope", "tracing_utils", "integrations.sqlalchemy", "integrations.pymongo"}
"""They ask for spans of their own, or for those that OpenTelemetry's instrumentations make instead."""


def test_all_modules_of_sentry_sdk_that_look_for_its_own_spans_take_those_of_opentelemetry_for_them():
    root = Path(sentry_sdk.__file__).parent
    look = re.compile(r"isinstance\(\w+, Span\)|type\(\w+\) is Span\b")
    found = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in root.rglob("*.py")
        if path.name not in ("tracing.py", "traces.py") and look.search(path.read_text())
    }
    known = {probe.where.removeprefix("sentry_sdk.") for probe in CHECKS_SPAN_CLASS}
    assert "feature_flags" in found
    assert found - OF_INSTRUMENTATIONS <= known


def test_a_request_is_renamed_in_sentry_and_not_in_the_metrics():
    with SentrySink() as sentry, shipping(sentry) as (sink, _):
        made, through = provider(), Through(sink)
        made.add_span_processor(through)
        tracer = made.get_tracer("t")
        with tracer.start_as_current_span(
            "POST /graphql", kind=trace.SpanKind.SERVER, attributes=REQUEST
        ) as span:
            transaction = OtelSpan(span, through.open_spans).containing_transaction
            transaction.name, transaction.source, transaction.op = "Orders", "component", "graphql.query"
        assert transaction.name == "Orders"
        assert span.name == "POST /graphql"
        assert sink.flush(60)
        (sent,) = sentry.payloads("transaction")
    assert (sent["transaction"], sent["transaction_info"]["source"]) == ("Orders", "component")
    assert (sent["contexts"]["trace"]["op"], sent["request"]["method"]) == ("graphql.query", "POST")


@pytest.mark.parametrize("off", ["", "threading"])
@pytest.mark.parametrize("how", ["slotel", "plain"])
def test_a_task_of_a_pool_belongs_to_the_span_in_which_it_was_submitted(how, off):
    """Its thread was started in another one."""
    ran = run_app(
        how, "pools.py", how, SENTRY_TRACES_SAMPLE_RATE="1", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=off
    )
    traces = {event["message"]: event["contexts"]["trace"]["trace_id"] for event in ran.payloads("event")}
    sent = {event["transaction"]: event for event in ran.payloads("transaction")}
    assert {name: event["contexts"]["trace"]["trace_id"] for name, event in sent.items()} == traces
    spans = {name: [span["description"] for span in event["spans"]] for name, event in sent.items()}
    assert spans == {name: [f"work of {name}"] for name in ("first", "second")}


class Textless:
    def __repr__(self):
        raise RuntimeError("it has no text")


def test_no_value_and_no_limit_of_opentelemetry_makes_a_call_fail_in_the_app():
    limits = SpanLimits(max_span_attribute_length=40)
    tracer = TracerProvider(span_limits=limits, shutdown_on_exit=False).get_tracer("t")
    with tracer.start_as_current_span("t") as made:
        span = OtelSpan(made)
        for number in range(3):
            span.set_tag(f"tag {number}", "a value of a length")
            span.set_measurement(f"measurement {number}", 1.0, "millisecond")
            span.set_context(f"context {number}", {(1, 2): number})
            span.set_data(f"data {number}", {"of": Textless()})
        assert json.loads(made.attributes[TAGS]) == {"tag 0": "a value of a length"}, (
            "what fits is kept, whole"
        )
        for name in (TAGS, MEASUREMENTS, CONTEXTS, JSON):
            span.set_data(name, 5)
        span.set_tag("tag", "a")
        span.set_data("data", {})
        assert (json.loads(made.attributes[TAGS]), made.attributes[JSON]) == ({"tag": "a"}, ("data",))


def test_tags_without_an_end_cost_no_memory_and_no_time_without_an_end():
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("t") as made:
        span = OtelSpan(made)
        for number in range(1000):
            span.set_tag(f"tag {number}", "a")
            span.set_data("data", {"number": number})
        span.set_tag("tag 0", "b")
        tags = json.loads(made.attributes[TAGS])
    assert (len(tags), tags["tag 0"], made.attributes[JSON]) == (200, "b", ("data",))


def test_an_attribute_of_the_apps_own_that_has_one_of_these_names_loses_no_transaction():
    with SentrySink() as sentry, shipping(sentry) as (sink, losses):
        for name in (TAGS, MEASUREMENTS, CONTEXTS, JSON):
            with provider(sink).get_tracer("t").start_as_current_span(name, attributes={name: 5}):
                pass
        assert sink.flush(60)
        sent = {event["transaction"] for event in sentry.payloads("transaction")}
    assert (sent, losses.counts) == ({TAGS, MEASUREMENTS, CONTEXTS, JSON}, {})


def test_a_tag_of_a_span_keeps_to_the_policy_of_tags():
    policy = TagPolicy(required={"plan": TagRule(default="free", allowed=("free", "pro"))})
    with SentrySink() as sentry, shipping(sentry, policy=policy) as (sink, _):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("root") as root, tracer.start_as_current_span("child") as child:
            for span in (root, child):
                OtelSpan(span).set_tags({"plan": "gold", "own": "yes"})
        assert sink.flush(60)
        (sent,) = sentry.payloads("transaction")
    (span,) = sent["spans"]
    assert span["tags"] == {"plan": "free", "own": "yes"}
    assert (span["data"]["plan"], sent["tags"]["plan"], sent["tags"]["own"]) == ("free", "free", "yes")


def test_whatever_sentry_sdks_own_spans_have_can_be_called():
    span = OtelSpan(trace.INVALID_SPAN)
    for kind in (sentry_sdk.tracing.Span, sentry_sdk.tracing.Transaction):
        for name in dir(kind):
            if not name.startswith("__"):
                getattr(span, name)
    assert span.update_active_thread() is None


def test_a_transaction_is_named_by_the_code(both):
    (_, slotel, _), (_, plain, _) = both
    for found in (slotel, plain):
        assert "renamed" in found
        assert found["renamed"]["transaction_info"]["source"] == "component"


def test_a_middleware_that_the_app_puts_around_itself_works_as_without_slotel(both):
    (slotel, _, _), (plain, _, _) = both
    assert (
        slotel["answers of middlewares"] == plain["answers of middlewares"] == {"asgi": 200, "wsgi": "200 OK"}
    )


def test_what_is_said_of_a_continued_trace_before_it_begins_is_on_its_transaction(both):
    (_, slotel, _), (_, plain, _) = both
    for found in (slotel, plain):
        said = found["continued"]
        assert said["tags"]["early"] == "yes"
        assert said["measurements"]["rows"] == {"value": 3, "unit": "none"}


def test_a_span_of_an_ai_names_its_conversation_and_a_transaction_without_a_name_says_so(both):
    (_, slotel, _), (_, plain, _) = both
    if hasattr(sentry_sdk.Scope, "set_conversation_id"):  # plain sends such spans by themselves
        assert slotel["talk"]["spans"][0]["data"]["gen_ai.conversation.id"] == "of the scope"
    assert "<unlabeled transaction>" in slotel
    assert "<unlabeled transaction>" in plain
