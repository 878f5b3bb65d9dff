"""Takes over the SDK's tracer provider: measuring before sampling, tags and redaction before every exporter.

The SDK has no public way to put a stage before existing processors. So the pipeline replaces the provider's active
processor, and passes spans to the existing processors and to those that are added later. Existing tracers, which the
app may hold, become slotel's own by their `__class__`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.propagate import get_global_textmap, set_global_textmap
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import default_getter
from opentelemetry.sdk.trace import (
    Span,
    SpanProcessor,
    Tracer,
    TracerProvider,
)
from opentelemetry.sdk.version import __version__ as SDK_VERSION  # noqa: N812 a constant

from slotel.runtime.logs import LOG
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.tracing.processor import ProcessorSink, SlotelSpanProcessor
from slotel.runtime.tracing.route_rules import RouteRules
from slotel.runtime.tracing.sampler import RecordEverySpan
from slotel.runtime.upstream.otel.pickling import pickle_by_scope
from slotel.runtime.upstream.otel.provider import (
    active_processor,
    add_to_resource,
    existing_tracers,
    on_ending_of,
    processors_of,
)
from slotel.runtime.upstream.otel.spans import USE_SPAN, adopt, reason_for_sdk_spans
from slotel.version import __version__

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
_DISTRO: Final = "telemetry.distro.name"
MEASURED: Final = "slotel.measured"
"""A resource attribute: its spans are counted where they were made. collector/*.yaml reads it."""


class ActiveProcessor(SpanProcessor):
    """Replaces the SDK's list of processors by the pipeline."""

    def __init__(self, pipeline: SlotelSpanProcessor, enforcer: Enforcer) -> None:
        self._pipeline = pipeline
        self._enforcer = enforcer
        self._endings: tuple[Callable[[Span], None], ...] = ()
        self._apps_own: Any = None
        self._on_ending = id  # type: ignore[method-assign,assignment]  # a call that does nothing: nobody asks to see a span before its end
        self.on_start = pipeline.on_start  # type: ignore[method-assign]  # one call less for each span
        self.on_end = pipeline.on_end  # type: ignore[method-assign]
        self.force_flush = pipeline.force_flush  # type: ignore[method-assign]
        self.shutdown = pipeline.shutdown  # type: ignore[method-assign]

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Add a processor; it receives redacted spans with enforced tags."""
        if self._apps_own is None:
            self.export_to(processor)
        else:
            self._apps_own.add_span_processor(processor)

    def take_over(self, active: Any) -> None:
        """Add the provider's existing processors; those that the app adds to its own list later are added, too."""
        processors = processors_of(active)
        if processors is not None:
            for processor in processors:
                self.export_to(processor)
            active.add_span_processor = self.export_to
        else:  # it calls its processors in a way of its own, as ConcurrentMultiSpanProcessor does
            self._apps_own = active
            self.export_to(active)

    def export_to(self, processor: SpanProcessor) -> None:
        """Pass spans to a processor from now on; any type with a processor's methods will do."""
        self._pipeline.add_sink(ProcessorSink(processor, self._enforcer))
        ending = on_ending_of(processor)
        if ending is not None:
            self._endings += (ending,)
            self._on_ending = self._show_ending  # type: ignore[method-assign]

    def _show_ending(self, span: Span) -> None:
        if span.get_span_context().trace_flags.sampled:
            for ending in self._endings:
                self._pipeline.guard("export", ending, span)


def name_distribution(provider: TracerProvider) -> None:
    """Add the distribution and `slotel.measured` to the resource, so that a collector does not count the spans again.

    Declarative configuration does not read the distribution from the environment. The mark is set last, so that no
    setting of the user removes it.
    """
    named = provider.resource.attributes.get(_DISTRO) is not None
    distribution = {} if named else {_DISTRO: "slotel", "telemetry.distro.version": __version__}
    add_to_resource(provider, {**distribution, MEASURED: True})


class NoPropagation(CompositePropagator):
    """A composite of no propagators, whose `extract` returns a context: that of the SDK's own returns None."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = default_getter) -> Context:
        """Return the context unchanged."""
        del carrier, getter
        return get_current() if context is None else context


def replace_empty_propagator() -> None:
    """Replace a propagator whose `extract` returns None, with which every instrumented request would fail.

    The SDK makes such an empty composite under declarative configuration without a `propagator`.
    """
    if get_global_textmap().extract({}) is None:
        set_global_textmap(NoPropagation([]))


def record_every_span(provider: TracerProvider, rules: RouteRules | None = None) -> None:
    """Record sampled-out spans, so that they are measured; the exported spans do not change.

    Args:
        rules: the rules of slotel.yaml for single routes.
    """
    if not isinstance(provider.sampler, RecordEverySpan):
        provider.sampler = RecordEverySpan(provider.sampler, rules)
    for tracer in existing_tracers(provider):
        if not isinstance(tracer.sampler, RecordEverySpan):
            tracer.sampler = RecordEverySpan(tracer.sampler, rules)


def install_pipeline(
    provider: TracerProvider,
    pipeline: SlotelSpanProcessor,
    enforcer: Enforcer,
    environ: Mapping[str, str] = _EMPTY,
) -> None:
    """Put the pipeline before the provider's processors."""
    active = active_processor(provider)
    if active is None:
        LOG.error(
            "slotel does not know this version of the OpenTelemetry SDK: exporters receive spans without enforced tags"
        )
        provider.add_span_processor(pipeline)
        return
    tracers = existing_tracers(provider)
    name, standing = active
    placed = ActiveProcessor(pipeline, enforcer)
    placed.take_over(standing)
    setattr(provider, name, placed)
    for tracer in tracers:
        tracer.span_processor = placed
    make_spans(provider, placed, tracers, environ)


def make_spans(
    provider: TracerProvider, placed: SpanProcessor, tracers: Sequence[Any], environ: Mapping[str, str]
) -> None:
    """Have the provider's existing and future tracers create slotel's own spans (decision 0070)."""
    pickle_by_scope()
    tracer = provider.get_tracer("slotel")
    if type(tracer) is not Tracer:  # an SDK that is switched off, or a provider with tracers of its own
        return
    reason = reason_for_sdk_spans(environ, tracer)
    if reason is not None:
        LOG.info("slotel uses the OpenTelemetry SDK's spans (%s), which cost more: %s", SDK_VERSION, reason)
        return
    from slotel.runtime.tracing.fast.current_span import use_span
    from slotel.runtime.tracing.fast.tracer import LeanTracer

    USE_SPAN.wrap(trace, lambda _: use_span)

    def made_lean(tracer: Any) -> Any:
        if type(tracer) is Tracer and tracer.span_processor is placed:
            adopt(tracer, LeanTracer)
        return tracer

    given = provider.get_tracer

    @functools.wraps(given)
    def get_tracer(*args: Any, **kwargs: Any) -> Any:
        return made_lean(given(*args, **kwargs))

    provider.get_tracer = get_tracer  # type: ignore[method-assign]
    for tracer in tracers:
        made_lean(tracer)
