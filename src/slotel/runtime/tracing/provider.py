"""Takes over the SDK's providers: measuring before sampling, enforcement before every exporter.

The SDK offers no public way to put a stage before processors that stand already, and none at all under declarative
configuration. So the provider's own processor is replaced by the pipeline, which feeds the processors that stood there
and those that are added later; `upstream/otel/provider.py` knows where it is held. Tracers become slotel's own by their
`__class__`: those that stand are held by whoever asked for them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.context import Context, get_current
from opentelemetry.propagate import get_global_textmap, set_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
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
from slotel.runtime.upstream.otel.provider import (
    active_processor,
    add_to_resource,
    on_ending_of,
    processors_of,
    standing_tracers,
)
from slotel.runtime.upstream.otel.spans import adopt, shorten, why_not
from slotel.version import __version__

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
_DISTRO: Final = "telemetry.distro.name"
MEASURED: Final = "slotel.measured"
"""A resource attribute: its spans are counted where they were made. collector/*.yaml reads it."""


class ActiveProcessor(SpanProcessor):
    """The pipeline in the place of the SDK's list of processors."""

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
        """Feed a processor, one that stood there or that the app adds: each gets enforced spans."""
        if self._apps_own is None:
            self.feed(processor)
        else:
            self._apps_own.add_span_processor(processor)

    def take_over(self, active: Any) -> None:
        """Feed what the provider fed; what the app adds to its own list of processors later is fed, too."""
        processors = processors_of(active)
        if processors is not None:
            for processor in processors:
                self.feed(processor)
            active.add_span_processor = self.feed
        else:  # it calls its processors in a way of its own, as ConcurrentMultiSpanProcessor does
            self._apps_own = active
            self.feed(active)

    def feed(self, processor: SpanProcessor) -> None:
        """Feed a processor from now on; it may be of any type that answers the calls."""
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
    """Say in the resource that slotel measures: a collector must not count these spans again.

    The environment names the distribution too, but declarative configuration does not read that, and a user may name
    another. The mark is set last: nothing that a user sets removes it.
    """
    named = provider.resource.attributes.get(_DISTRO) is not None
    distribution = {} if named else {_DISTRO: "slotel", "telemetry.distro.version": __version__}
    add_to_resource(provider, {**distribution, MEASURED: True})


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


def replace_empty_propagator() -> None:
    """Replace a propagator that answers None: with it every instrumented request of the app would fail.

    The SDK makes one under declarative configuration without a `propagator`: a composite of none.
    """
    if get_global_textmap().extract({}) is None:
        set_global_textmap(NoPropagation())


def record_every_span(provider: TracerProvider, rules: RouteRules | None = None) -> None:
    """Let sampled-out spans be recorded, so that they are measured; what is exported does not change.

    Args:
        rules: what the service's file says of single routes.
    """
    if not isinstance(provider.sampler, RecordEverySpan):
        provider.sampler = RecordEverySpan(provider.sampler, rules)
    for tracer in standing_tracers(provider):
        if not isinstance(tracer.sampler, RecordEverySpan):
            tracer.sampler = RecordEverySpan(tracer.sampler, rules)


def install_pipeline(
    provider: TracerProvider,
    pipeline: SlotelSpanProcessor,
    enforcer: Enforcer,
    environ: Mapping[str, str] = _EMPTY,
) -> None:
    """Put the pipeline before the provider's processors: it feeds them from now on."""
    active = active_processor(provider)
    if active is None:
        LOG.error("this OpenTelemetry SDK is unknown to slotel: exporters get spans without enforced tags")
        provider.add_span_processor(pipeline)
        return
    tracers = standing_tracers(provider)
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
    """Let the provider's tracers, those that stand and those to come, make slotel's own spans (0070)."""
    tracer = provider.get_tracer("slotel")
    if type(tracer) is not Tracer:  # an SDK that is switched off, or a provider with tracers of its own
        return
    reason = why_not(environ, tracer)
    if reason is not None:
        LOG.info("spans are the OpenTelemetry SDK's own (%s), which cost more: %s", SDK_VERSION, reason)
        return
    from slotel.runtime.tracing.fast.current_span import use_span
    from slotel.runtime.tracing.fast.tracer import LeanTracer

    shorten(use_span)

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
