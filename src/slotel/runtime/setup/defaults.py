"""Default values of environment variables."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Final

from slotel.component_names import wrong_components

DEFAULTS: Final = {
    "OTEL_METRICS_EXPORTER": "prometheus",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
    "OTEL_PYTHON_DISTRO": "slotel",
    "OTEL_PYTHON_CONFIGURATOR": "slotel",
}
"""Variable → value, if the user has set none. Traces are sent by OTLP if an endpoint is set, else only to Sentry."""

LEFT_OUT: Final[dict[str, str]] = {}
"""Variables that were removed: limits that are not numbers, names of what is not installed.

OpenTelemetry raises an exception for each, for some when it is imported.
"""

_LIMIT: Final = re.compile(r"OTEL_\w+_LIMIT")
_MAX_DIGITS: Final = 18
_OTLP_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def set_defaults(environ: MutableMapping[str, str]) -> None:
    """Set the defaults. Values of the user stay, except for those that make OpenTelemetry raise an exception.

    An empty variable is an unset one. Source: OpenTelemetry specification, "Environment Variable Specification".
    """
    for name in [name for name, value in environ.items() if name.startswith("OTEL_") and not value.strip()]:
        del environ[name]
    for name, value in list(environ.items()):
        number = value.strip()
        if _LIMIT.fullmatch(name) and not (number.isdecimal() and len(number) <= _MAX_DIGITS):
            LEFT_OUT[name] = environ.pop(name)
    for wrong in tuple(wrong_components(environ)):
        LEFT_OUT[wrong.variable] = environ.pop(wrong.variable)
    for name, value in DEFAULTS.items():
        environ.setdefault(name, value)
    otlp = any(environ.get(name, "").strip() for name in _OTLP_ENDPOINTS)
    environ.setdefault("OTEL_TRACES_EXPORTER", "otlp" if otlp else "none")
    if environ["OTEL_LOGS_EXPORTER"].strip().lower() == "none":
        # a handler without an exporter would keep the app's warnings from standard error
        environ.setdefault("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "false")
