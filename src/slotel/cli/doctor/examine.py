"""What doctor examines, and in which order: the checks of a start first. Prints nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from slotel.cli.doctor import collector, machine, sentry
from slotel.config.load import read_configuration
from slotel.config.service import Reading
from slotel.runtime.checks import environment, instrumentation, packages, settings, storage
from slotel.runtime.checks.exports import exports
from slotel.runtime.checks.sentry import dsn
from slotel.runtime.finding import Finding
from slotel.runtime.setup.defaults import set_defaults


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asked for.

    Args:
        offline: open no connection.
        headers: of each request to Prometheus, `Name: value` each.
        send: send an event and a transaction.
        command: started for a trial, with GET requests to `paths`.
    """

    config: str | None = None
    send: bool = False
    offline: bool = False
    prometheus: str | None = None
    headers: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    url: str | None = None


Check = Callable[[Reading, Mapping[str, str]], Iterator[Finding]]

START: Final[tuple[tuple[str, Check], ...]] = (
    ("packages", lambda _reading, _environ: packages.versions()),
    ("packages", lambda _reading, environ: packages.interpreter(environ)),
    ("auto-instrumentation", lambda _reading, _environ: packages.auto_instrumentation()),
    ("auto-instrumentation", lambda _reading, environ: packages.other_agents(environ)),
    ("auto-instrumentation", lambda _reading, environ: packages.distributions(environ)),
    ("opentelemetry", lambda _reading, environ: environment.disabled(environ)),
    ("configuration", lambda reading, _environ: environment.configuration(reading)),
    ("configuration", lambda _reading, environ: environment.variables(environ)),
    ("configuration", lambda _reading, environ: settings.misnamed_file(environ)),
    ("configuration", lambda _reading, environ: settings.resource_attributes(environ)),
    ("opentelemetry", lambda _reading, environ: settings.numbers(environ)),
    ("opentelemetry", lambda _reading, environ: environment.components(environ)),
    ("opentelemetry", lambda _reading, environ: settings.config_file(environ)),
    ("exporters", lambda _reading, environ: settings.endpoints(environ)),
    ("sentry", lambda _reading, environ: settings.authorities(environ)),
    ("metrics", lambda _reading, environ: settings.own_port(environ)),
    ("service", environment.service_name),
    ("instrumentation", lambda _reading, environ: instrumentation.coverage(environ)),
    ("django", lambda _reading, environ: instrumentation.django(environ)),
    ("sampling", environment.sampler),
    ("propagation", lambda _reading, environ: environment.propagators(environ)),
    ("exporters", lambda _reading, environ: environment.exporters(environ)),
    ("sentry", lambda reading, _environ: dsn(reading.service.sentry.dsn)),
    ("metrics", lambda _reading, environ: environment.address(environ)),
    ("metrics", lambda _reading, environ: environment.container(environ)),
    ("metrics", lambda _reading, environ: environment.access(environ)),
    ("exports", lambda reading, environ: exports(reading.service, environ)),
)
"""Subject and check of what can be said without a connection."""


def examine(environ: Mapping[str, str], wishes: Wishes) -> Iterator[Finding]:
    """Yield every finding; a check that fails is itself a finding."""
    given = dict(environ)
    reading = read_configuration(given, wishes.config)
    settled = dict(given)
    set_defaults(settled)
    for name in ("OTEL_PYTHON_DISTRO", "OTEL_PYTHON_CONFIGURATOR"):
        settled.pop(name, None)
        if name in given:
            settled[name] = given[name]
    for subject, check in START:
        yield from _guarded(subject, lambda check=check: check(reading, settled))  # type: ignore[misc]
    yield from _guarded("metrics", lambda: machine.port(reading, settled))
    yield from _guarded("metrics", lambda: storage.runtime_directory(settled))
    yield from _guarded("objectives", lambda: objectives(reading))
    if not wishes.offline:
        yield from _guarded("sentry", lambda: sentry.reach(reading.service.sentry.dsn))
        yield from _guarded("collector", lambda: collector.reach(settled))
        if wishes.send:
            yield from _guarded("sentry", lambda: sentry.send(reading.service.sentry))
        if wishes.prometheus:
            yield from _guarded(
                "prometheus",
                lambda: rules_in_prometheus(wishes.config, wishes.prometheus or "", wishes.headers),
            )
    if wishes.command:
        from slotel.cli.doctor.trial import trial

        yield from _guarded(
            "trial",
            lambda: trial(wishes.command, wishes.paths, wishes.url, given, own_sentry=not wishes.send),
        )


def rules_in_prometheus(config: str | None, url: str, headers: Sequence[str] = ()) -> Iterator[Finding]:
    """What the generated rules find in a Prometheus."""
    from slotel.cli.prometheus.checks import check_prometheus
    from slotel.config.foreign.formats import read_any

    reading = read_configuration(os.environ, config, read_any)
    if not reading.problems:
        name = os.environ.get("OTEL_SERVICE_NAME", "").strip() or reading.service.name
        yield from check_prometheus(replace(reading.service, name=name), url, headers)


def objectives(reading: Reading) -> Iterator[Finding]:
    """What `slotel generate` would leave out."""
    from slotel.compile.warnings import warnings

    if reading.problems:
        return
    for sentence in warnings(reading.service):
        if "never fire" in sentence:
            yield Finding("objectives", "info", sentence, code="SLO160")


def _guarded(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001 a check that fails is a finding
        yield Finding(
            subject, "warn", f"could not be examined: {type(error).__name__}: {error}", code="SLO170"
        )
