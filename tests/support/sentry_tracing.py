"""Real spans through the real pipeline into a Sentry sink: what each test of this directory starts from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sentry_sdk
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from slotel.cli.sink.server import SentrySink
from slotel.config.sampling import Keep
from slotel.config.service import DEFAULT_KEEP
from slotel.config.tags import TagPolicy
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.sentry.transactions.assembly import Assembly
from slotel.runtime.sentry.transactions.keep_policy import KeepPolicy
from slotel.runtime.sentry.transactions.sink import TransactionsSink
from slotel.runtime.sentry.transactions.worker import Worker
from slotel.runtime.sentry.transport.client_transport import ClientTransport
from slotel.runtime.sentry.transport.completion import EnvelopeCompletion
from slotel.runtime.sentry.transport.endpoint import Endpoint
from slotel.runtime.sentry.transport.sender import Sender
from slotel.runtime.tracing.sampler import RecordEverySpan
from slotel.runtime.tracing.sink import Sink

RESOURCE = Resource({"service.name": "checkout"})


def enforcer(policy: TagPolicy | None = None) -> Enforcer:
    return Enforcer(policy or TagPolicy(), lambda tag, action: None)


class Through(SpanProcessor):
    """The pipeline's order of calls, unguarded: a fault of a sink fails the test."""

    def __init__(self, sink: Sink, open_spans: OpenSpans | None = None) -> None:
        self.sink = sink
        self.open_spans = open_spans or OpenSpans()
        self.tags: dict[str, str] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        local_root = self.open_spans.open(span)
        local_root.tags.update(self.tags)
        self.sink.on_start(span, local_root, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self.sink.on_end(span, self.open_spans.close(span.context.span_id))

    def shutdown(self) -> None:
        self.sink.shutdown()


def provider(
    *sinks: Sink,
    sampler: Sampler = ALWAYS_ON,
    resource: Resource = RESOURCE,
    tags: Mapping[str, str] | None = None,
) -> TracerProvider:
    """Return a provider whose spans go to the sinks, all recorded, sampled as the sampler says."""
    made = TracerProvider(sampler=RecordEverySpan(sampler), resource=resource, shutdown_on_exit=False)
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


def client(dsn: str, **options: Any) -> sentry_sdk.Client:
    """Return a client of sentry-sdk that only slotel uses."""
    return sentry_sdk.Client(dsn=dsn, default_integrations=False, auto_session_tracking=False, **options)


def transport_class(losses: Losses, **sender: Any) -> Any:
    """Return slotel's transport of a client, with a quick sender."""

    class Made(ClientTransport):
        def __init__(self, options: dict[str, Any]) -> None:
            made = Sender(Endpoint(options["dsn"], options), losses)
            vars(made).update({"first_wait": 0.05, **sender})
            completion = EnvelopeCompletion(enforcer().item, enforcer().headers)
            super().__init__(options, made, completion=completion, counted=lambda _: None)

    return Made


@contextmanager
def shipping(sentry: SentrySink, **how: Any) -> Iterator[tuple[TransactionsSink, Losses]]:
    """A transactions sink with quick timers; see `connected`."""
    with connected(sentry, **how) as (_, sink, losses):
        yield sink, losses


@contextmanager
def connected(
    sentry: SentrySink,
    *,
    policy: TagPolicy | None = None,
    worker: Mapping[str, float] | None = None,
    sender: Mapping[str, Any] | None = None,
    keep: tuple[Keep, ...] = DEFAULT_KEEP,
    keep_per_minute: int = 60,
    rate: float | None = 1.0,
    flush_time: float = 2.0,
    calls_are_roots: bool = True,
    **options: Any,
) -> Iterator[tuple[sentry_sdk.Client, TransactionsSink, Losses]]:
    """A client and a transactions sink that share a sender, wired as `transactions_sink` wires them, with quick timers."""
    losses = Losses()
    made = client(sentry.dsn(), transport=transport_class(losses, **(sender or {})), **options)
    posting = made.transport.sender
    keeper = KeepPolicy(keep, keep_per_minute)
    assembly = Assembly(
        client=made,
        enforcer=enforcer(policy),
        endpoint=posting.endpoint,
        keeper=keeper,
        sample_rate=rate,
        dropped=posting.lost,
    )
    running = Worker(assembly, posting, losses, late_wait=0.05)
    vars(running).update({"interval": 0.02, **(worker or {})})
    sink = TransactionsSink(
        keeper,
        running,
        losses,
        flush_time=flush_time,
        calls_are_roots=calls_are_roots,
    )
    try:
        yield made, sink, losses
    finally:
        sink.shutdown()
        made.close(timeout=0)
