"""Lists doctor's checks in their order: those of a start first. Prints nothing."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from slotel.cli.doctor import collector, machine, sentry
from slotel.config.load import read_configuration
from slotel.config.service import Reading
from slotel.runtime.checks import environment, instrumentation, packages, settings
from slotel.runtime.checks.exports import exports
from slotel.runtime.checks.start import examined
from slotel.runtime.finding import STARTED, Finding
from slotel.runtime.setup.defaults import set_defaults


def checks(reading: Reading, environ: Mapping[str, str]) -> tuple[tuple[Any, ...], ...]:
    """Return subject, check and its arguments of what can be said without a connection."""
    return (
        ("packages", packages.versions),
        ("packages", packages.interpreter, environ),
        ("auto-instrumentation", packages.auto_instrumentation),
        ("auto-instrumentation", packages.other_agents, environ),
        ("auto-instrumentation", packages.distributions, environ),
        ("opentelemetry", environment.disabled, environ),
        ("configuration", environment.configuration, reading),
        ("configuration", settings.patterns, reading),
        ("configuration", environment.variables, environ),
        ("configuration", environment.quoted, environ),
        ("sentry", environment.release, reading),
        ("configuration", settings.misnamed_file, environ),
        ("configuration", settings.resource_attributes, environ),
        ("opentelemetry", settings.numbers, environ),
        ("opentelemetry", environment.components, environ),
        ("opentelemetry", settings.config_file, environ),
        ("exporters", settings.endpoints, environ),
        ("sentry", settings.authorities, environ),
        ("metrics", settings.own_port, environ),
        ("service", environment.service_name, reading, environ),
        ("instrumentation", instrumentation.coverage, environ),
        ("instrumentation", settings.excluded_urls, environ),
        ("django", instrumentation.django, environ),
        ("sampling", environment.sampler, reading, environ),
        ("propagation", environment.propagators, environ),
        ("propagation", environment.sentrys_propagator, reading, environ),
        ("exporters", environment.exporters, environ),
        ("sentry", sentry.configured, reading.service.sentry.dsn),
        ("metrics", environment.address, environ),
        ("metrics", environment.container, environ),
        ("metrics", environment.access, environ),
        ("exports", exports, reading.service, environ),
    )


def examine(environ: Mapping[str, str], options: Namespace) -> Iterator[Finding]:
    """Yield every finding, once; a check that fails is itself a finding. `options` are those that command.py parses."""
    found: set[str] = set()
    for finding in _found(environ, options):
        text = str(finding)
        if finding.subject != STARTED or text not in found:  # a start repeats what was found before it
            yield finding
        found.add(text)


def _found(environ: Mapping[str, str], options: Namespace) -> Iterator[Finding]:
    given = dict(environ)
    reading = read_configuration(given, options.config)
    settled = dict(given)
    set_defaults(settled)
    for name in ("OTEL_PYTHON_DISTRO", "OTEL_PYTHON_CONFIGURATOR"):
        settled.pop(name, None)
        if name in given:
            settled[name] = given[name]
    for subject, check, *arguments in checks(reading, settled):
        yield from examined(subject, check, *arguments)
    yield from examined("metrics", machine.port, reading, settled)
    yield from examined("metrics", environment.runtime_directory, settled)
    yield from examined("objectives", objectives, reading)
    if not options.offline:
        reached = list(examined("sentry", sentry.reach, reading.service.sentry.dsn))
        yield from reached
        yield from examined("collector", collector.reach, settled)
        if options.send and all(finding.status != "fail" for finding in reached):
            yield from examined("sentry", sentry.send, reading.service.sentry)
        if options.prometheus:
            yield from examined(
                "prometheus", rules_in_prometheus, options.config, options.prometheus, options.header
            )
    if options.command:
        from slotel.cli.doctor.trial import trial

        own_sentry = not options.send
        yield from examined("trial", trial, options.command, options.get, options.url, given, own_sentry)


def rules_in_prometheus(config: str | None, url: str, headers: Sequence[str]) -> Iterator[Finding]:
    """Yield findings about the generated rules in a Prometheus."""
    from slotel.cli.prometheus.checks import check_prometheus
    from slotel.config.foreign.formats import read_any

    reading = read_configuration(os.environ, config, read_any)
    if not reading.problems:
        name = os.environ.get("OTEL_SERVICE_NAME", "").strip() or reading.service.name
        yield from check_prometheus(replace(reading.service, name=name), url, headers)


def objectives(reading: Reading) -> Iterator[Finding]:
    """Yield what `slotel generate` would leave out."""
    from slotel.compile.warnings import warnings

    if reading.problems:
        return
    for sentence in warnings(reading.service):
        if "never fire" in sentence:
            yield Finding("objectives", "info", sentence, code="SLO160")
