"""The declarative configuration: the file that OTEL_CONFIG_FILE names, as the SDK reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource

if TYPE_CHECKING:
    from opentelemetry.configuration.models import OpenTelemetryConfiguration


def declared(environ: Mapping[str, str]) -> OpenTelemetryConfiguration | None:
    """Return the configuration; None if there is none, or none that can be read: the SDK's set-up says why."""
    named = environ.get("OTEL_CONFIG_FILE", "").strip()
    if not named:
        return None
    try:
        from opentelemetry.configuration.file import load_config_file

        return load_config_file(named)
    except Exception:  # noqa: BLE001 not installed, not there, or not valid
        return None


def declared_resource(environ: Mapping[str, str]) -> Resource | None:
    """Return the resource of a configuration, for a provider that it does not have; None without one."""
    configuration = declared(environ)
    if configuration is None:
        return None
    from opentelemetry.configuration.file import create_resource

    return create_resource(configuration.resource)
