"""Settings of OpenTelemetry and of the machine whose faults nobody names, or that show far from their cause."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from slotel.runtime.finding import Finding
from slotel.runtime.metrics.scrape.http.port import PORT, read_address
from slotel.runtime.setup.defaults import LEFT_OUT
from slotel.runtime.setup.exporters import otlp_protocol, wants_prometheus

RESOURCE: Final = "OTEL_RESOURCE_ATTRIBUTES"
CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
_NUMBERS: Final = re.compile(
    r"OTEL_(?:BSP|BLRP)_(?:SCHEDULE_DELAY|EXPORT_TIMEOUT|MAX_QUEUE_SIZE|MAX_EXPORT_BATCH_SIZE)|OTEL_METRIC_EXPORT_(?:INTERVAL|TIMEOUT)"
    r"|OTEL_\w+_LIMIT|OTEL_EXPORTER_OTLP_(?:\w+_)?TIMEOUT"
)
"""Variables whose value is a number, of milliseconds, seconds or things; it has no unit."""
_ENDPOINT: Final = re.compile(r"OTEL_EXPORTER_OTLP_(?:(TRACES|METRICS|LOGS)_)?ENDPOINT")
_OF_PROTOCOL: Final = {"grpc": 4317, "http/protobuf": 4318}
_AUTHORITIES: Final = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "OTEL_EXPORTER_OTLP_CERTIFICATE",
)  # fmt: skip
_MISNAMED: Final = ("slotel.yml", ".slotel.yaml", ".slotel.yml", "slotel.json", "slotel.toml")


def misnamed_file(environ: Mapping[str, str], folder: Path | None = None) -> Iterator[Finding]:
    """Whether a file here is meant to be slotel.yaml, and is not read."""
    here = Path() if folder is None else folder
    if environ.get("SLOTEL_CONFIG", "").strip() or (here / "slotel.yaml").exists():
        return
    for name in _MISNAMED:
        if (here / name).exists():
            text = f"{name} is not read: the file is called slotel.yaml"
            yield Finding("configuration", "warn", text, f"rename it, or set SLOTEL_CONFIG={name}", "SLO107")
            return


def resource_attributes(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether each resource attribute is a pair: the SDK leaves out what is none."""
    pairs = [pair.strip() for pair in environ.get(RESOURCE, "").split(",") if pair.strip()]
    for pair in pairs:
        if not pair.partition("=")[0].strip() or "=" not in pair:
            text = f"{RESOURCE}: {pair.partition('=')[0].partition(':')[0].strip()!r} has no value and is left out"
            yield Finding("configuration", "warn", text, "write key=value,key=value", "SLO106")


def numbers(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether OpenTelemetry's numbers are numbers, and a batch fits into its queue."""
    for name, value in sorted({**LEFT_OUT, **environ}.items()):
        if _NUMBERS.fullmatch(name) and value.strip() and not re.fullmatch(r"\d+(\.\d+)?", value.strip()):
            text = f"{name}={value!r} is not a number"
            yield Finding("opentelemetry", "fail", text, "write digits without a unit", "SLO127")
    for kind in ("BSP", "BLRP"):
        batch, queue = (
            environ.get(f"OTEL_{kind}_MAX_{what}", "").strip() for what in ("EXPORT_BATCH_SIZE", "QUEUE_SIZE")
        )
        most = int(queue) if queue.isdigit() else 2048
        if batch.isdigit() and int(batch) > most:
            text = f"OTEL_{kind}_MAX_EXPORT_BATCH_SIZE={batch} is more than the queue holds ({most})"
            yield Finding("opentelemetry", "fail", text, f"raise OTEL_{kind}_MAX_QUEUE_SIZE", "SLO127")


def endpoints(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the OTLP endpoints are URLs, on the port of their protocol."""
    for name, value in sorted(environ.items()):
        match, written = _ENDPOINT.fullmatch(name), value.strip()
        if match is None or not written:
            continue
        protocol = otlp_protocol(environ, match[1])
        if "://" not in written and protocol != "grpc":
            text = f"{name}={written!r} is no URL"
            yield Finding("exporters", "fail", text, f"write http://{written}", "SLO128")
        elif urlsplit(written).port in set(_OF_PROTOCOL.values()) - {_OF_PROTOCOL.get(protocol)}:
            text = (
                f"{name} names port {urlsplit(written).port}, and OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}"
            )
            fix = f"collectors take {protocol} on port {_OF_PROTOCOL.get(protocol)}"
            yield Finding("exporters", "warn", text, fix, "SLO128")


def config_file(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the file of a declarative configuration is there."""
    named = environ.get(CONFIG_FILE, "").strip()
    if named and not Path(named).is_file():
        text = f"{CONFIG_FILE}={named}: there is no such file"
        yield Finding("opentelemetry", "fail", text, "correct the path, or unset it", "SLO129")


def authorities(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the certificates that connections are checked with are there: a missing file trusts nobody."""
    for name in _AUTHORITIES:
        named = environ.get(name, "").strip()
        if named and not Path(named).exists():
            text = f"{name}={named}: there is no such file, and no certificate is trusted"
            yield Finding("sentry", "fail", text, "correct the path, or unset it", "SLO149")


def own_port(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the app is told to listen on the port of the metrics."""
    number = environ.get("PORT", "").strip()
    if wants_prometheus(environ) and number.isdigit() and int(number) == read_address(environ)[1] != 0:
        text = f"PORT={number} is the metrics port, too: the app or /metrics will have none"
        yield Finding("metrics", "fail", text, f"set {PORT} to another port", "SLO151")
