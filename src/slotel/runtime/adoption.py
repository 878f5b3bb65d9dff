"""Takes over the SDK's providers: measuring before sampling, enforcement before every exporter.

The SDK offers no public way to put a stage before processors that stand already, and none at all under
declarative configuration. So this one file replaces the provider's `_active_span_processor`, a private name of the
SDK, by the pipeline, which feeds the processors that stood there and those that are added later. If a future SDK
renames it, spans are still measured, exporters keep working without enforcement, and a line says so. The other private
name, `_update_resource`, is the SDK's own way to change a resource after a fork.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.context import Context, get_current
from opentelemetry.propagate import get_global_textmap, set_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from slotel.runtime.enforce import Enforcer
from slotel.runtime.logs import LOG
from slotel.runtime.pipeline import Pipeline, ProcessorSink
from slotel.runtime.sampler import RecordEverySpan
from slotel.version import __version__

_DISTRO: Final = "telemetry.distro.name"


class ActiveProcessor(SpanProcessor):
    """The pipeline in the place of the SDK's list of processors."""

    def __init__(self, pipeline: Pipeline, enforcer: Enforcer) -> None:
        self._pipeline = pipeline
        self._enforcer = enforcer
        self.on_start = pipeline.on_start  # type: ignore[method-assign]  # one call less for each span
        self.on_end = pipeline.on_end  # type: ignore[method-assign]
        self.force_flush = pipeline.force_flush  # type: ignore[method-assign]
        self.shutdown = pipeline.shutdown  # type: ignore[method-assign]

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Feed a processor that the app adds: it gets enforced copies, as every other."""
        self._pipeline.add_sink(ProcessorSink(processor, self._enforcer))


def name_distribution(provider: TracerProvider) -> None:
    """Say in the resource that slotel measures: a collector must not count these spans again.

    The environment says it too, but declarative configuration does not read that.
    """
    update = getattr(provider, "_update_resource", None)
    if provider.resource.attributes.get(_DISTRO) is None and callable(update):
        update(Resource({_DISTRO: "slotel", "telemetry.distro.version": __version__}))


class NoPropagation(TextMapPropagator):
    """Carries nothing, and keeps the context that stands."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = default_getter) -> Context:
        """Return the context as it stands."""
        del carrier, getter
        return get_current() if context is None else context

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        """Write nothing."""

    @property
    def fields(self) -> set[str]:
        """Return no field."""
        return set()


def mend_propagation() -> None:
    """Replace a propagator that answers None: with it every instrumented request of the app would fail.

    The SDK makes one under declarative configuration without a `propagator`: a composite of none.
    """
    if get_global_textmap().extract({}) is None:
        set_global_textmap(NoPropagation())


def record_every_span(provider: TracerProvider) -> None:
    """Let sampled-out spans be recorded, so that they are measured; what is shipped does not change."""
    if not isinstance(provider.sampler, RecordEverySpan):
        provider.sampler = RecordEverySpan(provider.sampler)
    for tracer in list(getattr(provider, "_tracers", {}).values()):
        if not isinstance(tracer.sampler, RecordEverySpan):
            tracer.sampler = RecordEverySpan(tracer.sampler)


def put_first(provider: TracerProvider, pipeline: Pipeline, enforcer: Enforcer) -> None:
    """Put the pipeline before the provider's processors: it feeds them from now on."""
    active = getattr(provider, "_active_span_processor", None)
    standing = getattr(active, "_span_processors", None)
    if not isinstance(standing, tuple):
        LOG.error("this OpenTelemetry SDK is unknown to slotel: exporters get spans without enforced tags")
        provider.add_span_processor(pipeline)
        return
    for processor in standing:
        pipeline.add_sink(ProcessorSink(processor, enforcer))
    placed = ActiveProcessor(pipeline, enforcer)
    provider._active_span_processor = placed  # type: ignore[assignment]  # noqa: SLF001 see the module's first lines
    for tracer in list(getattr(provider, "_tracers", {}).values()):
        tracer.span_processor = placed
