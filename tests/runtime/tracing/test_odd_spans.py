"""A span whose name is no text, or whose values are of classes whose methods raise, is counted as any other."""

import enum

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from support.adopted import runtime_around


class Fails:
    def __hash__(self):
        raise ValueError("hash")

    def __eq__(self, other):
        raise ValueError("eq")

    def __len__(self):
        raise ValueError("len")

    def __str__(self):
        raise ValueError("str")


class Equal(str):
    """Its hash is that of the text."""

    __slots__ = ()
    __hash__ = str.__hash__
    __eq__, __len__, __str__ = Fails.__eq__, Fails.__len__, Fails.__str__


class Text(str):
    __slots__ = ()
    __eq__ = str.__eq__

    def __hash__(self):
        raise ValueError("hash")

    __len__, __str__ = Fails.__len__, Fails.__str__


class Number(int):
    __str__ = __repr__ = __float__ = Fails.__str__


class Choice(enum.Enum):
    ONE = 1


VALUES = [Equal("/orders"), Text("/orders"), Number(200)]
KEYS = [
    "http.route", "http.request.method", "http.request.method_original", "url.path", "http.target",
    "http.response.status_code", "http.status_code", "slo.outcome", "error.type", "team",
]  # fmt: skip
NAMES = [200, None, Choice.ONE, ["a", "b"], b"job", Equal("job"), Text("job"), "\ud800"]


def run(provider):
    """Each odd value, and the same as a plain text after it."""
    tracer = provider.get_tracer("t")
    for value in VALUES:
        for key in KEYS:
            for given in (value, "/orders"):
                with tracer.start_as_current_span("job", kind=SpanKind.SERVER, attributes={key: given}):
                    pass
    for name in NAMES:
        with tracer.start_as_current_span(name, kind=SpanKind.SERVER):
            pass
    with tracer.start_as_current_span("job", kind=SpanKind.SERVER):
        pass


def exporting():
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_odd_spans_are_counted_and_spoil_nothing_for_the_next():
    alone, ended = exporting()
    run(alone)
    provider, exported = exporting()
    runtime = runtime_around(provider)
    run(provider)
    counted = {family.name: family.series for family in runtime.store.snapshot()}
    calls = {labels[1]: row[0] for labels, row in counted["traces_span_metrics_calls"].items()}
    assert sum(row[0] for row in counted["traces_span_metrics_calls"].values()) == len(
        ended.get_finished_spans()
    )
    assert {"200", "None", "Choice.ONE", "job"} <= calls.keys()
    assert counted.get("slotel_stage_errors", {}) == {}
    assert len(exported.get_finished_spans()) == len(ended.get_finished_spans())


class Status(int, enum.Enum):
    """As `http.HTTPStatus` of Python 3.10: its text is its name."""

    NOT_FOUND = 404


def test_a_status_that_is_a_member_of_an_enumeration_is_counted_by_its_number():
    provider = TracerProvider(shutdown_on_exit=False)
    runtime = runtime_around(provider)
    for name in ("http.response.status_code", "http.status_code"):
        with provider.get_tracer("t").start_as_current_span(
            "GET", kind=SpanKind.SERVER, attributes={name: Status.NOT_FOUND}
        ):
            pass
    (calls,) = (each for each in runtime.store.snapshot() if each.name == "traces_span_metrics_calls")
    assert {labels[5]: row[0] for labels, row in calls.series.items()} == {"404": 2}


class UnspeakableError(Exception):
    def __str__(self):
        raise ValueError("str")


def test_an_exception_whose_text_raises_reaches_the_app_as_it_is_and_is_on_its_span():
    """The SDK's span raises what `str(error)` raises, in place of the app's exception."""
    provider = TracerProvider(shutdown_on_exit=False)
    runtime_around(provider)
    with (
        pytest.raises(UnspeakableError),
        provider.get_tracer("t").start_as_current_span("job", end_on_exit=False) as span,
    ):
        raise UnspeakableError
    assert span.status.description == "UnspeakableError: <unprintable UnspeakableError>"
    (event,) = span.events
    assert event.attributes["exception.message"] == "<unprintable UnspeakableError>"
