"""Each private name of another project is taken away in turn: counted exactly, nothing unredacted leaves, and said."""

import subprocess
import sys

import pytest

APP = """
import os, sys
os.environ.update(OTEL_SERVICE_NAME="x", OTEL_METRICS_EXPORTER="none", SLOTEL_HANDLE_SIGTERM="false")
{before}
import opentelemetry.sdk.trace as sdk
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
provider, exporter = sdk.TracerProvider(), InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
early = trace.get_tracer("early")
{taken}
from slotel.runtime.bootstrap import start
runtime = start(os.environ)
for tracer in (early, trace.get_tracer("late")):
    tracer.start_span("x", attributes={{"password": "geheim"}}).end()
counted = [sum(cells[-1] if hasattr(cells, "__getitem__") else cells for cells in family.series.values())
           for family in runtime.store.snapshot() if family.name == "traces_span_metrics_calls"]
faults = [dict(family.series) for family in runtime.store.snapshot() if family.name == "slotel_stage_errors" and family.series]
exported = [dict(span.attributes) for span in exporter.get_finished_spans()]
print("counted", counted, "exported", len(exported), "secret", "geheim" in str(exported), "kind", type(trace.get_tracer("t").start_span("y")).__name__, "faults", faults)
"""

HIDE = "import slotel.runtime.upstream.otel_provider as room; room.{name}.name = '_gone'"
"""As if the SDK had renamed it; to rename it in the SDK itself would break the SDK."""
NO_TUPLE = """
import dataclasses, opentelemetry.trace as api, opentelemetry.trace.span as span
@dataclasses.dataclass(frozen=True)
class SpanContext:
    trace_id: int
    span_id: int
    is_remote: bool = False
    trace_flags: object = span.TraceFlags(0)
    trace_state: object = dataclasses.field(default_factory=span.TraceState)
    @property
    def is_valid(self):
        return bool(self.trace_id and self.span_id)
for module in (api, span):
    module.SpanContext = SpanContext
    module.INVALID_SPAN._context = SpanContext(0, 0)
"""

CASES = {
    "nothing": ("", "", "LeanSpan", ""),
    "TracerProvider._tracers": ("", HIDE.format(name="_TRACERS"), "LeanSpan", ""),
    "TracerProvider._active_span_processor": ("", HIDE.format(name="_ACTIVE"), "LeanSpan", ""),
    "the layout of SpanContext": (NO_TUPLE, "", "_Span", "another layout"),
    "the code that own spans imitate": (
        "import slotel.runtime.upstream.otel_spans as room; room.TESTED = frozenset()",
        "",
        "_Span",
        "has changed in this release",
    ),
    "own spans, by hand": ("os.environ['SLOTEL_SPANS'] = 'sdk'", "", "_Span", "SLOTEL_SPANS=sdk"),
    "the GIL": ("sys._is_gil_enabled = lambda: False", "", "_Span", "the GIL is disabled"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_taken_away_costs_no_count_and_no_secret(name):
    before, taken, kind, line = CASES[name]
    done = subprocess.run(
        [sys.executable, "-c", APP.format(before=before, taken=taken)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"exported 2 secret False kind {kind} faults []" in done.stdout, done.stdout + done.stderr
    assert done.stdout.startswith("counted [2"), done.stdout
    assert line in done.stderr
