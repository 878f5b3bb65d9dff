"""Taskiq's and FastStream's jobs, on doubles of their modules: what came of each, on the span that their instrumentation made or on slotel's."""

import asyncio
import sys
from types import ModuleType

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from slotel.runtime.requests.decision import row_of
from slotel.runtime.requests.in_progress import InProgress
from slotel.runtime.requests.jobs import Jobs
from slotel.runtime.upstream.jobs.jobs import JobWatch
from slotel.runtime.upstream.jobs.libraries import RUNNERS

OWN = {"taskiq.receiver.receiver", "faststream._internal.endpoint.subscriber.usecase"}


class NoResultError(Exception):
    """What a task of taskiq raises that was put into the queue again."""


class Message:
    task_name, task_id, labels = "shop:pay", "7", {}


class AsyncKicker:
    def __init__(self, task_id):
        self.custom_task_id = task_id

    def _prepare_message(self):
        """Taskiq's name."""


class TaskiqResult:
    def __init__(self, *, error=None):
        self.error = error


class Receiver:
    async def run_task(self, target, message):
        try:
            target()
        except Exception as error:
            result = TaskiqResult(error=error)
            retries = getattr(error, "retries", None)
            if retries is not None:
                AsyncKicker(retries)._prepare_message()
            return result
        return TaskiqResult()


class IgnoredException(Exception):  # noqa: N818 its name
    """FastStream's base of what stops or rejects."""


class SubscriberUsecase:
    _broker_middlewares = ()
    specification = type("Specification", (), {"call_name": "Pay"})

    async def process_message(self, target):
        target()


@pytest.fixture
def spans(monkeypatch):
    """Spans that ended, of a service that watches the doubles."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    doubles = {
        "taskiq.kicker": [AsyncKicker], "taskiq.receiver.receiver": [Receiver, TaskiqResult],
        "faststream._internal.endpoint.subscriber.usecase": [SubscriberUsecase],
    }  # fmt: skip
    faults = []
    for name, classes in doubles.items():
        module = ModuleType(name)
        for each in classes:
            setattr(module, each.__name__, type(each.__name__, (each,), dict(vars(each))))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(
        sys.modules[__name__], "TaskiqResult", sys.modules["taskiq.receiver.receiver"].TaskiqResult
    )
    monkeypatch.setattr(sys.modules[__name__], "AsyncKicker", sys.modules["taskiq.kicker"].AsyncKicker)
    watch = JobWatch([], Jobs(lambda: None, InProgress(lambda _list: False, list)).serve, faults.append)
    for runner in RUNNERS:
        if runner.module in OWN:
            watch._patch(runner, sys.modules[runner.module])
    yield exporter
    assert faults == []


def raises(error, retries=None):
    def target():
        error.retries = retries
        raise error

    return target


def run(library, target):
    """Run a job; return nothing, whatever it raises: FastStream's caller has logged it."""
    if library == "taskiq":
        asyncio.run(sys.modules["taskiq.receiver.receiver"].Receiver().run_task(target, Message()))
        return
    usecase = sys.modules["faststream._internal.endpoint.subscriber.usecase"].SubscriberUsecase()
    try:
        asyncio.run(usecase.process_message(target))
    except Exception:
        return


@pytest.mark.parametrize("inside", [True, False], ids=["instrumented", "not instrumented"])
@pytest.mark.parametrize(
    ("library", "target", "outcome"),
    [
        ("taskiq", dict, "good"),
        ("taskiq", raises(ValueError()), "bad"),
        ("taskiq", raises(ValueError(), "7"), "excluded"),
        ("taskiq", raises(ValueError(), "another task's"), "bad"),
        ("taskiq", raises(NoResultError()), "excluded"),
        ("faststream", dict, "good"),
        ("faststream", raises(ValueError()), "bad"),
        ("faststream", raises(IgnoredException()), "excluded"),
    ],
)
def test_a_failure_is_bad_a_run_that_will_be_repeated_and_an_instruction_are_excluded(
    spans, library, target, outcome, inside
):
    if inside:
        with trace.get_tracer("its own").start_as_current_span("receive", kind=SpanKind.CONSUMER):
            run(library, target)
    else:
        run(library, target)
    (span,) = spans.get_finished_spans()
    assert (span.kind, row_of(span).outcome) == (SpanKind.CONSUMER, outcome)
    assert span.name == ("receive" if inside else "shop:pay" if library == "taskiq" else "Pay")


def test_faststreams_own_telemetry_makes_the_span(spans, monkeypatch):
    own = type("RabbitTelemetryMiddleware", (), {})()
    monkeypatch.setattr(SubscriberUsecase, "_broker_middlewares", (own,))
    module = sys.modules["faststream._internal.endpoint.subscriber.usecase"]
    monkeypatch.setattr(module.SubscriberUsecase, "_broker_middlewares", (own,))
    run("faststream", dict)
    assert spans.get_finished_spans() == ()
