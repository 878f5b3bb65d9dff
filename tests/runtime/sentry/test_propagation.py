"""Headers of a request are looked through once, and read as its framework's getter would have them read."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, detach
from opentelemetry.instrumentation.asgi import asgi_getter
from opentelemetry.instrumentation.wsgi import wsgi_getter
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import DefaultGetter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sentry_sdk import tracing_utils

from slotel.cli.sink.server import SentrySink
from slotel.runtime.sentry.client.client import SentryConnection
from slotel.runtime.sentry.client.dsn import read_dsn
from slotel.runtime.sentry.propagation import (
    EVERYWHERE,
    RequestContextPropagator,
    SentryHeaders,
    SinglePassPropagator,
    TargetedBaggage,
)
from slotel.runtime.sentry.transactions.sampling_context import head_context
from support.sentry_tracing import Through, shipping

PARTS = [TraceContextTextMapPropagator(), W3CBaggagePropagator(), SentryHeaders()]
TRACES = ("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736")
SPAN = trace.SpanContext(7, 11, is_remote=False, trace_flags=trace.TraceFlags(1))
HEADERS = st.one_of(
    st.tuples(
        st.sampled_from([b"traceparent", b"Traceparent"]),
        st.sampled_from([*(f"00-{each}-b7ad6b7169203331-01".encode() for each in TRACES), b"00-nonsense"]),
    ),
    st.tuples(st.just(b"tracestate"), st.sampled_from([b"a=1", b"b=2,c=3", b""])),
    st.tuples(st.just(b"baggage"), st.sampled_from([b"user=1", b"team=x%20y;p=1,k=v", b"\xff"])),
    st.tuples(st.just(b"sentry-trace"), st.just(f"{TRACES[1]}-00f067aa0ba902b7-0".encode())),
    st.tuples(st.sampled_from([b"host", b"accept", b"x-traceparent"]), st.binary(max_size=5)),
)


def read(propagator, headers):
    context = propagator.extract({"type": "http", "headers": headers}, getter=asgi_getter)
    return trace.get_current_span(context).get_span_context(), dict(baggage.get_all(context))


@given(st.lists(HEADERS, max_size=6))
def test_one_look_brings_what_a_look_for_each_name_brings(headers):
    assert read(SinglePassPropagator(PARTS), headers) == read(CompositePropagator(PARTS), headers)


@given(
    st.dictionaries(
        st.sampled_from(
            ["HTTP_TRACEPARENT", "HTTP_TRACESTATE", "HTTP_BAGGAGE", "HTTP_SENTRY_TRACE", "HTTP_HOST"]
        ),
        st.sampled_from(
            [
                f"00-{TRACES[0]}-b7ad6b7169203331-01",
                f"{TRACES[1]}-00f067aa0ba902b7-0",
                "user=1,team=x%20y",
                "a=1",
                "",
            ]
        ),
    ),
    st.booleans(),
)
def test_of_a_wsgi_request_too(headers, within):
    def read_environ(propagator):
        context = trace.set_span_in_context(trace.NonRecordingSpan(SPAN)) if within else None
        environ = {"REQUEST_METHOD": "GET", **headers}
        found = propagator.extract(environ, context, getter=wsgi_getter)
        return dict(found), trace.get_current_span(found).get_span_context(), dict(baggage.get_all(found))

    ours, theirs = read_environ(SinglePassPropagator(PARTS)), read_environ(CompositePropagator(PARTS))
    assert ours[1:] == theirs[1:]
    assert ours[0].keys() == theirs[0].keys()


def test_a_request_with_all_of_them_is_continued():
    span, carried = read(
        SinglePassPropagator(PARTS),
        [(b"traceparent", f"00-{TRACES[0]}-b7ad6b7169203331-01".encode()), (b"baggage", b"team=pay")],
    )
    assert (trace.format_trace_id(span.trace_id), span.is_remote, carried) == (
        TRACES[0],
        True,
        {"team": "pay"},
    )


def test_a_scope_without_headers_begins_a_trace():
    assert not read(SinglePassPropagator(PARTS), None)[0].is_valid


def headers_of(tracer, headers, *, within=None, url="https://other.example/x"):
    """The headers of an outgoing request, below a span that the incoming headers begin."""
    incoming = SinglePassPropagator(
        [TraceContextTextMapPropagator(), W3CBaggagePropagator(), headers]
    ).extract(within or {}, Context())
    carrier = {}
    token = attach(incoming)  # as instrumentations do
    with (
        tracer.start_as_current_span("GET /x", attributes={"http.route": "/x", "http.method": "GET"}),
        tracer.start_as_current_span("GET", attributes={"url.full": url}),
    ):
        SinglePassPropagator([TraceContextTextMapPropagator(), TargetedBaggage(headers), headers]).inject(
            carrier
        )
    detach(token)
    entries = dict(entry.split("=", 1) for entry in carrier.get("baggage", "").split(",") if entry)
    return carrier, entries


def sentry_headers(open_spans, targets=EVERYWHERE, rate=0.25):
    def sampling_context_of(span):
        root = open_spans.of(span.span_id)
        return head_context(
            root,
            span,
            public_key="key",
            org_id=None,
            options={"release": "r1", "environment": "live"},
            sample_rate=rate,
        )

    return SentryHeaders(rate, sampling_context_of, lambda: targets)


@pytest.fixture
def tracer():
    with SentrySink() as sentry, shipping(sentry) as (sink, _):
        through = Through(sink)
        made = TracerProvider(shutdown_on_exit=False)
        made.add_span_processor(through)
        yield made.get_tracer("t"), through.open_spans


def test_the_head_of_a_trace_says_what_sentry_computes_with(tracer):
    made, open_spans = tracer
    carrier, entries = headers_of(made, sentry_headers(open_spans))
    trace_id = carrier["sentry-trace"].split("-")[0]
    low = (int(trace_id, 16) & ((1 << 64) - 1)) / (1 << 64)
    assert abs(float(entries.pop("sentry-sample_rand")) - low) < 2e-6
    assert entries == {
        "sentry-trace_id": trace_id, "sentry-public_key": "key", "sentry-release": "r1", "sentry-environment": "live",
        "sentry-sample_rate": "0.25", "sentry-sampled": "true", "sentry-transaction": "GET%20%2Fx",
    }  # fmt: skip


def test_a_service_downstream_sends_the_heads_context_unchanged(tracer):
    made, open_spans = tracer
    head = f"sentry-trace_id={TRACES[0]},sentry-public_key=heads,sentry-sample_rate=0.5,team=pay"
    within = {"sentry-trace": f"{TRACES[0]}-00f067aa0ba902b7-1", "baggage": head}
    _, entries = headers_of(made, sentry_headers(open_spans), within=within)
    assert entries == dict(entry.split("=") for entry in head.split(","))


@pytest.mark.parametrize(
    "within",
    [
        {"sentry-trace": f"{TRACES[0]}-00f067aa0ba902b7-1"},
        {"traceparent": f"00-{TRACES[0]}-b7ad6b7169203331-01"},
        {"traceparent": f"00-{TRACES[0]}-b7ad6b7169203331-01", "baggage": "team=pay"},
    ],
)
def test_where_a_foreign_head_decided_no_rate_is_claimed(tracer, within):
    made, open_spans = tracer
    carrier, entries = headers_of(made, sentry_headers(open_spans), within=within)
    assert not [key for key in entries if key.startswith("sentry-")]
    assert carrier["sentry-trace"].startswith(TRACES[0])


@pytest.mark.parametrize(
    ("targets", "goes"),
    [
        (EVERYWHERE, True),
        (["mine.example"], False),
        (["other.example"], True),
        ([re.compile(r"^https://other")], True),
        ([], False),
    ],
)
def test_sentrys_headers_go_only_where_the_app_wants_them(tracer, targets, goes):
    made, open_spans = tracer
    within = {
        "sentry-trace": f"{TRACES[0]}-00f067aa0ba902b7-1",
        "baggage": "sentry-public_key=heads,team=pay",
    }
    for incoming in ({}, within):
        carrier, entries = headers_of(made, sentry_headers(open_spans, targets), within=incoming)
        assert ("sentry-trace" in carrier) == goes
        assert any(key.startswith("sentry-") for key in entries) == goes
        assert "traceparent" in carrier
        assert ("team" in entries) == bool(incoming)


LIKE_A_REQUEST = {
    "type": st.sampled_from(["http", "websocket", "com.shop.order"]),
    "path": st.sampled_from(["/x", 5, None]),
    "headers": st.sampled_from([{}, {"a": "b"}, "x", [("a", "b")], [(b"a", b"b")], None, 7]),
    "REQUEST_METHOD": st.sampled_from(["GET", 4]),
    "wsgi.version": st.just((1, 0)),
}


@given(
    st.fixed_dictionaries(
        {"traceparent": st.just(f"00-{TRACES[0]}-b7ad6b7169203331-01")}, optional=LIKE_A_REQUEST
    )
)
def test_a_mapping_that_the_app_extracts_from_is_read_as_by_the_sdk_whatever_its_keys(carrier):
    found, alone = (
        trace.get_current_span(propagator.extract(carrier)).get_span_context()
        for propagator in (
            CompositePropagator([SinglePassPropagator(PARTS), RequestContextPropagator([])]),
            CompositePropagator(PARTS),
        )
    )
    assert found == alone
    assert found.is_valid


@given(st.sampled_from([{}, {"a": "b"}, "x", [1], None, 7]))
def test_a_getter_of_the_apps_own_reads_a_mapping_that_looks_like_a_request(headers):
    class Own(DefaultGetter):
        pass

    carrier = {
        "type": "http",
        "path": "/x",
        "headers": headers,
        "traceparent": f"00-{TRACES[0]}-b7ad6b7169203331-01",
    }
    found = SinglePassPropagator(PARTS).extract(carrier, getter=Own())
    assert trace.get_current_span(found).get_span_context().is_valid


def test_baggage_is_encoded_so_that_sentry_sdk_reads_what_was_said():
    from sentry_sdk.tracing_utils import Baggage

    headers = SentryHeaders(sampling_context_of=lambda _: {"transaction": "GET /a b+c"})
    for propagator, context in (
        (headers, Context()),
        (TargetedBaggage(headers), baggage.set_baggage("sentry-transaction", "GET /a b+c")),
    ):
        carrier = {}
        propagator.inject(carrier, trace.set_span_in_context(trace.NonRecordingSpan(SPAN), context))
        read = Baggage.from_incoming_header(carrier["baggage"])
        assert read.sentry_items["transaction"] == "GET /a b+c"
        assert baggage.get_all(W3CBaggagePropagator().extract(carrier)) == {
            "sentry-transaction": "GET /a b+c"
        }


class PropagationOptions:
    propagation_targets = EVERYWHERE

    def __init__(self, organization=None, strict=False, tells=True):
        destination = read_dsn(f"https://key@{f'o{organization}.' if organization else ''}sentry.example/1")
        options = {"strict_trace_continuation": strict}
        self.connection = SentryConnection(SimpleNamespace(options=options), destination, None, None)
        self.continues = self.connection.continues
        self.propagates_to_tasks = lambda said: tells if said is None else bool(said)


@pytest.mark.parametrize("header", ["traceparent", "sentry-trace"])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("own", [None, "1"])
@pytest.mark.parametrize("theirs", [None, "1", "2"])
def test_a_trace_of_another_organization_is_not_continued(header, strict, own, theirs, monkeypatch):
    ids = {
        "traceparent": f"00-{TRACES[0]}-b7ad6b7169203331-01",
        "sentry-trace": f"{TRACES[0]}-b7ad6b7169203331-1",
    }
    told = f"team=pay,sentry-trace_id={TRACES[0]},sentry-public_key=x" + (
        f",sentry-org_id={theirs}" if theirs else ""
    )
    headers = [(header.encode(), ids[header].encode()), (b"baggage", told.encode())]
    span, carried = read(SinglePassPropagator(PARTS, lambda: PropagationOptions(own, strict)), headers)
    client = SimpleNamespace(
        parsed_dsn=SimpleNamespace(org_id=own), options={"strict_trace_continuation": strict}
    )
    monkeypatch.setattr(tracing_utils.sentry_sdk, "get_client", lambda: client)
    is_continued = tracing_utils._should_continue_trace(tracing_utils.Baggage.from_incoming_header(told))
    assert span.is_valid == is_continued
    assert ("sentry-public_key" in carried) == is_continued
    assert carried["team"] == "pay"


@pytest.mark.parametrize("trace_header", [None, "zzz", f"{'0' * 32}-b7ad6b7169203331-1"])
def test_what_a_baggage_without_a_trace_says_of_one_is_passed_on_to_nobody(trace_header):
    told = f"team=pay,sentry-trace_id={TRACES[0]},sentry-sample_rate=2,sentry-public_key=x"
    headers = [(b"baggage", told.encode())]
    if trace_header is not None:
        headers.append((b"sentry-trace", trace_header.encode()))
    span, carried = read(SinglePassPropagator(PARTS, lambda: None), headers)
    assert not span.is_valid
    assert carried == {"team": "pay"}


@pytest.mark.parametrize(
    ("said", "tells", "is_told"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_a_task_takes_the_trace_with_it_unless_it_or_the_app_says_no(said, tells, is_told):
    task = {"task": "t", "root_id": "r", "traceparent": "of its last run"}
    if said is not None:
        task["sentry-propagate-traces"] = said
    context = trace.set_span_in_context(trace.NonRecordingSpan(SPAN))
    SinglePassPropagator(PARTS, lambda: PropagationOptions(tells=tells)).inject(task, context)
    assert ("sentry-trace" in task) == ("traceparent" in task) == is_told
    assert task.get("traceparent") != "of its last run"
    assert "sentry-propagate-traces" not in task
