"""The component that answers scrapes: the endpoint with its sources, its access control and the status page."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

from slotel.config import names
from slotel.runtime.finding import Finding, log
from slotel.runtime.logs import report
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.setup.exporters import wants_prometheus
from slotel.runtime.state import Runtime
from slotel.runtime.upstream.otel.instrumentations.instrumentors import measure_middlewares_by
from slotel.version import __version__

if TYPE_CHECKING:
    from slotel.runtime.status_page.page import StatusPage


def open_endpoint(runtime: Runtime, environ: Mapping[str, str]) -> None:
    """Answer scrapes, if OTEL_METRICS_EXPORTER names prometheus."""
    if not wants_prometheus(environ):
        return
    from slotel.runtime.metrics.instruments.http_server import http_server_metrics
    from slotel.runtime.metrics.scrape.endpoint import Endpoint
    from slotel.runtime.metrics.scrape.http.access import AccessError, read_access
    from slotel.runtime.metrics.scrape.http.port import read_address
    from slotel.runtime.metrics.scrape.sources.app_metrics import AppMetrics
    from slotel.runtime.metrics.scrape.sources.registry import GlobalRegistry, ProcessMetrics
    from slotel.runtime.metrics.workers.by_worker import ByWorker

    host, port, problems = read_address(environ)
    report(problems)
    try:
        access = read_access(environ, host)
    except AccessError as error:
        log([Finding("metrics", "fail", str(error), "(no /metrics; everything else works)", "SLO158")])
        return
    self_metrics, provider = runtime.self_metrics, metrics.get_meter_provider()
    sources = [runtime.store.snapshot, runtime.budget_windows.families, _build_info]
    chore: Callable[[], float | None] = lambda: None  # noqa: E731 nothing to do without a meter provider of the SDK
    process, registry = ProcessMetrics(), GlobalRegistry(self_metrics.dropped)
    if isinstance(provider, MeterProvider):
        if runtime.service.http_metrics == "slotel":
            runtime.http_server_metrics = http_server_metrics(provider, runtime.service.max_series)
        if runtime.http_server_metrics is not None:
            measure_middlewares_by(runtime.http_server_metrics)
        app = AppMetrics(
            provider,
            workers=runtime.workers,
            fault=self_metrics.stage_error,
            dropped=self_metrics.dropped,
            apart=lambda: (
                runtime.http_server_metrics.scopes() if runtime.http_server_metrics is not None else ()
            ),
            beside=lambda: (*process.families(), *registry.families()),
            redact=runtime.enforcer.redactor.attributes,
        )
        sources.append(app.families)
        runtime.flush_hooks.append(lambda _: app.publish())
        chore = app.chore
    page = _status_page(runtime, environ) if runtime.service.page else None
    workers = runtime.workers
    if workers is not None:
        runtime.by_worker = ByWorker(workers)
        sources.append(runtime.by_worker.families)
    endpoint = runtime.endpoint = Endpoint(
        host,
        port,
        sources=sources,
        target=runtime.resource,
        pages={"/": lambda: page().answer()} if page is not None else {},
        scraped=lambda families: page().observe(families) if page is not None else None,
        fault=self_metrics.stage_error,
        dropped=self_metrics.dropped,
        chore=chore,
        access=access,
        sibling=lambda: runtime.workers is not None and not runtime.workers.is_first,
    )
    endpoint.start()


def _status_page(runtime: Runtime, environ: Mapping[str, str]) -> Callable[[], StatusPage]:
    """Return what gives the status page, imported when it is first asked for; share what it shows of each process."""
    from slotel.runtime.status_page.shared import SUFFIX, SharedStatus, combine

    status = SharedStatus(runtime)
    if runtime.workers is not None:
        runtime.workers.combine[SUFFIX] = combine
    PROCESS.register("shared_status", after_fork_in_child=status.after_fork_in_child, tick=status.share)
    environ = dict(environ)

    @functools.cache
    def page() -> StatusPage:
        from slotel.runtime.status_page.page import StatusPage

        endpoint = runtime.endpoint
        families = endpoint.families if endpoint is not None else list
        return StatusPage(runtime, environ, families, status.all)

    return page


def _build_info() -> Iterable[Family]:
    yield Family(
        name=names.BUILD_INFO, kind="gauge", help="Version of slotel; the value is 1.", unit="",
        label_names=("version",), bounds=(), series={(__version__,): (1.0,)}, exemplars={}, created=0.0,
    )  # fmt: skip
