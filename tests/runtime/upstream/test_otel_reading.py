"""Spans of slotel's own, spans of the SDK and spans made by hand are read alike: the counts are the same."""

import linecache

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from slotel.config import names
from slotel.runtime.tracing.fast.span import LeanSpan
from slotel.runtime.upstream.otel import spans as otel_spans
from slotel.runtime.upstream.otel.reading import UNSET, attributes_of, set_sent_status
from support.adopted import runtime_around

YAML = """
version: 1
tags: {required: {team: {default: none}}, metric_labels: [team]}
slos:
  - {name: all, objective: 99%, latency: 300ms}
  - {name: eu, objective: 99%, include: {region: [eu]}}
"""


def serve(tracer, start=1_000_000_000):
    """Spans of every sort; what they last is given."""
    for status in StatusCode:
        for attributes in (
            None,
            {"http.route": "/a", "http.response.status_code": 503},
            {"http.route": "/a", "http.status_code": "200", "team": "red", "region": "eu"},
            {"http.route": ["/a", "/b"]},
            {"unwatched": 1, "error.type": "Timeout"},
        ):
            root = tracer.start_span("GET", kind=SpanKind.SERVER, attributes=attributes, start_time=start)
            root.set_status(status)
            root.end(end_time=start + 400_000_000)
    with tracer.start_as_current_span("outer", start_time=start, end_on_exit=False) as outer:
        tracer.start_span("step", start_time=start).end(start + 7)
    outer.end(start + 9)


def counted(runtime):
    runtime.store.clock = lambda: 0.0
    return {
        family.name: {key: list(row) for key, row in family.series.items()}
        for family in runtime.store.snapshot()
    }


def test_a_span_of_ours_and_one_of_the_sdk_are_counted_alike(monkeypatch):
    found = []
    for tested in (frozenset(), otel_spans.TESTED):
        monkeypatch.setattr(otel_spans, "TESTED", tested)
        provider = TracerProvider(shutdown_on_exit=False)
        runtime = runtime_around(provider, yaml=YAML)
        tracer = provider.get_tracer("t")
        found.append((isinstance(tracer.start_span("never ended"), LeanSpan), counted_after(runtime, tracer)))
    (of_sdk, theirs), (of_ours, ours) = found
    assert (of_sdk, of_ours) == (False, True)
    assert ours == theirs
    assert len(ours[names.SPAN_DURATION]) > 12


def counted_after(runtime, tracer):
    serve(tracer)
    return counted(runtime)


@pytest.mark.parametrize("attributes", [None, {"a": 1}])
def test_a_span_made_by_hand_is_read(attributes):
    assert attributes_of(ReadableSpan("job", attributes=attributes)) == (attributes or {})


def test_the_attributes_of_an_ended_span_are_its_own():
    provider = TracerProvider(shutdown_on_exit=False)
    runtime_around(provider)
    span = provider.get_tracer("t").start_span("a", attributes={"a": 1})
    assert attributes_of(span) is span.recorded
    assert span.status is UNSET


@pytest.mark.parametrize(
    ("marked", "sent", "status", "kind"),
    [
        (StatusCode.UNSET, 503, StatusCode.ERROR, "503"),
        (StatusCode.UNSET, 404, StatusCode.UNSET, None),
        (StatusCode.UNSET, None, StatusCode.UNSET, None),
        (StatusCode.OK, 503, StatusCode.OK, None),
    ],
)
def test_a_span_whose_answer_was_replaced_by_a_server_error_is_an_error(marked, sent, status, kind):
    """A view has answered 200, and a middleware sends 503: it was counted under 503 and STATUS_CODE_UNSET."""
    provider = TracerProvider(shutdown_on_exit=False)
    runtime_around(provider)
    span = provider.get_tracer("t").start_span("GET", attributes={"status": 200})
    span.set_status(marked)
    span.end()
    set_sent_status(span, "status", sent)
    assert (span.attributes.get("status"), span.status.status_code) == (sent, status)
    assert span.attributes.get("error.type") == kind


def test_one_attribute_that_a_label_or_an_objective_asks_for_leads_to_another_row():
    provider = TracerProvider(shutdown_on_exit=False)
    runtime = runtime_around(provider, yaml=YAML)
    tracer = provider.get_tracer("t")
    for attributes in ({}, {"team": "red"}, {"region": "eu"}, {}):
        tracer.start_span("GET", kind=SpanKind.SERVER, attributes=attributes).end()
    tagged = tracer.start_span("GET", kind=SpanKind.SERVER)
    runtime.open_spans.of(tagged.context.span_id).tags["team"] = "blue"
    tagged.end()
    found = counted(runtime)
    assert {key[-1]: row for key, row in found[names.SPAN_CALLS].items()} == {
        "none": [3],
        "red": [1],
        "blue": [1],
    }
    assert {key[1:]: row[0] for key, row in found[names.SLO_EVENTS].items() if row[0]} == {
        ("all", "good"): 5,
        ("eu", "good"): 1,
    }


def test_the_sources_that_the_fingerprint_is_made_of_are_not_kept():
    """Whole modules, 0.2 MiB; what the app has in the cache stays there."""
    linecache.clearcache()
    kept = linecache.getlines(linecache.__file__)
    assert otel_spans.fingerprint() in otel_spans.TESTED
    assert list(linecache.cache) == [linecache.__file__] and linecache.getlines(linecache.__file__) is kept
