"""The composition root: reads the configuration, wires store, stages and sinks around the SDK's providers.

Only this module knows both stages and sinks; each of them gets the narrow value it needs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from slotel.configuration import read_configuration
from slotel.model import names
from slotel.model.service import Service
from slotel.runtime import summary
from slotel.runtime.accounts import Accounts
from slotel.runtime.adoption import mend_propagation, name_distribution, put_first, record_every_span
from slotel.runtime.breaches import Watch
from slotel.runtime.departure import Departure, Part, flush_time, parts_of
from slotel.runtime.enforce import Enforcer
from slotel.runtime.entries import Entries
from slotel.runtime.exporters import wants_prometheus
from slotel.runtime.head import settle_sampler
from slotel.runtime.incidents import Incidents
from slotel.runtime.logs import LOG, report, show_logs
from slotel.runtime.measure import Measure
from slotel.runtime.meter import Meter
from slotel.runtime.pipeline import Pipeline
from slotel.runtime.renewal import count_from_zero_after_fork
from slotel.runtime.sdk import name_service, tracer_provider
from slotel.runtime.stage import Follower
from slotel.runtime.store import Family, Store
from slotel.runtime.ticker import Ticker
from slotel.version import __version__

if TYPE_CHECKING:
    from slotel.runtime.http_metrics import HttpMeterProvider
    from slotel.runtime.scrape.endpoint import Endpoint
    from slotel.runtime.sentry.client import SentryConnection
    from slotel.runtime.stage import Sink
    from slotel.runtime.workers import Workers

UNNAMED: Final = "unknown_service"


@dataclass(slots=True)
class Runtime:
    """slotel at work in this process. `shutdown` flushes what is held."""

    service: Service
    resource: Mapping[str, Any]
    store: Store
    accounts: Accounts
    enforcer: Enforcer
    entries: Entries
    meter: Meter
    watch: Watch
    incidents: Incidents
    pipeline: Pipeline | None = None
    sentry: SentryConnection | None = None
    workers: Workers | None = None
    endpoint: Endpoint | None = None
    ticker: Ticker | None = None
    http_meters: HttpMeterProvider | None = None
    sinks: list[Sink] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    """What is sent at the end of the process, beside what the pipeline's sinks hold."""

    def flush(self, timeout: float = 2.0) -> bool:
        """Send what is held, within `timeout` seconds; return whether all went out."""
        return self.pipeline.force_flush(int(timeout * 1000)) if self.pipeline is not None else True

    def follow(self, client: Any) -> None:
        """Ship spans by another Sentry client from now on: the app has called `sentry_sdk.init`."""
        for sink in self.pipeline.sinks if self.pipeline is not None else ():
            if isinstance(sink, Follower):
                sink.follow(client)


_LOCK: Final = threading.Lock()
_RUNNING: list[Runtime] = []


def current() -> Runtime | None:
    """Return this process's runtime, if it was started."""
    return _RUNNING[0] if _RUNNING else None


def start(
    environ: MutableMapping[str, str], configure_sdk: Callable[[], None] | None = None
) -> Runtime | None:
    """Start slotel, once: a second call returns the runtime that is there. None with OTEL_SDK_DISABLED.

    Args:
        configure_sdk: sets up the SDK's providers from the environment; default: the launcher's way.
    """
    with _LOCK:
        if _RUNNING:
            return _RUNNING[0]
        show_logs()
        if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            LOG.info("off: OTEL_SDK_DISABLED is true")
            return None
        runtime = _compose(environ, configure_sdk)
        _RUNNING.append(runtime)
        return runtime


