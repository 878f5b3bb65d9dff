"""Checks the environment: names, sampler, exporters, propagators, unknown variables, the place where workers share."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from slotel.component_names import read_propagators, wrong_components
from slotel.config.names import SENTRY_DSN
from slotel.config.problem import variable
from slotel.config.ratio import parse_ratio, shown
from slotel.config.service import Reading, SentrySettings
from slotel.config.variables import unknown_variables
from slotel.launch import VARIABLE
from slotel.runtime.finding import Finding, of_note, of_problem
from slotel.runtime.metrics.scrape.http.port import HOST, read_address
from slotel.runtime.metrics.workers.runtime_directory import candidate_directories
from slotel.runtime.sentry.client.identity import valid_release
from slotel.runtime.setup.declared import declared
from slotel.runtime.setup.defaults import DEFAULTS, LEFT_OUT
from slotel.runtime.setup.exporters import usable_exporters, wants_prometheus
from slotel.runtime.tracing.sampler_env import ARGUMENT, SAMPLER, validate_sampler

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_READ: Final = ("OTEL_", "SENTRY_", "SLOTEL_", "ERROR_BUDGET_")
_LEAST_FREE: Final = 16 * 2**20
_CONTAINER_MARKS: Final = ("/.dockerenv", "/run/.containerenv")


def disabled(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether OpenTelemetry is switched off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        text, fix = "OTEL_SDK_DISABLED is true", "unset it"
    elif getattr(declared(environ), "disabled", None):
        text, fix = "OTEL_CONFIG_FILE says 'disabled: true'", "remove that line"
    else:
        return
    yield Finding("opentelemetry", "fail", f"slotel is off: {text}", fix, "SLO120")


def configuration(reading: Reading) -> Iterator[Finding]:
    """Yield the errors in slotel.yaml and in slotel's variables, and settings without effect."""
    for problem in reading.problems:
        yield of_problem("configuration", problem)
    for note in reading.notes:
        yield of_note("configuration", note)
    if not reading.problems:
        objectives = ", ".join(
            f"{slo.name} {shown(slo.objective * 100, 10)}%" for slo in reading.service.slos
        )
        yield Finding("configuration", "ok", f"objectives: {objectives}")


def variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Variables with a name that no program reads."""
    for name, likely in unknown_variables(environ, _otel_names()):
        fix = f"did you mean {likely}?" if likely else "no such variable; see the reference of variables"
        yield Finding("configuration", "warn", f"{name} is not read by slotel", fix, "SLO104")


def quoted(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Variables whose quotes are part of the value. The DSN's own check says so, too."""
    for name, value in sorted(environ.items()):
        if (
            name.startswith(_READ)
            and name != SENTRY_DSN
            and re.fullmatch(r"\s*(['\"]).*\1\s*", value, re.DOTALL)
        ):
            text = f"{name} is written in quotes, which are part of its value"
            yield Finding("configuration", "warn", text, "remove them", "SLO109")


def release(reading: Reading) -> Iterator[Finding]:
    """Whether Sentry accepts the name of the release, or what slotel makes of it."""
    named = reading.service.sentry.release
    if named and reading.service.sentry.dsn and valid_release(named) is None:
        text = f"Sentry accepts no release called {named!r}: events and transactions have none"
        yield Finding("sentry", "warn", text, "set SENTRY_RELEASE to a version or a commit", "SLO139")


