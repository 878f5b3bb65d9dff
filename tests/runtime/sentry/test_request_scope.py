"""What the code said of a job is on that job's transaction, and on no other's."""

import threading

import pytest
import sentry_sdk
from opentelemetry.trace import SpanKind

from slotel.cli.sink.server import SentrySink
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.sentry.errors.linker import ErrorEventLinker
from support.sentry_tracing import connected, provider


@pytest.fixture
def tracer():
    with SentrySink() as sentry, sentry_sdk.isolation_scope(), connected(sentry) as (_, sink, _losses):
        linker = ErrorEventLinker(OpenSpans(), lambda attributes, tags: dict(tags))

        def transactions():
            assert sink.flush(20)
            return {event["transaction"]: event for event in sentry.payloads("transaction")}

        yield provider(linker, sink).get_tracer("t"), transactions


def say(number):
    sentry_sdk.set_user({"id": str(number)})
    sentry_sdk.set_tag("number", number)
    sentry_sdk.set_extra("number", number)
    sentry_sdk.set_context("job", {"number": number})


def said(event):
    return [
        int(each)
        for each in (
            event["user"]["id"],
            event["tags"]["number"],
            event["extra"]["number"],
            event["contexts"]["job"]["number"],
        )
    ]


@pytest.mark.parametrize("kind", [SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CONSUMER])
def test_each_of_five_jobs_in_a_loop_has_its_own_user_tags_extra_and_contexts(tracer, kind):
    start, transactions = tracer
    for number in range(5):
        with start.start_as_current_span(f"job {number}", kind=kind):
            say(number)
    assert {name: said(event) for name, event in transactions().items()} == {
        f"job {number}": [number] * 4 for number in range(5)
    }


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.CONSUMER])
def test_what_a_request_said_is_on_no_later_request(tracer, kind):
    start, transactions = tracer
    with start.start_as_current_span("first", kind=kind):
        say(1)
    with start.start_as_current_span("second", kind=kind):
        pass
    found = transactions()
    assert said(found["first"]) == [1] * 4
    assert "user" not in found["second"]
    assert "number" not in found["second"]["tags"]
    assert "job" not in found["second"]["contexts"]


def test_requests_on_several_threads_and_a_root_within_a_request_keep_apart(tracer):
    start, transactions = tracer

    def request(number):
        with start.start_as_current_span(f"request {number}", kind=SpanKind.SERVER):
            say(number)
            barrier.wait(30)

    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=request, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with start.start_as_current_span("outer", kind=SpanKind.SERVER):
        say(7)
        with start.start_as_current_span("inner", kind=SpanKind.CONSUMER, context=sentry_sdk_free_context()):
            say(8)
        sentry_sdk.set_tag("after", "inner")
    found = transactions()
    assert {name: said(event) for name, event in found.items()} == {
        "request 0": [0] * 4, "request 1": [1] * 4, "request 2": [2] * 4, "outer": [7] * 4, "inner": [8] * 4,
    }  # fmt: skip
    assert found["outer"]["tags"]["after"] == "inner"


def sentry_sdk_free_context():
    """A context without a span: the next span is a root."""
    from opentelemetry.context import Context

    return Context()
