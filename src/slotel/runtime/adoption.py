"""Takes over the SDK's providers: measuring before sampling, enforcement before every exporter.

The SDK offers no public way to put a stage *before* processors that stand already, and none at all under
declarative configuration, so this one file reaches into two private names of the SDK (`_active_span_processor`,
`_span_processors`). If a future SDK renames them, exporters keep working without enforcement, and a line says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import AlwaysRecordSampler

from slotel.runtime.logs import LOG


def record_every_span(provider: TracerProvider) -> None:
    """Let sampled-out spans be recorded, so that they are measured; what is shipped does not change."""
    if not isinstance(provider.sampler, AlwaysRecordSampler):
        provider.sampler = AlwaysRecordSampler(provider.sampler)
    for tracer in list(getattr(provider, "_tracers", {}).values()):
        if not isinstance(tracer.sampler, AlwaysRecordSampler):
            tracer.sampler = AlwaysRecordSampler(tracer.sampler)


def put_first(provider: TracerProvider, pipeline: Callable[[Sequence[SpanProcessor]], SpanProcessor]) -> None:
    """Replace the provider's processors by one pipeline that feeds them.

    Args:
        pipeline: makes the pipeline over the processors that stood there.
    """
    active = getattr(provider, "_active_span_processor", None)
    standing = getattr(active, "_span_processors", None)
    if not isinstance(standing, tuple):
        LOG.error("this OpenTelemetry SDK is unknown to slotel: exporters get spans without enforced tags")
        provider.add_span_processor(pipeline(()))
        return
    active._span_processors = (pipeline(standing),)  # type: ignore[union-attr]  # noqa: SLF001 see the module's first lines
