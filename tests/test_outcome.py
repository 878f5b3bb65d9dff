"""An outcome said in code."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from slotel import outcome
from slotel.config.service import read_service
from slotel.runtime import bootstrap, state
from slotel.runtime.tracing.provider import install_pipeline, record_every_span


@pytest.fixture
def runtime(monkeypatch):
    provider = TracerProvider()
    runtime = bootstrap._build(read_service({}).service, {"service.name": "shop"})
    record_every_span(provider)
    runtime.pipeline = bootstrap._pipeline(runtime)
    install_pipeline(provider, runtime.pipeline, runtime.enforcer)
    monkeypatch.setattr(state, "RUNNING", [runtime])
    return runtime, provider.get_tracer("t")


def counted(runtime):
    (events,) = [family for family in runtime.store.snapshot() if family.name == "slo_events"]
    return {values[-1]: row[0] for values, row in events.series.items()}


@pytest.mark.parametrize(
    ("mark", "status", "expected"),
    [
        (outcome.mark_good, 500, {"good": 1, "bad": 0, "excluded": 0}),
        (outcome.mark_bad, 200, {"good": 0, "bad": 1, "excluded": 0}),
        (outcome.exclude, 500, {"good": 0, "bad": 0, "excluded": 1}),
    ],
)
def test_a_mark_deep_inside_a_request_decides_its_outcome(runtime, mark, status, expected):
    running, tracer = runtime
    attributes = {"http.response.status_code": status}
    request = tracer.start_as_current_span("GET /", kind=SpanKind.SERVER, attributes=attributes)
    with request, tracer.start_as_current_span("deep inside"):
        mark()
    assert counted(running) == expected


def test_without_a_span_a_mark_does_nothing():
    assert not trace.get_current_span().is_recording()
    outcome.mark_bad()