def _compose(environ: MutableMapping[str, str], configure_sdk: Callable[[], None] | None) -> Runtime:
    from slotel.runtime.distro import set_defaults

    set_defaults(environ)  # for a start in code; under the launcher it is done
    reading = read_configuration(environ)
    report(reading.problems)
    for note in reading.notes:
        LOG.warning("%s", note)
    service = reading.service
    name_service(service, environ)
    report(settle_sampler(environ, service.sentry.traces_sample_rate))
    provider = tracer_provider(environ, configure_sdk)
    runtime = _build(service, dict(provider.resource.attributes))
    mend_propagation()
    name_distribution(provider)
    record_every_span(provider)
    runtime.pipeline = _pipeline(runtime)
    put_first(provider, runtime.pipeline, runtime.enforcer)
    _guarded("sentry", runtime, lambda: _connect_sentry(runtime, environ))
    _guarded("workers", runtime, lambda: _join_workers(runtime, environ))
    _guarded("app metrics", runtime, lambda: count_from_zero_after_fork(metrics.get_meter_provider()))
    _guarded("metrics", runtime, lambda: _open_endpoint(runtime, environ))
    _guarded("otlp metrics", runtime, lambda: _push_metrics(runtime, provider))
    _guarded("departure", runtime, lambda: _prepare_departure(runtime))
    runtime.ticker = Ticker(
        lambda: _tick(runtime), lambda error: runtime.accounts.stage_error("ticker", error)
    )
    runtime.ticker.start()
    if runtime.workers is None or runtime.workers.is_first:  # once for a service, not by each spawned worker
        for line in summary.lines(runtime, environ):
            LOG.info("%s", line)
    return runtime


def _build(service: Service, resource: Mapping[str, Any]) -> Runtime:
    store = Store(max_series=service.max_series)
    accounts = Accounts(store)
    name = _service_name(resource)
    enforcer = Enforcer(service.tags, accounts.tag_violation, None if name.startswith(UNNAMED) else name)
    meter = Meter(store, service.slos, service_name=_service_name(resource))
    return Runtime(
        service, resource, store, accounts, enforcer, Entries(), meter, Watch(meter), Incidents(name)
    )


def _service_name(resource: Mapping[str, Any]) -> str:
    return str(resource.get("service.name", UNNAMED))


def _pipeline(runtime: Runtime) -> Pipeline:
    name = _service_name(runtime.resource)
    measure = Measure(runtime.store, name, runtime.service.slos, runtime.enforcer, runtime.meter)
    return Pipeline(runtime.entries, measure, runtime.sinks, runtime.accounts)


def _guarded(part: str, runtime: Runtime, begin: Callable[[], object]) -> None:
    """Start one part; if it fails it is off, named, and the rest goes on."""
    try:
        begin()
    except Exception as error:  # noqa: BLE001 each part may fail alone
        LOG.error("%s is off, the rest goes on: %s: %s", part, type(error).__name__, error)
        runtime.accounts.stage_error(part, error)


# -- the parts -------------------------------------------------------------------------------------------------


def _connect_sentry(runtime: Runtime, environ: Mapping[str, str]) -> None:
    from slotel.runtime.sentry import propagation
    from slotel.runtime.sentry.client import Parts, init_options, start_client

    settings, accounts = runtime.service.sentry, runtime.accounts
    parts = Parts(
        entries=runtime.entries,
        tags=runtime.enforcer.tags,
        scrub=runtime.enforcer.event,
        counted=accounts.sentry_error,
        expected=accounts.expect_sentry_errors,
        dropped=accounts.dropped,
        options=init_options(settings),
    )
    connection = start_client(settings, runtime.resource, parts, lambda later: _use_sentry(runtime, later))
    if connection is not None:
        _use_sentry(runtime, connection)
    rate = settings.traces_sample_rate
    propagation.install(
        environ.get("OTEL_PROPAGATORS", "") or environ.get("OTEL_CONFIG_FILE", ""),
        1.0 if rate is None else rate,
        lambda: runtime.sentry.trace_facts() if runtime.sentry is not None else {},
    )


def _use_sentry(runtime: Runtime, connection: SentryConnection) -> None:
    if runtime.sentry is connection:
        runtime.follow(connection.client)
        return
    runtime.sentry = connection
    if runtime.pipeline is None:
        return
    runtime.pipeline.add_sink(connection.trail)
    if runtime.service.sentry.mode == "errors":
        return
    from slotel.runtime.sentry.sinks import sentry_sink

    spans = sentry_sink(
        runtime.service.sentry,
        client=connection.client,
        enforcer=runtime.enforcer,
        resource=Resource(runtime.resource),
        dropped=runtime.accounts.dropped,
    )
    runtime.pipeline.add_sink(spans)


