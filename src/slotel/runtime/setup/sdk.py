"""Sets up the SDK from the environment; an exporter that fails disables nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from slotel.config.problem import variable
from slotel.config.service import Service
from slotel.runtime.logs import LOG, report
from slotel.runtime.setup.declared import declared_resource
from slotel.runtime.setup.exporters import usable_exporters
from slotel.runtime.upstream.otel.metrics import make_locks_reentrant
from slotel.version import __version__


def name_service(service: Service, environ: MutableMapping[str, str]) -> None:
    """Write the service name of slotel.yaml and the distribution's name into the environment, unless they are set."""
    attributes = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = any(pair.split("=")[0].strip() == "service.name" for pair in attributes.split(","))
    if service.name and not named:
        environ.setdefault("OTEL_SERVICE_NAME", service.name)
    distro = f"telemetry.distro.name=slotel,telemetry.distro.version={__version__}"
    if "telemetry.distro.name=" not in attributes:
        environ["OTEL_RESOURCE_ATTRIBUTES"] = f"{attributes},{distro}".lstrip(",")


def tracer_provider(
    environ: MutableMapping[str, str], configure_sdk: Callable[[], None] | None
) -> TracerProvider:
    """Return the SDK's tracer provider: the existing one, or one set up from the environment.

    An exporter that is unknown or cannot be created is logged and left out.

    Args:
        configure_sdk: sets up the SDK; default: as `opentelemetry-instrument` does.
    """
    make_locks_reentrant()
    standing = trace.get_tracer_provider()
    if isinstance(standing, TracerProvider):
        return standing
    usable, problems = usable_exporters(environ)
    report(problems)
    configure = configure_sdk or _configure_sdk
    try:
        with _replaced(environ, usable):
            configure()
    except Exception as error:  # noqa: BLE001 an exporter that cannot be made must not take the rest down
        declared = environ.get("OTEL_CONFIG_FILE", "").strip()
        place = f"{variable('OTEL_CONFIG_FILE', declared)}: " if declared else ""
        LOG.error(
            "%sthe SDK could not be set up, using its defaults without exporters: %s [SLO125]",
            place,
            error,
        )
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider(resource=declared_resource(environ))
        trace.set_tracer_provider(provider)
    if not isinstance(metrics.get_meter_provider(), MeterProvider):
        metrics.set_meter_provider(MeterProvider(resource=provider.resource))
    return provider


def _configure_sdk() -> None:
    from slotel.runtime.setup.defaults import set_defaults
    from slotel.runtime.upstream.otel.provider import configure_from_environment

    set_defaults(os.environ)
    configure_from_environment()


@contextmanager
def _replaced(environ: MutableMapping[str, str], values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the time of the SDK's own set-up, which reads nothing but the environment."""
    before = {name: environ.get(name) for name in values}
    environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value
