"""The exporters that the environment names, and which of them can be loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from slotel.config.problem import Problem
from slotel.config.problem import variable as shown
from slotel.runtime.upstream.otel.instrumentations.installed import entry_points

_SIGNALS: Final = {
    "OTEL_TRACES_EXPORTER": "opentelemetry_traces_exporter",
    "OTEL_METRICS_EXPORTER": "opentelemetry_metrics_exporter",
    "OTEL_LOGS_EXPORTER": "opentelemetry_logs_exporter",
}
_OTLP: Final = {
    "otlp_proto_http": "slotel[otlp]",
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
}
PROMETHEUS: Final = "prometheus"
_CODE: Final = "SLO121"
_LONGEST: Final = 80
"""Characters of a name that a line quotes."""


def usable_exporters(environ: Mapping[str, str]) -> tuple[dict[str, str], list[Problem]]:
    """Return variable → exporters that can be loaded, and a problem for each other exporter.

    `prometheus` is left out, because slotel's own endpoint serves it.
    """
    usable, problems = {}, []
    for variable, group in _SIGNALS.items():
        names = []
        for name in _names(environ, variable):
            if variable == "OTEL_METRICS_EXPORTER" and name == PROMETHEUS:
                continue
            problem = _problem(environ, variable, group, name)
            if problem is None:
                names.append(name)
            else:
                problems.append(problem)
        usable[variable] = ",".join(names) or "none"
    return usable, problems


def wants_prometheus(environ: Mapping[str, str]) -> bool:
    """Return whether OTEL_METRICS_EXPORTER names the Prometheus endpoint."""
    return PROMETHEUS in _names(environ, "OTEL_METRICS_EXPORTER")


def otlp_protocol(environ: Mapping[str, str], signal: str) -> str:
    """Return the OTLP protocol of a signal, such as `TRACES`."""
    return own_or_common(environ, signal, "PROTOCOL") or "http/protobuf"


def otlp_endpoint(environ: Mapping[str, str], signal: str) -> str:
    """Return the OTLP endpoint of a signal: its own, or (by HTTP) the common one with the signal's path.

    >>> otlp_endpoint({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}, "TRACES")
    'http://collector:4318/v1/traces'
    >>> otlp_endpoint({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "unix:/run/c"}, "TRACES")
    'unix:///run/c'
    """
    if otlp_protocol(environ, signal) == "grpc":
        named = own_or_common(environ, signal, "ENDPOINT") or "http://localhost:4317"
        if "://" in named:
            return named
        return f"unix://{named[5:]}" if named.startswith("unix:") else f"http://{named}"
    common = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or "http://localhost:4318"
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "").strip()
    return own or f"{common.rstrip('/')}/v1/{signal.lower()}"


def otlp_place(environ: Mapping[str, str], signal: str) -> tuple[str, str]:
    """Return scheme, and host with port, of where a signal is sent: without user and password, also of what is no URL.

    >>> otlp_place({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:p@collector:4318/x"}, "TRACES")
    ('http', 'collector:4318')
    """
    scheme, _, rest = otlp_endpoint(environ, signal).partition("://")
    return scheme, re.split(r"[/?#]", rest.rpartition("@")[2], maxsplit=1)[0]


def own_or_common(environ: Mapping[str, str], signal: str, what: str) -> str:
    """Return a setting of the OTLP exporters: that of the signal, else the common one, else an empty text."""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_{what}", "").strip()
    return own or environ.get(f"OTEL_EXPORTER_OTLP_{what}", "").strip()


def _names(environ: Mapping[str, str], variable: str) -> Iterator[str]:
    for name in environ.get(variable, "").split(","):
        if name.strip() and name.strip().lower() != "none":
            yield name.strip()


def _problem(environ: Mapping[str, str], variable: str, group: str, name: str) -> Problem | None:
    wanted = _entry_point_name(environ, variable, name)
    place, consequence = shown(variable, environ[variable]), "this exporter is off, everything else works"
    found = next(iter(entry_points(group=group, name=wanted)), None)
    name = name[:_LONGEST]
    if found is None:
        package = _OTLP.get(wanted)
        if package:
            return Problem(
                place,
                f"the exporter '{name}' is not installed: run: pip install '{package}'",
                consequence,
                _CODE,
            )
        known = ", ".join(sorted({point.name for point in entry_points(group=group)} | {"none"}))
        return Problem(place, f"there is no exporter '{name}', known here are: {known}", consequence, _CODE)
    try:
        found.load()
    except Exception as error:  # noqa: BLE001 a broken package is a problem, not an end
        return Problem(place, f"the exporter '{name}' cannot be loaded: {error}", consequence, _CODE)
    return None


def _entry_point_name(environ: Mapping[str, str], variable: str, name: str) -> str:
    """`otlp` means the protocol that the environment names; HTTP is slotel's default."""
    if name != "otlp":
        return name
    signal = variable.removeprefix("OTEL_").removesuffix("_EXPORTER")
    return "otlp_proto_grpc" if otlp_protocol(environ, signal) == "grpc" else "otlp_proto_http"