def _join_workers(runtime: Runtime, environ: MutableMapping[str, str]) -> None:
    from slotel.runtime.workers import Workers

    name = _service_name(runtime.resource)
    runtime.workers = Workers.join(runtime.store, environ, name, runtime.accounts.dropped)


def _open_endpoint(runtime: Runtime, environ: Mapping[str, str]) -> None:
    if not wants_prometheus(environ):
        return
    from slotel.runtime.http_metrics import http_meters
    from slotel.runtime.scrape.app_metrics import AppMetrics
    from slotel.runtime.scrape.endpoint import Endpoint
    from slotel.runtime.scrape.port import read_address
    from slotel.runtime.scrape.process import ProcessMetrics
    from slotel.runtime.scrape.registry import GlobalRegistry

    def rest() -> None:
        endpoint.rest()

    accounts, provider = runtime.accounts, metrics.get_meter_provider()
    sources = [lambda: runtime.store.snapshot(rest), runtime.meter.families, _build_info]
    chore: Callable[[], float | None] = lambda: None  # noqa: E731 nothing to do without a meter provider of the SDK
    process, registry = ProcessMetrics(), GlobalRegistry(accounts.dropped)
    if isinstance(provider, MeterProvider):
        if runtime.service.http_metrics == "slotel":
            runtime.http_meters = http_meters(provider, runtime.service.max_series)
        app = AppMetrics(
            provider,
            sharing=runtime.workers,
            fault=accounts.stage_error,
            dropped=accounts.dropped,
            apart=lambda: runtime.http_meters.scopes() if runtime.http_meters is not None else (),
            beside=lambda: (*process.families(), *registry.families()),
            rest=rest,
        )
        sources.append(app.families)
        runtime.parts.append(lambda _: app.publish())
        chore = app.chore
    host, port, problems = read_address(environ)
    report(problems)
    endpoint = runtime.endpoint = Endpoint(
        host,
        port,
        sources=sources,
        target=runtime.resource,
        pages={"/": lambda: _status_page(runtime)},
        fault=accounts.stage_error,
        dropped=accounts.dropped,
        chore=chore,
        sibling=lambda: runtime.workers is not None and not runtime.workers.is_first,
    )
    endpoint.start()


def _status_page(runtime: Runtime) -> tuple[str, str]:
    from slotel.runtime.scrape import status

    return status.CONTENT_TYPE, status.page(runtime.meter.families(), runtime.resource)


def _push_metrics(runtime: Runtime, traces: TracerProvider) -> None:
    """Let what the environment's metric exporters push carry the store, too."""
    provider = metrics.get_meter_provider()
    if isinstance(provider, MeterProvider) and getattr(provider, "_metric_readers", True):
        from slotel.runtime.family import merge
        from slotel.runtime.otlp_metrics import export_store

        export_store(provider, lambda: merge((runtime.store.part(),)), lambda: traces.resource)


def _prepare_departure(runtime: Runtime) -> None:
    def parts() -> Iterable[Part]:
        return (*parts_of(runtime.pipeline.sinks if runtime.pipeline is not None else ()), *runtime.parts)

    def options() -> Mapping[str, Any]:
        return runtime.sentry.client.options if runtime.sentry is not None else {}

    Departure(parts, lambda: flush_time(options())).prepare(handle_sigterm=runtime.service.sigterm)


def _build_info() -> Iterable[Family]:
    yield Family(
        name=names.BUILD_INFO, kind="gauge", help="The running slotel.", unit="", label_names=("version",),
        bounds=(), series={(__version__,): (1.0,)}, exemplars={}, created=0.0,
    )  # fmt: skip


def _tick(runtime: Runtime) -> None:
    """Do what no request does: move counts into their windows, and say it once when a limit is exceeded."""
    runtime.meter.roll(time.time())
    if runtime.workers is not None:
        runtime.workers.tick()
    forgotten = runtime.entries.take_forgotten()
    if forgotten:
        runtime.accounts.dropped("spans", "never_ended", forgotten)
    if runtime.endpoint is not None and not runtime.endpoint.holds_port:
        return
    changes = tuple(runtime.watch.check())
    for breach in changes:
        LOG.warning("%s", breach)
    for incident in runtime.incidents.after(changes):
        if runtime.sentry is not None:
            runtime.sentry.incident(incident)
