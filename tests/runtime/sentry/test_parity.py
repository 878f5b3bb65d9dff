"""Parity: the same random span trees through Sentry's SentrySpanProcessor and through slotel, both to a real sink.

Equal, but for the differences that docs/sentry-parity.md lists; each one used here has its number there.
"""

import importlib.util
import json
import re
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sentry_sdk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind, Status, StatusCode

from slotel.cli.sink.server import SentrySink
from support.sentry_tracing import provider, shipping

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("sentry_sdk.integrations.opentelemetry") is None,
    reason="sentry-sdk 3 has no SentrySpanProcessor",
)

words = st.text("abcdefgh /-{}é", min_size=1, max_size=20).filter(lambda text: text.strip() == text)
codes = st.sampled_from([200, 204, 302, 400, 401, 403, 404, 409, 413, 418, 429, 499, 500, 501, 503, 504, 599])
methods = st.sampled_from(["GET", "POST"])
plain = st.dictionaries(
    st.sampled_from(["a", "b.c", "d"]),
    st.one_of(words, st.integers(-(2**53), 10**12 - 1), st.booleans(), st.lists(words, max_size=3)),
)
server = st.fixed_dictionaries(
    {"http.method": methods},
    optional={"http.status_code": codes, "http.target": st.just("/a?b=1"), "http.route": st.just("/{id}")},
)
outgoing = st.fixed_dictionaries(
    {"http.method": methods},
    optional={
        "http.status_code": codes,
        "http.url": st.just("https://h.example:8443/p/q?x=1"),
        "net.peer.name": st.just("h.example"),
    },
)
database = st.fixed_dictionaries(
    {"db.system": st.just("postgresql")}, optional={"db.statement": st.just("SELECT 1"), "db.name": words}
)
statuses = st.sampled_from(
    [None, Status(StatusCode.OK), Status(StatusCode.ERROR), Status(StatusCode.ERROR, "why")]
)
kinds = st.sampled_from(list(SpanKind))


def node(children):
    kinds_of_span = st.one_of(plain, server, outgoing, database)
    return st.tuples(words, kinds, kinds_of_span, statuses, children)


nodes = st.recursive(node(st.just([])), lambda below: node(st.lists(below, max_size=3)), max_leaves=8)


def make(tracer, node):
    name, kind, attributes, status, children = node
    with tracer.start_as_current_span(name, kind=kind, attributes=attributes) as span:
        for child in children:
            make(tracer, child)
        if status is not None:
            span.set_status(status)


@pytest.fixture(scope="module")
def both():
    """A tracer whose spans go both ways, and a function that returns what arrived from each."""
    from sentry_sdk.integrations.opentelemetry import SentrySpanProcessor

    with both_ways(SentrySpanProcessor()) as made:
        yield made


@contextmanager
def both_ways(processor):
    with SentrySink() as stock, SentrySink() as ours:
        sentry_sdk.init(
            dsn=stock.dsn(), instrumenter="otel", traces_sample_rate=1.0, default_integrations=False,
            release="r1", environment="e1", server_name="s1",
        )  # fmt: skip
        told = {"release": "r1", "environment": "e1", "server_name": "s1"}
        with shipping(ours, worker={"interval": 3600.0}, **told) as (sink, losses):
            tracers = provider(sink)
            tracers.add_span_processor(processor)

            def arrived():
                sentry_sdk.flush(timeout=10)
                assert sink.flush(60)
                assert stock.wait_for(lambda s: s.transactions == 1)
                assert losses.counts == {}
                pair = stock.envelopes[0], ours.envelopes[0]
                stock.clear()
                ours.clear()
                return pair

            yield tracers.get_tracer("t"), arrived
        sentry_sdk.get_client().close(timeout=1)
        sentry_sdk.get_global_scope().set_client(None)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tree=nodes)
def test_random_trees_give_equal_transactions_but_for_the_listed_differences(both, tree):
    tracer, arrived = both
    make(tracer, tree)
    stock, ours = arrived()
    assert {
        key: ours.header["trace"][key] for key in ("trace_id", "public_key", "release", "environment")
    } == {key: stock.header["trace"][key] for key in ("trace_id", "public_key", "release", "environment")}
    (theirs,), (own,) = stock.of_type("transaction"), ours.of_type("transaction")
    for key in ("type", "transaction", "platform", "release", "environment", "server_name"):
        assert own[key] == theirs[key], key
    assert_close(own, theirs)
    assert own["contexts"].get("response") == theirs["contexts"].get("response")
    assert own["contexts"]["otel"] == theirs["contexts"]["otel"]
    assert_trace_equal(own["contexts"]["trace"], theirs["contexts"]["trace"])
    expected = {span["span_id"]: span for span in theirs["spans"]}
    assert sorted(span["span_id"] for span in own["spans"]) == sorted(expected)
    for span in own["spans"]:
        assert_span_equal(span, expected[span["span_id"]])


def assert_trace_equal(own, theirs):
    for key in ("trace_id", "span_id", "parent_span_id", "origin"):
        assert own[key] == theirs[key], key
    if "db.system" not in own["data"]:  # difference 4: what the root is is told for every convention
        assert own["op"] == theirs["op"]
    assert_status_equal(own, theirs)


def assert_span_equal(own, theirs):
    for key in ("trace_id", "span_id", "parent_span_id", "op", "origin"):
        assert own[key] == theirs[key], key
    assert_close(own, theirs)
    data = own["data"]
    if "http.url" not in data or "net.peer.name" not in data:  # difference 5: the whole URL is described
        if "http.method" in data and "http.url" not in data:  # difference 5: never with its query
            assert own["description"] == theirs["description"].partition("?")[0]
        else:
            assert own["description"] == theirs["description"]
    assert_status_equal(own, theirs)
    for key, value in theirs["data"].items():
        if key not in ("thread.id", "thread.name", "otel.kind"):  # differences 8 and 9
            assert data[key] == value, key


def assert_status_equal(own, theirs):
    code = own["data"].get("http.status_code")
    if code == 499:  # difference 6: the client has gone
        assert own["status"] == "cancelled"
    elif (
        theirs.get("status") == "ok" and own.get("status") != "ok"
    ):  # difference 7: failed after it had answered
        assert own["status"] == "internal_error"
        assert code < 400
    else:
        assert own.get("status") == theirs.get("status")


def assert_close(own, theirs):
    for key in ("start_timestamp", "timestamp"):
        assert abs(moment(own[key]) - moment(theirs[key])) <= timedelta(microseconds=1), key


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_every_difference_that_the_test_allows_is_listed_with_its_reason():
    listed = (Path(__file__).parents[3] / "docs" / "sentry-parity.md").read_text()
    numbers = set(re.findall(r"^\| (\d+) \|", listed, re.MULTILINE))
    used = set(re.findall(r"differences? (\d+)(?: and (\d+))?", Path(__file__).read_text()))
    assert {number for pair in used for number in pair if number} <= numbers
    assert all(len(row.split("|")) == 6 for row in listed.splitlines() if re.match(r"\| \d+ \|", row))
    assert json.dumps(sorted(numbers, key=int)) == json.dumps([str(n + 1) for n in range(len(numbers))])
