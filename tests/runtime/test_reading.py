"""An ended span is read by its slots or by its properties: the answers are the same."""

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from slotel.runtime.reading import read


class Plain:
    """A double: a span with the public properties alone."""

    def __init__(self, span):
        for name in ("name", "kind", "status", "attributes", "start_time", "end_time"):
            setattr(self, name, getattr(span, name))


def test_slots_and_properties_say_the_same():
    made = TracerProvider().get_tracer("t").start_span("GET", kind=SpanKind.SERVER, attributes={"a": 1})
    made.set_status(StatusCode.ERROR)
    made.end(end_time=made.start_time + 5)
    assert read(made) == read(Plain(made))
    assert read(made)[:4] == ("GET", SpanKind.SERVER.value, StatusCode.ERROR.value, {"a": 1})


def test_a_span_made_by_hand_is_read():
    assert read(ReadableSpan("job"))[0] == "job"
    assert read(ReadableSpan("job", attributes={"a": 1}))[3] == {"a": 1}