def service_name(reading: Reading, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether metrics and traces will carry a name."""
    attributes = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    pairs = dict(pair.strip().partition("=")[::2] for pair in attributes.split(","))
    name = (
        environ.get("OTEL_SERVICE_NAME", "").strip()
        or pairs.get("service.name", "").strip()
        or reading.service.name
    )
    declared = reading.service.name
    if name and declared and name != declared:
        text = (
            f"the service is called {name!r} here and {declared!r} in slotel.yaml: rules that are generated without "
            "this environment count nothing of it"
        )
        yield Finding("service", "warn", text, "keep the name in one place", "SLO103")
    elif name:
        yield Finding("service", "ok", str(name))
    elif not environ.get("OTEL_CONFIG_FILE", "").strip():
        text = "the service has no name: metrics and traces show unknown_service"
        yield Finding("service", "warn", text, "set OTEL_SERVICE_NAME=checkout", "SLO105")


def sampler(reading: Reading, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the sampler exists, and whether it samples anything."""
    if environ.get("OTEL_CONFIG_FILE", "").strip():
        return
    settled = dict(environ)
    for problem in validate_sampler(settled, reading.service.sentry.traces_sample_rate):
        yield of_problem("sampling", problem)
    yield from samples_nothing(reading.service.sentry, settled)


def samples_nothing(sentry: SentrySettings, settled: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the sampler that will be used samples nothing."""
    name = settled.get(SAMPLER, "").strip().lower()
    argument = settled.get(ARGUMENT, "").strip()
    if name.endswith("always_off") or (
        name.endswith("traceidratio") and argument and parse_ratio(argument) == 0
    ):
        chosen = f"{name} {argument}".strip()
        keeps = sentry.mode == "transactions" and sentry.keep and sentry.keep_per_minute
        sent = "only traces that sentry.keep names are sent" if keeps else "none is sent"
        text = f"the sampler samples no trace ({chosen}): {sent}"
        yield Finding("sampling", "info", text, "", "SLO124")


def components(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the parts of OpenTelemetry that are named are installed: one that is not is left out."""
    for wrong in wrong_components({**environ, **LEFT_OUT}):
        yield Finding("opentelemetry", "fail", wrong.problem, wrong.fix, "SLO119")


def propagators(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the propagators that are named are installed: one that is not is left out."""
    named = environ.get(VARIABLE, "").strip()
    _, wrong = read_propagators(named)
    if wrong is not None:
        yield Finding(
            "propagation", "fail", f"{variable(VARIABLE, named)}: {wrong.problem}", wrong.fix, "SLO123"
        )


def sentrys_propagator(reading: Reading, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether sentry-sdk's propagator is named where it writes no headers: without sentry-sdk's span processor."""
    named = environ.get(VARIABLE, "")
    if "sentry" in map(str.strip, named.split(",")) and reading.service.sentry.mode != "sdk":
        text = f"{variable(VARIABLE, named)}: sentry-sdk's propagator writes its headers in mode sdk only"
        yield Finding(
            "propagation", "warn", text, "write slotel in the place of sentry, or unset it", "SLO123"
        )


def exporters(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the exporters that are named can be loaded."""
    usable, problems = usable_exporters(environ)
    for problem in problems:
        yield of_problem("exporters", problem)
    if not problems:
        named = ", ".join(f"{variable}={value}" for variable, value in usable.items() if value != "none")
        yield Finding("exporters", "ok", named or "none, except Sentry and /metrics")


def address(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether there is a metrics address, and it is valid."""
    if not wants_prometheus(environ):
        if not environ.get("OTEL_METRICS_EXPORTER", "").strip().lower().startswith("otlp"):
            named = variable("OTEL_METRICS_EXPORTER", environ.get("OTEL_METRICS_EXPORTER", ""))
            text = f"there is no /metrics: {named}"
            yield Finding("metrics", "warn", text, "add prometheus to it", "SLO157")
        return
    for problem in read_address(environ)[2]:
        yield of_problem("metrics", problem)


def container(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether Prometheus can reach a service that runs in a container."""
    host = read_address(environ)[0]
    is_default = not environ.get(HOST, "").strip()  # who names an address has decided
    is_inside = "KUBERNETES_SERVICE_HOST" in environ or any(Path(mark).exists() for mark in _CONTAINER_MARKS)
    if is_default and wants_prometheus(environ) and host in _LOOPBACK and is_inside:
        text = f"/metrics is bound to {host}, and no other container can reach it"
        yield Finding("metrics", "info", text, f"set {HOST}=0.0.0.0", "SLO154")


def access(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the metrics endpoint is protected where others can reach it."""
    if not wants_prometheus(environ):
        return
    from slotel.runtime.metrics.scrape.http.access import AccessError, read_access

    try:
        found = read_access(environ, read_address(environ)[0])
    except AccessError as error:
        yield Finding("metrics", "fail", str(error), "(no /metrics)", "SLO158")
        return
    if found.is_protected:
        yield Finding("metrics", "ok", "/metrics asks for credentials")
    elif not found.is_local:
        text = "every client that can reach the port can read /metrics"
        fix = "keep the port inside a trusted network, or set SLOTEL_METRICS_TOKEN_FILE or SLOTEL_METRICS_WEB_CONFIG"
        yield Finding("metrics", "info", text, fix, "SLO159")


def runtime_directory(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether workers can share their counts: a writable directory with room."""
    if not wants_prometheus(environ):
        return
    places = list(candidate_directories(environ))
    if not places:
        text = "no directory for shared counts is writable: /metrics lacks workers started after the first process ends"
        yield Finding("workers", "warn", text, "give the container a tmpfs: --tmpfs /tmp", "SLO155")
        return
    free = {place: shutil.disk_usage(place).free for place in places}
    place = next((each for each in places if free[each] >= _LEAST_FREE), None)
    if place is None:
        text = f"{places[0]}, where workers share their counts, has {free[places[0]] / 2**20:.0f} MiB left"
        fix = "make room, or give the container more: --shm-size=256m"
        yield Finding("workers", "warn", text, fix, "SLO156")
    else:
        yield Finding("workers", "ok", f"counts are shared in {place} ({free[place] / 2**20:,.0f} MiB free)")


def _otel_names() -> frozenset[str]:
    """Return the names that OpenTelemetry reads, and slotel sets: to look for one that is close takes 5 ms."""
    from opentelemetry import environment_variables as of_api
    from opentelemetry.instrumentation import environment_variables as of_instrumentation
    from opentelemetry.sdk import environment_variables as of_sdk

    named = {**vars(of_api), **vars(of_sdk), **vars(of_instrumentation)}
    found = {value for name, value in named.items() if name.startswith("OTEL_") and isinstance(value, str)}
    return frozenset({*DEFAULTS, "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", *found})
