"""The components around the span processor: Sentry, servers, jobs, workers, OTLP metrics, shutdown.

Each is started separately; if one fails, only that one is disabled.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanContext

from slotel.runtime.finding import log
from slotel.runtime.logs import LOG
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.process.shutdown import FlushHook, ShutdownFlusher, flush_time
from slotel.runtime.state import Runtime
from slotel.runtime.tracing.sink import Sink
from slotel.runtime.upstream.otel.logs import flush_logs, logger_provider, redact_before_processors

if TYPE_CHECKING:
    from slotel.runtime.sentry.client.client import SentryConnection


def connect_sentry(runtime: Runtime, environ: MutableMapping[str, str]) -> None:
    """Send errors and spans to Sentry, if there is a DSN; if not, only the first of several processes logs that."""
    from slotel.runtime.checks.start import not_yet_logged
    from slotel.runtime.sentry import propagation
    from slotel.runtime.sentry.client.client import SentryDependencies, init_options, start_client

    settings, self_metrics = runtime.service.sentry, runtime.self_metrics
    parts = SentryDependencies(
        open_spans=runtime.open_spans,
        tags=runtime.enforcer.tags,
        redact=runtime.recent_errors.noted(runtime.enforcer.item),
        redact_headers=runtime.enforcer.headers,
        counted=self_metrics.sentry_error,
        expected=self_metrics.expect_sentry_errors,
        dropped=self_metrics.dropped,
        error_detail=settings.error_detail,
        logs=settings.logs,
        native_names=settings.transaction_names == "native",
        profiles=settings.mode in ("transactions", "sdk"),
        holds_calls=settings.mode != "transactions" or not (settings.keep and settings.keep_per_minute),
        sampling=lambda span: _baggage(runtime, span),
        options=init_options(settings),
    )
    connection = start_client(
        settings,
        runtime.resource,
        parts,
        lambda later: _use_sentry(runtime, later),
        lambda findings: log(not_yet_logged(findings, environ)),
    )
    if connection is not None:
        _use_sentry(runtime, connection)
    rate = settings.traces_sample_rate
    propagation.install(
        environ.get("OTEL_PROPAGATORS", "") or environ.get("OTEL_CONFIG_FILE", ""),
        1.0 if rate is None else rate,
        lambda span: _baggage(runtime, span),
        lambda: runtime.sentry,
    )


def _baggage(runtime: Runtime, span: SpanContext) -> Mapping[str, str]:
    from slotel.runtime.sentry.transactions.sampling_context import head_context

    if runtime.sentry is None:
        return {}
    settings = runtime.service.sentry
    return head_context(
        runtime.open_spans.of(span.span_id),
        span,
        public_key=runtime.sentry.destination.public_key,
        org_id=runtime.sentry.organization,
        options=runtime.sentry.client.options,
        sample_rate=None if settings.sample else settings.traces_sample_rate,
    )


def _use_sentry(runtime: Runtime, connection: SentryConnection) -> None:
    if runtime.sentry is connection:
        for sink in runtime.pipeline.sinks if runtime.pipeline is not None else ():
            sink.use_client(connection.client)
        return
    runtime.sentry = connection
    if runtime.pipeline is None:
        return
    runtime.pipeline.add_sink(connection.error_linker)
    if runtime.service.sentry.mode == "errors":
        return
    from slotel.runtime.sentry.modes.select import sentry_sink

    spans = sentry_sink(
        runtime.service.sentry,
        client=connection.client,
        enforcer=runtime.enforcer,
        resource=Resource(runtime.resource),
        dropped=runtime.self_metrics.dropped,
    )
    runtime.pipeline.add_sink(spans)


def count_at_servers(runtime: Runtime, environ: Mapping[str, str]) -> None:
    """Put a layer between servers and their applications, which counts requests that no instrumentation sees."""
    from slotel.runtime.process.threads import pause_all, resume_all
    from slotel.runtime.requests.current import name_served, name_served_socket, note_failure, note_route
    from slotel.runtime.requests.jobs import fail_current
    from slotel.runtime.requests.layers.aiohttp import AiohttpLayer, served_request, serving
    from slotel.runtime.requests.layers.asgi import AsgiLayer
    from slotel.runtime.requests.layers.layer import Server
    from slotel.runtime.requests.layers.wsgi import WsgiApplications, WsgiLayer
    from slotel.runtime.upstream.frameworks.aiohttp import watch_answers
    from slotel.runtime.upstream.frameworks.routes import watch_routes
    from slotel.runtime.upstream.frameworks.starlette import name_mounted_routes
    from slotel.runtime.upstream.greenlets import extend_monkey_patches
    from slotel.runtime.upstream.jobs.celery import watch_failures
    from slotel.runtime.upstream.servers import watch_applications, watch_servers
    from slotel.runtime.upstream.sockets import watch_failed_sockets, watch_sockets

    watch_failures(runtime.open_spans.expect_failure, fail_current)
    watch_sockets(runtime.open_spans.note_client_left)
    extend_monkey_patches(pause_all, resume_all)
    if runtime.pipeline is not None:
        runtime.server = server = Server(runtime.pipeline, environ)
        name_mounted_routes(name_served, name_served_socket)
        watch_routes(note_route)
        watch_failed_sockets(note_failure)
        watch_answers(serving, served_request)
        layers = {"aiohttp": AiohttpLayer, "asgi": AsgiLayer, "wsgi": WsgiLayer}
        watch_servers({name: functools.partial(layer.around, server) for name, layer in layers.items()})
        watch_applications(WsgiApplications(server).around)


def count_jobs(runtime: Runtime) -> None:
    """Count the jobs of libraries that nothing instruments, and the jobs and requests that a worker was killed with."""
    from slotel.runtime.requests.in_progress import SUFFIX, InProgress, KilledRequests
    from slotel.runtime.requests.jobs import Jobs
    from slotel.runtime.upstream.jobs.jobs import JobWatch
    from slotel.runtime.upstream.jobs.libraries import RUNNERS

    workers = runtime.workers
    in_progress = InProgress(
        lambda data: workers is not None and workers.share(SUFFIX, data), runtime.enforcer.redactor.data
    )
    if workers is not None:
        workers.combine[SUFFIX] = in_progress.absorb
    jobs, requests = Jobs(PROCESS.end_child, in_progress), KilledRequests(runtime.open_spans, in_progress)

    def tick() -> None:
        for kind, *entry in in_progress.take():
            (jobs.count_killed if kind == "job" else requests.count)(*entry)
        requests.note()

    PROCESS.register("in_progress", tick=tick)
    JobWatch(RUNNERS, jobs.serve, functools.partial(runtime.self_metrics.stage_error, "servers"))


def join_workers(runtime: Runtime, environ: MutableMapping[str, str]) -> None:
    """Join the other processes of the service."""
    from slotel.runtime.metrics.workers.workers import Workers

    clock = runtime.clock
    runtime.workers = Workers(
        runtime.store, environ, runtime.service_name, runtime.self_metrics.dropped, clock.booted
    )
    clock.booted = clock.booted if runtime.workers.booted is None else runtime.workers.booted
    runtime.flush_hooks.append(lambda _, workers=runtime.workers: workers.note_exit())  # type: ignore[misc]  # mypy infers no default


def watch_traffic(runtime: Runtime, environ: Mapping[str, str]) -> None:
    """Log a warning if a server answers and nothing is counted, unless the user has excluded URLs."""
    if any(name.endswith("EXCLUDED_URLS") and value.strip() for name, value in environ.items()):
        return
    from slotel.config.slo import ENTRY_KINDS
    from slotel.runtime.checks.uncounted import UncountedTraffic, UncountedWork, counts_requests
    from slotel.runtime.setup.uninstrumented import runs_jobs, serves
    from slotel.runtime.upstream.servers import TELEMETRY_PORTS

    own = {runtime.endpoint.port} if runtime.endpoint is not None else set()
    traffic = UncountedTraffic(
        lambda everywhere: counts_requests(runtime.store, everywhere=everywhere),
        serves,
        lambda: own | TELEMETRY_PORTS,
    )
    PROCESS.register("uncounted_traffic", tick=lambda: traffic.tick())  # noqa: PLW0108 the lambda keeps it alive
    if runtime.workers is not None and not runtime.workers.is_first:
        return
    work = UncountedWork(
        lambda: counts_requests(runtime.store, everywhere=True),
        lambda: runs_jobs() or any(slo.select.kinds != ENTRY_KINDS for slo in runtime.service.slos),
        lambda: own | TELEMETRY_PORTS,
    )
    PROCESS.register("uncounted_work", tick=lambda: work.tick(), after_fork_in_child=lambda: work.end())  # noqa: PLW0108 as above


def push_metrics(runtime: Runtime, traces: TracerProvider) -> None:
    """Add the store's metrics to those that the environment's metric exporters export."""
    from slotel.runtime.upstream.otel.metrics import readers_of

    provider = metrics.get_meter_provider()
    if isinstance(provider, MeterProvider) and readers_of(provider):
        from slotel.runtime.metrics.instruments.otlp_metrics import export_store
        from slotel.runtime.metrics.instruments.redacted_data import redacted_data
        from slotel.runtime.metrics.store.family import merge

        enforcer = runtime.enforcer
        failed = functools.partial(runtime.self_metrics.stage_error, "redaction")
        export_store(
            provider,
            lambda: merge((runtime.store.part(),)),
            lambda: enforcer.resource(traces.resource),
            lambda data: redacted_data(data, enforcer.redactor.attributes, enforcer.resource, failed),
        )


def enforce_log_records(runtime: Runtime) -> None:
    """Add tags to the SDK's log records and redact them, before any export."""
    provider = logger_provider()
    if provider is None:
        return
    from slotel.runtime.redaction.log_records import enforcing

    def request_tags(span_id: int) -> Mapping[str, str]:
        local_root = runtime.open_spans.of(span_id)
        return {} if local_root is None else local_root.tags

    fault = functools.partial(runtime.self_metrics.stage_error, "redaction")
    if not redact_before_processors(provider, enforcing(runtime.enforcer, request_tags, fault)):
        LOG.error(
            "this OpenTelemetry SDK is unknown to slotel: logs cannot be redacted, so they are not exported"
        )


def prepare_shutdown(runtime: Runtime) -> None:
    """Flush pending telemetry when the process ends."""

    def hooks() -> Iterable[FlushHook]:
        sinks = runtime.pipeline.sinks if runtime.pipeline is not None else ()
        return (
            *(functools.partial(_shut_down, sink) for sink in sinks),
            _flush_metrics,
            flush_logs,
            *runtime.flush_hooks,
        )

    def seconds() -> float:
        return flush_time(runtime.sentry.client.options if runtime.sentry is not None else {})

    runtime.shutdown_flusher = ShutdownFlusher(hooks, seconds)
    runtime.shutdown_flusher.prepare(handle_sigterm=runtime.service.sigterm)


def _shut_down(sink: Sink, seconds: float) -> None:
    sink.flush(seconds)
    if os.getpid() != 1:  # a container's first process may go on
        sink.shutdown()


def _flush_metrics(seconds: float) -> None:
    force_flush = getattr(metrics.get_meter_provider(), "force_flush", None)  # the API's providers have none
    if force_flush is not None:
        force_flush(int(seconds * 1000))
