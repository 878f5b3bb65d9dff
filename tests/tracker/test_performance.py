"""PerformanceTracker: each kind of function becomes one span, exceptions go through, nothing leaks to the consumer."""

import asyncio
import functools
import inspect
import types

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from slotel.tracker import performance
from slotel.tracker.performance import PerformanceTracker

tracker = PerformanceTracker()


@pytest.fixture
def spans(monkeypatch):
    """Finished spans of a provider of this test's own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(performance.trace, "get_tracer", provider.get_tracer)
    monkeypatch.setattr(performance, "started", lambda: None)
    return exporter.get_finished_spans


def current():
    return trace.get_current_span().get_span_context().span_id


def test_a_function_is_a_span_named_after_it(spans):
    @tracker.track_function
    def load(number):
        return number, current()

    number, inside = load(7)
    (span,) = spans()
    assert number == 7
    assert inside == span.context.span_id
    assert span.kind is SpanKind.INTERNAL
    assert span.name.endswith("load")
    assert span.attributes["code.function.name"].endswith("load")
    assert load.__name__ == "load"


def test_name_and_attributes_are_the_callers(spans):
    @tracker.track_function(name="load order", attributes={"shop": "a"})
    def load():
        return 1

    assert load() == 1
    (span,) = spans()
    assert span.name == "load order"
    assert span.attributes["shop"] == "a"


def test_a_coroutine_function_stays_one_and_is_a_span_until_it_ends(spans):
    @tracker.track_function
    async def load():
        await asyncio.sleep(0)
        return current()

    assert inspect.iscoroutinefunction(load)
    inside = asyncio.run(load())
    assert inside == spans()[0].context.span_id


def test_a_generator_is_one_span_that_is_current_only_inside(spans):
    @tracker.track_function
    def pages():
        yield current()
        received = yield current()
        return received

    generator = pages()
    assert inspect.isgeneratorfunction(pages)
    first = next(generator)
    assert current() == 0
    second = next(generator)
    with pytest.raises(StopIteration) as end:
        generator.send("sent")
    (span,) = spans()
    assert first == second == span.context.span_id
    assert end.value.value == "sent"
    assert current() == 0


def test_a_generator_handles_what_is_thrown_into_it_and_its_close_ends_the_span(spans):
    closed = []

    @tracker.track_function
    def pages():
        try:
            try:
                yield 1
            except KeyError:
                yield 2
        finally:
            closed.append(current())

    generator = pages()
    next(generator)
    assert generator.throw(KeyError("x")) == 2
    generator.close()
    (span,) = spans()
    assert closed == [span.context.span_id]
    assert span.status.status_code is StatusCode.UNSET


def test_an_async_generator_is_one_span_that_is_current_only_inside(spans):
    @tracker.track_function
    async def pages():
        for _ in range(2):
            await asyncio.sleep(0)
            yield current()

    async def consume():
        return [(inside, current()) async for inside in pages()]

    assert inspect.isasyncgenfunction(pages)
    seen = asyncio.run(consume())
    (span,) = spans()
    assert seen == [(span.context.span_id, 0)] * 2


def test_an_async_generator_that_is_left_early_ends_its_span(spans):
    @tracker.track_function
    async def pages():
        yield 1
        yield 2

    async def consume():
        generator = pages()
        await generator.__anext__()
        await generator.aclose()

    asyncio.run(consume())
    assert len(spans()) == 1


def failing_function():
    raise ValueError("no")


async def failing_coroutine():
    raise ValueError("no")


def failing_generator():
    yield 1
    raise ValueError("no")


async def failing_async_generator():
    yield 1
    raise ValueError("no")


async def consume(generator):
    return [each async for each in generator]


@pytest.mark.parametrize(
    ("function", "run"),
    [
        (failing_function, lambda tracked: tracked()),
        (failing_coroutine, lambda tracked: asyncio.run(tracked())),
        (failing_generator, lambda tracked: list(tracked())),
        (failing_async_generator, lambda tracked: asyncio.run(consume(tracked()))),
    ],
)
def test_an_exception_is_recorded_once_and_goes_on(spans, function, run):
    with pytest.raises(ValueError, match="no"):
        run(tracker.track_function(function))
    (span,) = spans()
    assert span.status.status_code is StatusCode.ERROR
    assert [event.attributes["exception.type"] for event in span.events] == ["ValueError"]


def test_a_request_is_a_server_span_and_within_a_request_an_internal_one(spans):
    @tracker.track_request
    def inner():
        return 1

    @tracker.track_request(name="job")
    def outer():
        return inner()

    outer()
    assert [(span.name.rsplit(".")[-1], span.kind) for span in spans()] == [
        ("inner", SpanKind.INTERNAL),
        ("job", SpanKind.SERVER),
    ]


def test_methods_of_every_kind_are_tracked(spans):
    class Shop:
        @tracker.track_function
        def load(self):
            return "load"

        @classmethod
        @tracker.track_function
        def make(cls):
            return cls

        @staticmethod
        @tracker.track_function
        def free():
            return "free"

        @tracker.track_function
        @classmethod
        def of_class(cls):
            return cls

        @tracker.track_function
        @staticmethod
        def of_nothing():
            return "nothing"

    assert (Shop().load(), Shop.make(), Shop.free()) == ("load", Shop, "free")
    assert (Shop.of_class(), Shop().of_class(), Shop.of_nothing()) == (Shop, Shop, "nothing")
    assert len(spans()) == 6


def test_a_property_stays_one_and_is_a_span_whenever_it_is_computed(spans):
    class Shop:
        @tracker.track_function
        @property
        def price(self):
            return 4

        @price.setter
        def price(self, _value):
            raise ValueError("fixed")

        @tracker.track_function(name="rates")
        @functools.cached_property
        def rates(self):
            return 5

        half = tracker.track_function(functools.partialmethod(lambda _shop, number: number, 6))
        unknown = tracker.track_function(7)

    shop = Shop()
    assert (shop.price, shop.price, shop.rates, shop.rates, shop.half(), shop.unknown) == (4, 4, 5, 5, 6, 7)
    with pytest.raises(ValueError, match="fixed"):
        shop.price = 1
    assert [span.name.rpartition(".")[2] for span in spans()] == ["price", "price", "rates", "<lambda>"]


def test_a_generator_that_is_awaited_stays_one(spans):
    @tracker.track_function
    @types.coroutine
    def turn():
        yield
        return trace.get_current_span().get_span_context().is_valid

    async def use():
        return await turn()

    assert asyncio.run(use())
    assert len(spans()) == 1


class Calls:
    def __call__(self):
        return trace.get_current_span().get_span_context().is_valid


class Awaits:
    async def __call__(self):
        return trace.get_current_span().get_span_context().is_valid


async def awaits():
    return trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("track", [tracker.track_function, tracker.track_request])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (Calls(), "Calls"),
        (Awaits(), "Awaits"),
        (functools.partial(awaits), "awaits"),
        (functools.partial(functools.partial(Calls())), "Calls"),
        (Calls().__call__, "Calls.__call__"),
    ],
)
def test_whatever_can_be_called_is_tracked_while_it_runs(spans, track, function, name):
    tracked = track(function)
    called = tracked()
    assert asyncio.run(called) if asyncio.iscoroutine(called) else called
    assert [span.name for span in spans()] == [name]


def test_a_class_and_a_method_of_c_are_tracked(spans):
    assert tracker.track_function(dict)(a=1) == {"a": 1}
    assert tracker.track_function(str.upper)("tea") == "TEA"
    assert [span.name for span in spans()] == ["dict", "str.upper"]


def test_a_text_in_the_place_of_the_function_is_the_name(spans):
    assert tracker.track_function("by name")(lambda: 4)() == 4
    assert tracker.track_request("by name", attributes={"a": 1})(lambda: 4)() == 4
    assert [span.name for span in spans()] == ["by name", "by name"]
