"""Describes what a service exports, and to where, for `slotel doctor`. Opens no connection, shows no secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slotel.config.redaction.values import DEFAULT_VALUES
from slotel.config.service import Service
from slotel.runtime.checks.environment import access
from slotel.runtime.finding import Finding
from slotel.runtime.metrics.scrape.http.port import read_address
from slotel.runtime.metrics.workers.runtime_directory import candidate_directories
from slotel.runtime.sentry.client.dsn import read_dsn
from slotel.runtime.setup.exporters import otlp_place, usable_exporters, wants_prometheus


def describe_exports(service: Service, environ: Mapping[str, str]) -> list[str]:
    """Return one line for each way out, and for what is redacted."""
    to_others = (*_sentry(service, environ), *_otlp(environ), *_endpoint(environ))
    place = next(iter(candidate_directories(environ)), "")
    on_disk = f"on disk, for this user alone (0700): counts with their labels, in {place}"
    return [*to_others, on_disk, *_redacted(service)]


def exports(service: Service, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is exported as findings."""
    for line in describe_exports(service, environ):
        yield Finding("exports", "ok", line)


def _sentry(service: Service, environ: Mapping[str, str]) -> Iterator[str]:
    settings = service.sentry
    if settings.dsn is None:
        yield "to Sentry: nothing (SENTRY_DSN is not set)"
        return
    try:
        where = str(read_dsn(settings.dsn))
    except ValueError:
        yield "to Sentry: nothing (SENTRY_DSN is not valid)"
        return
    yield f"errors to {where}: message, stack trace with local variables and source lines, request, breadcrumbs"
    if settings.mode == "errors":
        yield "transactions: none (sentry.mode is errors)"
    else:
        rate = 1.0 if settings.traces_sample_rate is None else settings.traces_sample_rate
        named = environ.get("OTEL_TRACES_SAMPLER", "").strip()
        share = f"the requests that {named} samples" if named else f"{rate * 100:g}% of requests"
        yield f"transactions to {where}, mode {settings.mode}: {share}, and those of sentry.keep"


def _otlp(environ: Mapping[str, str]) -> Iterator[str]:
    for variable, exporters in usable_exporters(environ)[0].items():
        signal = variable.removeprefix("OTEL_").removesuffix("_EXPORTER")
        if exporters == "none":
            yield f"OTLP {signal.lower()}: nothing ({variable})"
            continue
        yield f"{signal.lower()} by {exporters} to {otlp_place(environ, signal)[1] or 'localhost'}"


def _endpoint(environ: Mapping[str, str]) -> Iterator[str]:
    if not wants_prometheus(environ):
        yield "/metrics: not bound (OTEL_METRICS_EXPORTER)"
        return
    host, port, _ = read_address(environ)
    protected = next((finding.text for finding in access(environ)), "loopback only, no credentials")
    yield f"/metrics and the status page on {host}:{port}: numbers, labels, resource attributes ({protected})"


def _redacted(service: Service) -> Iterator[str]:
    choices, own = service.redaction, ", ".join(service.tags.redact)
    yield f"redacted everywhere: passwords, tokens, keys, cookies, URLs with credentials{f', {own}' if own else ''}"
    shapes = "default" if choices.values == DEFAULT_VALUES else f"{len(choices.values)} of them"
    yield f"patterns of redacted values: {shapes}; SQL literals: {choices.sql}; command line: {choices.argv}"
