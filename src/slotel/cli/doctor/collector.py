"""The OTLP endpoint from here: does it answer, and does it speak the protocol that is configured."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import urllib3

from slotel.cli.doctor.sentry import sentence
from slotel.runtime.finding import Finding
from slotel.runtime.setup.exporters import otlp_endpoint, otlp_protocol

TIMEOUT: Final = 3.0
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""HTTP/2's connection preface with an empty SETTINGS frame. Source: RFC 9113, 3.4."""
_FRAME_TYPE: Final = 3
_SETTINGS: Final = b"\x04"
"""What a server's first frame is, and where its type is."""
_OK: Final = range(200, 300)


def reach(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the collector takes what each signal's exporter will send."""
    seen: set[str] = set()
    for signal in ("TRACES", "METRICS", "LOGS"):
        exporters = [name.strip() for name in environ.get(f"OTEL_{signal}_EXPORTER", "").split(",")]
        if "otlp" not in exporters:
            continue
        protocol, url = otlp_protocol(environ, signal), otlp_endpoint(environ, signal)
        if url in seen:
            continue
        seen.add(url)
        yield _grpc(url) if protocol == "grpc" else _http(url, signal, protocol)


def _http(url: str, signal: str, protocol: str) -> Finding:
    try:
        answer = urllib3.PoolManager().request(
            "POST", url, body=b"", headers={"Content-Type": "application/x-protobuf"},
            timeout=urllib3.Timeout(TIMEOUT), retries=False, redirect=False,
        )  # fmt: skip
    except urllib3.exceptions.ProtocolError:
        return _wrong(
            url,
            f"the port speaks no {protocol}",
            "it may be gRPC: set OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use port 4318",
        )
    except urllib3.exceptions.HTTPError as error:
        return _wrong(url, sentence(error), "start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT")
    if answer.status in _OK:
        return Finding("collector", "ok", f"{url} accepts {signal.lower()}")
    fix = (
        "check OTEL_EXPORTER_OTLP_HEADERS"
        if answer.status in (401, 403)
        else "correct OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    return _wrong(url, f"it answers {answer.status}", fix)


def _grpc(url: str) -> Finding:
    parts = urlsplit(url)
    try:
        with socket.create_connection(
            (parts.hostname or "localhost", parts.port or 4317), TIMEOUT
        ) as connection:
            if parts.scheme == "https":
                return Finding("collector", "ok", f"{url} accepts connections")
            connection.settimeout(TIMEOUT)
            connection.sendall(_PREFACE)
            first = connection.recv(16)
    except OSError as error:
        return _wrong(url, str(error), "start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT")
    if first[_FRAME_TYPE : _FRAME_TYPE + 1] != _SETTINGS:
        return _wrong(
            url,
            "the port speaks no gRPC",
            "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use port 4317",
        )
    return Finding("collector", "ok", f"{url} speaks gRPC")


def _wrong(url: str, cause: str, fix: str) -> Finding:
    return Finding("collector", "fail", f"{url} accepts no data: {cause}", fix, "SLO126")
