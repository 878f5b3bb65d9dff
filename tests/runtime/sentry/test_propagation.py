"""Headers of a request are looked through once, and read as its framework's getter would have them read."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.instrumentation.asgi import asgi_getter
from opentelemetry.instrumentation.wsgi import wsgi_getter
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from slotel.runtime.sentry.propagation import OneLook, SentryHeaders

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
    assert read(OneLook(PARTS), headers) == read(CompositePropagator(PARTS), headers)


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

    ours, theirs = read_environ(OneLook(PARTS)), read_environ(CompositePropagator(PARTS))
    assert ours[1:] == theirs[1:]
    assert ours[0].keys() == theirs[0].keys()


def test_a_request_with_all_of_them_is_continued():
    span, carried = read(
        OneLook(PARTS),
        [(b"traceparent", f"00-{TRACES[0]}-b7ad6b7169203331-01".encode()), (b"baggage", b"team=pay")],
    )
    assert (trace.format_trace_id(span.trace_id), span.is_remote, carried) == (
        TRACES[0],
        True,
        {"team": "pay"},
    )


def test_a_scope_without_headers_begins_a_trace():
    assert not read(OneLook(PARTS), None)[0].is_valid
