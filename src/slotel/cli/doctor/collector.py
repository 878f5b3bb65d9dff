"""The OTLP endpoint from here: does it answer, and does it speak the protocol that is configured."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import urllib3
from opentelemetry.util.re import parse_env_headers

from slotel.cli.doctor.sentry import sentence
from slotel.runtime.finding import Finding
from slotel.runtime.setup.exporters import otlp_endpoint, otlp_protocol, own_or_common

TIMEOUT: Final = 3.0
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""HTTP/2's connection preface with an empty SETTINGS frame. Source: RFC 9113, 3.4."""
_FRAME_TYPE: Final = 3
_SETTINGS: Final = b"\x04"
"""What a server's first frame is, and where its type is."""
_OK: Final = range(200, 300)
_TLS_FIX: Final = (
    "check the scheme of OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_CERTIFICATE, and, if the collector asks for "
    "one, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and …_CLIENT_KEY"
)


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
        try:
            tls = _tls(environ, signal) if url.startswith("https:") else None
        except OSError as error:
            fix = "correct OTEL_EXPORTER_OTLP_CERTIFICATE, …_CLIENT_CERTIFICATE or …_CLIENT_KEY"
            yield _wrong(url, str(error), fix)
            continue
        if protocol == "grpc":
            yield _grpc(url, tls)
        else:
            headers = parse_env_headers(own_or_common(environ, signal, "HEADERS"), liberal=True)
            yield _http(url, signal, protocol, tls, headers)


def _tls(environ: Mapping[str, str], signal: str) -> ssl.SSLContext:
    """Return the exporter's trust and client certificate.

    Raises:
        OSError: a file is missing, or is none.
    """
    parts = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
    authority, certificate, key = (own_or_common(environ, signal, part) or None for part in parts)
    for path in filter(None, (authority, certificate, key)):
        Path(path).open("rb").close()  # its error names the file, that of `ssl` does not
    made = ssl.create_default_context(cafile=authority)
    if certificate:
        made.load_cert_chain(certificate, key)
    return made


def _http(
    url: str, signal: str, protocol: str, tls: ssl.SSLContext | None, headers: Mapping[str, str]
) -> Finding:
    try:
        answer = urllib3.PoolManager(ssl_context=tls).request(
            "POST", url, body=b"", headers={**headers, "Content-Type": "application/x-protobuf"},
            timeout=urllib3.Timeout(TIMEOUT), retries=False, redirect=False,
        )  # fmt: skip
    except urllib3.exceptions.ProtocolError:
        fix = "it may be gRPC: set OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use port 4318"
        return _wrong(url, f"the port speaks no {protocol}", fix)
    except urllib3.exceptions.SSLError as error:
        return _wrong(url, str(error), _TLS_FIX)
    except urllib3.exceptions.HTTPError as error:
        return _wrong(url, sentence(error), "start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT")
    if answer.status in _OK:
        return Finding("collector", "ok", f"{url} accepts {signal.lower()}")
    is_key = answer.status in (401, 403)
    fix = "check OTEL_EXPORTER_OTLP_HEADERS" if is_key else "correct OTEL_EXPORTER_OTLP_ENDPOINT"
    return _wrong(url, f"it answers {answer.status}", fix)


def _grpc(url: str, tls: ssl.SSLContext | None) -> Finding:
    try:
        with _connected(url, tls) as connection:
            connection.sendall(_PREFACE)
            first = connection.recv(16)
    except ssl.SSLError as error:
        return _wrong(url, str(error), _TLS_FIX)
    except OSError as error:
        return _wrong(url, str(error), "start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT")
    if first[_FRAME_TYPE : _FRAME_TYPE + 1] != _SETTINGS:
        fix = "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use port 4317; with TLS write https://"
        return _wrong(url, "the port speaks no gRPC", fix)
    return Finding("collector", "ok", f"{url} speaks gRPC")


@contextlib.contextmanager
def _connected(url: str, tls: ssl.SSLContext | None) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as opened:
        if url.startswith("unix:"):
            made = opened.enter_context(socket.socket(socket.AF_UNIX))
            made.settimeout(TIMEOUT)
            made.connect(url.removeprefix("unix://"))
        else:
            parts = urlsplit(url)
            address = parts.hostname or "localhost", parts.port or 4317
            made = opened.enter_context(socket.create_connection(address, TIMEOUT))
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            made = opened.enter_context(tls.wrap_socket(made, server_hostname=urlsplit(url).hostname))
        yield made


def _wrong(url: str, cause: str, fix: str) -> Finding:
    return Finding("collector", "fail", f"{url} accepts no data: {cause}", fix, "SLO126")
