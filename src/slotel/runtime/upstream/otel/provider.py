"""Private names of the SDK's tracer provider: its processors, tracers, resource, and set-up from the environment."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from slotel.runtime.upstream.probe import SLOWER, Probe

_PROVIDER: Final = "opentelemetry.sdk.trace:TracerProvider"
_ACTIVE: Final = Probe(
    _PROVIDER, "_active_span_processor",
    why="the pipeline is put before every exporter",
    without="the provider's one attribute that is a span processor is taken",
    level=SLOWER,
)  # fmt: skip
_TRACERS: Final = Probe(
    _PROVIDER, "_tracers",
    why="tracers that were made before slotel started are measured, too",
    without="they are looked for among all objects, once",
    level=SLOWER,
)  # fmt: skip
_RESOURCE: Final = Probe(
    _PROVIDER, "_update_resource",
    why="the resource says that slotel measures, so that a collector does not count the same spans again",
    without="a collector counts this service's spans again unless OTEL_RESOURCE_ATTRIBUTES has slotel.measured=true",
)  # fmt: skip
_PROCESSORS: Final = Probe(
    "opentelemetry.sdk.trace:SynchronousMultiSpanProcessor", "_span_processors",
    why="each processor that the provider calls is called by the pipeline",
    without="they are called together: a processor that fails hides the others' faults",
    level=SLOWER,
)  # fmt: skip
_ON_ENDING: Final = Probe(
    "opentelemetry.sdk.trace:SpanProcessor", "_on_ending",
    why="a processor that asks for it sees each span before its end",
    without="processors are not asked before a span ends",
)  # fmt: skip
ROOT_SAMPLER: Final = Probe(
    "opentelemetry.sdk.trace.sampling:ParentBased", "_root",
    why="a root span asks the sampler that ParentBased would ask in the end",
    without="each root span asks ParentBased",
    level=SLOWER,
)  # fmt: skip
_CONFIGURATOR: Final = Probe(
    "opentelemetry.sdk._configuration", "_OTelSDKConfigurator",
    why="sets the SDK up from the environment, as `opentelemetry-instrument` does for everybody",
    without="the SDK has its defaults and no exporter: nothing is sent by OTLP; Prometheus and Sentry have everything",
)  # fmt: skip


def active_processor(provider: TracerProvider) -> tuple[str, Any] | None:
    """Return the name and value of the attribute that holds what the provider calls for each span; None if unknown."""
    found = _ACTIVE.of(provider)
    if found is not None:
        return _ACTIVE.name, found
    held = [(name, value) for name, value in vars(provider).items() if isinstance(value, SpanProcessor)]
    return held[0] if len(held) == 1 else None


def existing_tracers(provider: TracerProvider) -> list[Any]:
    """Return the tracers that the provider has made, which libraries may hold already."""
    known = _TRACERS.of(provider)
    if isinstance(known, dict):
        return list(known.values())
    found = active_processor(provider)
    return [
        each
        for each in gc.get_objects()
        if issubclass(type(each), Tracer)  # `isinstance` would wake lazy objects of the app
        and found is not None
        and getattr(each, "span_processor", None) is found[1]
    ]


def processors_of(active: Any) -> Sequence[SpanProcessor] | None:
    """Return the processors that the SDK's own list calls in turn; None where they are called in another way."""
    return _PROCESSORS.of(active) if type(active) is SynchronousMultiSpanProcessor else None


def add_to_resource(provider: TracerProvider, attributes: dict[str, Any]) -> None:
    """Add attributes to the resource of a provider and of its tracers, as the SDK does after a fork."""
    update = _RESOURCE.of(provider)
    if callable(update):
        update(Resource(attributes))


_NOTHING: Final = tuple(
    getattr(kind, _ON_ENDING.name, None) for kind in (SpanProcessor, BatchSpanProcessor, SimpleSpanProcessor)
)
"""A call that does nothing still costs each span."""


def on_ending_of(processor: Any) -> Any:
    """Return what a processor does before a span ends; None if it does nothing."""
    if _ON_ENDING.of(SpanProcessor) is None or getattr(type(processor), _ON_ENDING.name, None) in _NOTHING:
        return None
    method = getattr(processor, _ON_ENDING.name, None)
    return method if callable(method) else None


def configure_from_environment(**kwargs: Any) -> None:
    """Set the SDK up; its constructor keeps one instance for all subclasses, so it is not called.

    Args:
        kwargs: what `opentelemetry-instrument` gives to a configurator.
    """
    configurator = _CONFIGURATOR.load()
    if configurator is not None:
        object.__new__(configurator)._configure(**kwargs)  # noqa: SLF001 what `opentelemetry-instrument` would call
