"""The startup summary: two lines that say what is active, without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from slotel.config.duration import format_duration
from slotel.config.ratio import shown
from slotel.config.slo import Slo
from slotel.config.tags import TagPolicy
from slotel.runtime.setup.exporters import usable_exporters
from slotel.version import __version__

if TYPE_CHECKING:
    from slotel.runtime.state import Runtime


def lines(runtime: Runtime, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines: service, addresses and sampling; objectives and tags."""
    name = runtime.resource.get("service.name", "unknown_service")
    metrics = _metrics(runtime, environ)
    sentry = runtime.sentry.destination if runtime.sentry is not None else "off"
    page = (
        f" page={runtime.endpoint.page_address}"
        if runtime.endpoint is not None and runtime.endpoint.holds_port and runtime.service.page
        else ""
    )
    yield (
        f"slotel {__version__}: service={name} metrics={metrics}{page} sentry={sentry} sampling={_sampling(environ)}"
    )
    objectives = ", ".join(_objective(slo) for slo in runtime.service.slos)
    yield f"objectives: {objectives}; tags: {_tags(runtime.service.tags)}"


def _metrics(runtime: Runtime, environ: Mapping[str, str]) -> str:
    """Return the metrics' address; that slotel waits for its port; without an endpoint, by what they leave."""
    if runtime.endpoint is None:
        pushed = usable_exporters(environ)[0]["OTEL_METRICS_EXPORTER"]
        return pushed if pushed != "none" else "off"
    return (
        runtime.endpoint.address
        if runtime.endpoint.holds_port
        else f"waiting for port {runtime.endpoint.port}"
    )


def _sampling(environ: Mapping[str, str]) -> str:
    if environ.get("OTEL_CONFIG_FILE", "").strip():
        return "as in OTEL_CONFIG_FILE"
    sampler = environ.get("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    argument = environ.get("OTEL_TRACES_SAMPLER_ARG", "")
    return f"{sampler}({argument})" if argument else sampler


def _objective(slo: Slo) -> str:
    what = f"{format_duration(slo.latency)} latency, " if slo.latency is not None else ""
    limit = f"limit {shown(slo.limit * 100, 10)}% in {format_duration(slo.window)}"
    return f"{slo.name} {shown(slo.objective * 100, 10)}% ({what}{limit})"


def _tags(policy: TagPolicy) -> str:
    parts = []
    if policy.set:
        parts.append("set " + ",".join(policy.set))
    if policy.required:
        parts.append("required " + ",".join(policy.required))
    if policy.metric_labels:
        parts.append("metric labels " + ",".join(policy.metric_labels))
    parts.append("redacted " + ("defaults and " + ",".join(policy.redact) if policy.redact else "defaults"))
    return " ".join(parts)
