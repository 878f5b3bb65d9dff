"""Real spans through the real pipeline into a Sentry sink: what each test of this directory starts from."""

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, AlwaysRecordSampler, Sampler

from slotel.model.tags import TagPolicy
from slotel.runtime.enforce import Enforcer
from slotel.runtime.entries import Entries
from slotel.runtime.stage import Sink

RESOURCE = Resource({"service.name": "checkout"})


def enforcer(policy: TagPolicy | None = None) -> Enforcer:
    return Enforcer(policy or TagPolicy(), lambda tag, action: None)


class Through(SpanProcessor):
    """The pipeline's order of calls, unguarded: a fault of a sink fails the test."""

    def __init__(self, sink: Sink, entries: Entries | None = None) -> None:
        self.sink = sink
        self.entries = entries or Entries()
        self.tags: dict[str, str] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        entry = self.entries.open(span)
        entry.tags.update(self.tags)
        self.sink.on_start(span, entry, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self.sink.on_end(span, self.entries.close(span.context.span_id))


def provider(
    *sinks: Sink,
    sampler: Sampler = ALWAYS_ON,
    resource: Resource = RESOURCE,
    tags: Mapping[str, str] | None = None,
) -> TracerProvider:
    """Return a provider whose spans go to the sinks, all recorded, sampled as the sampler says."""
    made = TracerProvider(sampler=AlwaysRecordSampler(sampler), resource=resource, shutdown_on_exit=False)
    for sink in sinks:
        through = Through(sink)
        through.tags.update(tags or {})
        made.add_span_processor(through)
    return made


class Losses:
    """Counts what is reported as dropped."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}

    def __call__(self, signal: str, reason: str, count: int) -> None:
        self.counts[signal, reason] = self.counts.get((signal, reason), 0) + count


Trace = Callable[[TracerProvider], Any]
