"""What the app's author writes for each variant: Sentry, processors, child spans. Imports only what that needs."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from contextlib import AbstractContextManager

KIND = os.environ.get("BENCH_KIND", "bare")
CHILDREN = 10


def install() -> None:
    """Set up what comes before the app object."""
    # the same in every variant: SIGTERM runs the exit handlers, so that everything can be flushed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGUSR1, lambda *_: gc.collect())
    if KIND == "native":
        _sentry()
    if KIND == "stock":
        _sentry(instrumenter="otel")
        from opentelemetry.propagate import set_global_textmap
        from sentry_sdk.integrations.opentelemetry import SentryPropagator, SentrySpanProcessor

        _provider().add_span_processor(SentrySpanProcessor())
        set_global_textmap(SentryPropagator())
    if KIND in ("otel", "stock", "slotel"):
        _batch_into_nothing()


def _sentry(**more: str) -> None:
    import sentry_sdk

    sentry_sdk.init(traces_sample_rate=float(os.environ["SENTRY_TRACES_SAMPLE_RATE"]), **more)


def _provider():
    from opentelemetry import trace

    return trace.get_tracer_provider()


def _batch_into_nothing() -> None:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nothing(SpanExporter):
        def export(self, spans):
            del spans
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None: ...

    _provider().add_span_processor(BatchSpanProcessor(Nothing()))


def child_maker():
    """Return a function from a number to the context manager of one child span."""
    if KIND == "native":
        import sentry_sdk

        def native(number: int) -> AbstractContextManager:
            span = sentry_sdk.start_span(op="bench.step", name="step")
            span.set_data("step", number)
            return span

        return native
    from opentelemetry import trace

    tracer = trace.get_tracer("bench")
    return lambda number: tracer.start_as_current_span("step", attributes={"step": number})


def announce(port: int) -> None:
    """Tell the harness where the app listens."""
    print(json.dumps({"port": port}), flush=True)
