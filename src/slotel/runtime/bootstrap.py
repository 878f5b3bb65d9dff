"""The composition root: reads the configuration, and connects the components to the SDK's providers."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

from opentelemetry import metrics

from slotel.config.load import read_configuration
from slotel.config.service import Service
from slotel.runtime import startup_log
from slotel.runtime.budget.breaches import BreachDetector
from slotel.runtime.budget.incidents import Incidents
from slotel.runtime.budget.windows import BudgetWindows
from slotel.runtime.checks.environment import disabled, samples_nothing
from slotel.runtime.checks.start import before_start, component_failed, not_yet_logged
from slotel.runtime.components import (
    connect_sentry,
    count_at_servers,
    count_jobs,
    enforce_log_records,
    join_workers,
    prepare_shutdown,
    push_metrics,
    watch_traffic,
)
from slotel.runtime.finding import log
from slotel.runtime.logs import LOG, is_debugging, redact_logs, report, show_logs
from slotel.runtime.metrics.instruments.fork_reset import count_from_zero_after_fork
from slotel.runtime.metrics.self_metrics import UNSENT, SelfMetrics
from slotel.runtime.metrics.span_metrics import SpanMetrics
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.metrics_endpoint import open_endpoint
from slotel.runtime.process.clock import SteadyClock
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.process.ticker import Ticker
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.setup.defaults import set_defaults
from slotel.runtime.setup.sdk import name_service, tracer_provider
from slotel.runtime.state import RUNNING, UNNAMED, Runtime
from slotel.runtime.tracing.processor import SlotelSpanProcessor
from slotel.runtime.tracing.provider import (
    install_pipeline,
    name_distribution,
    record_every_span,
    replace_empty_propagator,
)
from slotel.runtime.tracing.route_rules import rules_of
from slotel.runtime.tracing.sampler_env import validate_sampler
from slotel.runtime.tracing.sink import DecisionLog
from slotel.runtime.upstream.exception_text import EXCEPTION_TEXT, write_log_records_by
from slotel.runtime.upstream.otel.exports import connect_anew_after_fork
from slotel.runtime.upstream.probe import report_missing_names
from slotel.runtime.upstream.stdlib import in_subinterpreter

_LOCK: Final = threading.RLock()
_STARTING: Final[list[bool]] = []


def start(
    environ: MutableMapping[str, str], configure_sdk: Callable[[], None] | None = None
) -> Runtime | None:
    """Start slotel; a second call returns the running runtime.

    Args:
        environ: the environment variables; defaults for OpenTelemetry are added to it.
        configure_sdk: sets up the SDK's providers from the environment; default: as `opentelemetry-instrument` does.

    Returns:
        The runtime; None where OpenTelemetry is switched off, and in a subinterpreter.
    """
    with _LOCK:
        if RUNNING or _STARTING:  # starting: the SDK's set-up may run code of the app that calls this
            return RUNNING[0] if RUNNING else None
        show_logs()
        redact_logs(Redactor().text)
        if off := list(disabled(environ)):
            log(off)
            return None
        if in_subinterpreter() and "mod_wsgi" not in sys.modules:  # mod_wsgi ends such threads itself
            LOG.warning("slotel does not start in a subinterpreter: its threads would keep it from ending")
            return None
        _STARTING.append(True)
        try:
            runtime = _compose(environ, configure_sdk)
            RUNNING.append(runtime)
        finally:
            _STARTING.clear()
        return runtime


def _compose(environ: MutableMapping[str, str], configure_sdk: Callable[[], None] | None) -> Runtime:
    set_defaults(environ)  # for a start in code; under `opentelemetry-instrument` it is done
    reading = read_configuration(environ)
    log(not_yet_logged(before_start(reading, environ), environ))
    service = reading.service
    name_service(service, environ)
    report(validate_sampler(environ, service.sentry.traces_sample_rate))
    log(samples_nothing(service.sentry, environ))
    PROCESS.hook()
    provider = tracer_provider(environ, configure_sdk)
    runtime = _build(service, dict(provider.resource.attributes))
    replace_empty_propagator()
    name_distribution(provider)
    record_every_span(provider, rules_of(service))
    runtime.pipeline = _pipeline(runtime)
    install_pipeline(provider, runtime.pipeline, runtime.enforcer, environ)
    if is_debugging(environ):
        runtime.pipeline.add_sink(DecisionLog())
    _guarded("logs", runtime, lambda: enforce_log_records(runtime))
    _guarded("logs", runtime, lambda: write_log_records_by(EXCEPTION_TEXT.quick))
    _guarded("sentry", runtime, lambda: connect_sentry(runtime, environ))
    _guarded("servers", runtime, lambda: count_at_servers(runtime, environ))
    _guarded("workers", runtime, lambda: join_workers(runtime, environ))
    _guarded("servers", runtime, lambda: count_jobs(runtime))
    _guarded("exports", runtime, connect_anew_after_fork)
    _guarded("app metrics", runtime, lambda: count_from_zero_after_fork(metrics.get_meter_provider()))
    _guarded("metrics", runtime, lambda: open_endpoint(runtime, environ))
    _guarded("otlp metrics", runtime, lambda: push_metrics(runtime, provider))
    _guarded("shutdown", runtime, lambda: prepare_shutdown(runtime))
    PROCESS.fault = runtime.self_metrics.stage_error
    PROCESS.register("breaches", tick=lambda: _report_breaches(runtime))
    PROCESS.register("recent_errors", after_fork_in_child=runtime.recent_errors.after_fork_in_child)
    _guarded("traffic", runtime, lambda: watch_traffic(runtime, environ))
    runtime.ticker = Ticker()
    _guarded("ticker", runtime, runtime.ticker.start)
    report_missing_names()
    if runtime.workers is None or runtime.workers.is_first:  # once for a service, not by each spawned worker
        for line in startup_log.lines(runtime, environ):
            LOG.info("%s", line)
    return runtime


def _build(service: Service, resource: Mapping[str, Any]) -> Runtime:
    store = Store(max_series=service.max_series)
    self_metrics = SelfMetrics(store, sentry_project=service.sentry.project)
    UNSENT.count_in(store)
    name = _service_name(resource)
    enforcer = Enforcer(
        service.tags,
        self_metrics.tag_violation,
        None if name.startswith(UNNAMED) else name,
        service.redaction,
    )
    resource = enforcer.redactor.attributes(dict(resource))
    redact_logs(enforcer.redactor.text)
    clock = SteadyClock()
    budget_windows = BudgetWindows(store, service.slos, clock, _service_name(resource), time.time)
    return Runtime(
        service,
        resource,
        store,
        self_metrics,
        enforcer,
        OpenSpans(forgotten=lambda count: self_metrics.dropped("spans", "never_ended", count)),
        budget_windows,
        BreachDetector(budget_windows),
        Incidents(name),
        clock,
    )


def _service_name(resource: Mapping[str, Any]) -> str:
    return str(resource.get("service.name", UNNAMED))


def _pipeline(runtime: Runtime) -> SlotelSpanProcessor:
    span_metrics = SpanMetrics(
        runtime.store,
        runtime.service_name,
        runtime.service.slos,
        runtime.enforcer,
        runtime.budget_windows,
        runtime.self_metrics,
    )
    return SlotelSpanProcessor(runtime.open_spans, span_metrics, runtime.self_metrics)


def _guarded(part: str, runtime: Runtime, begin: Callable[[], object]) -> None:
    """Start one component. If it fails, log that it is disabled; everything else works."""
    try:
        begin()
    except Exception as error:  # noqa: BLE001 each component may fail alone
        log([component_failed(part, error)])
        runtime.self_metrics.stage_error(part, error)


def _report_breaches(runtime: Runtime) -> None:
    """Report the incidents of objectives to the log and to Sentry; the process that serves /metrics reports for all."""
    if runtime.endpoint is not None and not runtime.endpoint.holds_port:
        return
    for incident in runtime.incidents.after(runtime.breach_detector.check()):
        LOG.warning("%s", incident)
        if runtime.sentry is not None:
            runtime.sentry.incident(incident)
