"""The end of a span: counted once whoever else ends it, and done before any other thread runs."""

import subprocess
import sys
import textwrap

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from slotel.runtime.tracing.fast.span import LeanSpan
from support.adopted import runtime_around


def calls(runtime):
    (found,) = [each for each in runtime.store.snapshot() if each.name == "traces_span_metrics_calls"]
    return sum(row[0] for row in found.series.values())


def test_a_span_that_is_ended_in_the_middle_of_its_end_is_counted_once():
    """By another thread or by a signal handler: at each step of the interpreter in turn."""
    provider = TracerProvider()
    runtime = runtime_around(provider)
    tracer = provider.get_tracer("t")
    code, steps, spans = LeanSpan.end.__code__, 0, 0

    def end_at(step, span):
        seen = 0

        def trace(frame, event, _arg):
            nonlocal seen
            if frame.f_code is not code:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                seen += 1
                if seen == step:
                    span.end()
            return trace

        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for it when tracing begins
        sys.settrace(trace)
        try:
            span.end()
        finally:
            sys.settrace(before)
        return seen

    while spans == 0 or steps >= spans:
        spans += 1
        span = tracer.start_span("work", kind=SpanKind.SERVER)
        assert type(span) is LeanSpan
        steps = max(steps, end_at(spans, span))
        assert calls(runtime) == spans, f"ended at step {spans}"
    assert spans > 10


FUTURE = """
import os, sys, threading, time
os.environ.update(OTEL_SERVICE_NAME="x", OTEL_EXPORTER_PROMETHEUS_PORT="0", OTEL_TRACES_EXPORTER="none",
                  SENTRY_DSN="http://k@127.0.0.1:9/1", SENTRY_TRACES_SAMPLE_RATE="1.0")
from slotel.runtime.bootstrap import start
start(os.environ)
from opentelemetry import trace
from opentelemetry.trace import SpanKind
tracer = trace.get_tracer("x")
for kind in (SpanKind.SERVER, SpanKind.CLIENT):                 # what is imported and started with the first
    tracer.start_span("first", kind=kind).end()
time.sleep(0.5)
sys.setswitchinterval(60)                                       # a thread gives way only where it waits
before = []

def is_first(kind):
    asked, done = threading.Lock(), threading.Lock()
    asked.acquire(), done.acquire()
    order = []

    def result():
        asked.acquire()
        order.append("result")
        done.release()

    waiting = threading.Thread(target=result)
    waiting.start()
    time.sleep(0.05)
    span = tracer.start_span("call", kind=kind)
    asked.release()
    span.end()
    order.append("end")
    done.acquire()
    waiting.join()
    return order[0] == "end"

print([is_first(kind) for _ in range(10) for kind in (SpanKind.SERVER, SpanKind.CLIENT)].count(True), flush=True)
os._exit(0)
"""


def test_a_span_that_ends_in_a_callback_of_a_future_has_ended_when_its_result_is_read():
    """gRPC's client ends it after the result is there: only that no other thread runs meanwhile makes its span seen."""
    seen: list[int] = []
    while max(seen, default=0) < 18 and len(seen) < 3:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(FUTURE)], capture_output=True, text=True, timeout=170
        )
        seen.append(int(done.stdout))
    assert max(seen) >= 18, (seen, done.stderr)
