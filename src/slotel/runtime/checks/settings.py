"""Settings of OpenTelemetry and of the machine whose faults nobody names, or that show far from their cause."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from slotel.config.load import is_there
from slotel.config.problem import variable
from slotel.config.service import Reading
from slotel.runtime.finding import Finding
from slotel.runtime.metrics.scrape.http.port import PORT, port_number, read_address
from slotel.runtime.setup.defaults import LEFT_OUT
from slotel.runtime.setup.exporters import otlp_protocol, wants_prometheus
from slotel.runtime.setup.uninstrumented import AT_THE_SERVER, NOT_AT_ALL

RESOURCE: Final = "OTEL_RESOURCE_ATTRIBUTES"
CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
_NUMBERS: Final = re.compile(
    r"OTEL_(?:BSP|BLRP)_(?:SCHEDULE_DELAY|EXPORT_TIMEOUT|MAX_QUEUE_SIZE|MAX_EXPORT_BATCH_SIZE)|OTEL_METRIC_EXPORT_(?:INTERVAL|TIMEOUT)"
    r"|OTEL_\w+_LIMIT|OTEL_EXPORTER_OTLP_(?:\w+_)?TIMEOUT"
)
"""Variables whose value is a number, of milliseconds, seconds or things; it has no unit."""
_NUMBER: Final = re.compile(r"\d{1,18}(?:\.\d{1,18})?")
_NOT_ZERO: Final = re.compile(r"OTEL_(?:BSP|BLRP)_(?:SCHEDULE_DELAY|MAX_QUEUE_SIZE|MAX_EXPORT_BATCH_SIZE)")
_QUEUE: Final = 2048
_REPEATED_GROUP: Final = re.compile(r"\)(?:[+*]|\{\d+,)")
_SLOW: Final = 0.001
"""Seconds of a match of at most 18 characters; a pattern that looks at each once takes some microseconds."""
_ENDPOINT: Final = re.compile(r"OTEL_EXPORTER_OTLP_(?:(TRACES|METRICS|LOGS)_)?ENDPOINT")
_OF_PROTOCOL: Final = {"grpc": 4317, "http/protobuf": 4318}
_AUTHORITIES: Final = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "OTEL_EXPORTER_OTLP_CERTIFICATE",
)  # fmt: skip
_EXCLUDED: Final = (
    "OTEL_PYTHON_EXCLUDED_URLS",
    *(
        f"OTEL_PYTHON_{name.replace('-', '_').upper()}_EXCLUDED_URLS"
        for name in (*AT_THE_SERVER, *NOT_AT_ALL)
    ),
)
"""Variables with the addresses whose requests a server's instrumentation leaves out. Of calls nobody must see all."""
_OF_NOBODY: Final = "http://q7x.invalid/k4z/w9j"
"""An address that only a pattern for every address matches."""
_MISNAMED: Final = ("slotel.yml", ".slotel.yaml", ".slotel.yml", "slotel.json", "slotel.toml")


def misnamed_file(environ: Mapping[str, str], folder: Path | None = None) -> Iterator[Finding]:
    """Whether a file here is meant to be slotel.yaml, and is not read."""
    here = Path() if folder is None else folder
    if environ.get("SLOTEL_CONFIG", "").strip() or is_there(here / "slotel.yaml"):
        return
    for name in _MISNAMED:
        if is_there(here / name):
            text = f"{name} is not read: the file is called slotel.yaml"
            yield Finding("configuration", "warn", text, f"rename it, or set SLOTEL_CONFIG={name}", "SLO107")
            return


def excluded_urls(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether a list of addresses that instrumentations leave out holds all, as one with an empty pattern does."""
    for name in _EXCLUDED:
        written = environ.get(name, "").strip()
        try:
            if not written or not re.search("|".join(map(str.strip, written.split(","))), _OF_NOBODY):
                continue
        except (re.error, OverflowError, RecursionError) as error:
            text = f"{variable(name, written)} is no list of regular expressions: {error}"
            yield Finding("instrumentation", "fail", text, "correct it", "SLO137")
        else:
            text = f"{variable(name, written)} matches every address: no request is counted or traced"
            fix = "leave out what is empty between two commas, and write each as /healthz$"
            yield Finding("instrumentation", "warn", text, fix, "SLO137")


def patterns(reading: Reading) -> Iterator[Finding]:
    """Whether the pattern of a tag can be kept busy by a value: Python tries all ways to read a repeat in a repeat."""
    for key, rule in reading.service.tags.required.items():
        if rule.pattern is not None and _is_exponential(rule.pattern):
            text = f"tags.required.{key}.pattern: a client's value of 30 characters can hold a request for minutes"
            yield Finding(
                "configuration", "warn", text, "write it without a repeat within a repeat", "SLO108"
            )


def _is_exponential(pattern: str) -> bool:
    """Return whether a few characters more take many times as long, for one character repeated and a wrong end."""
    if _REPEATED_GROUP.search(pattern) is None:
        return False
    matches = re.compile(pattern, re.ASCII).fullmatch

    def seconds(text: str) -> float:
        best = math.inf
        for _ in range(3):
            begun = time.thread_time()
            matches(text)
            best = min(best, time.thread_time() - begun)
        return best

    for character in dict.fromkeys((*"aA0 -_./:é", *filter(str.isalnum, pattern))):
        before = seconds(character * 6 + "\0")
        for length in range(8, 20, 2):
            now = seconds(character * length + "\0")
            if now > _SLOW:
                if now > 2.5 * before:  # four times where each character doubles it
                    return True
                break
            before = now
    return False


def resource_attributes(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether each resource attribute is a pair: the SDK leaves out what is none."""
    pairs = [pair.strip() for pair in environ.get(RESOURCE, "").split(",") if pair.strip()]
    for pair in pairs:
        if not pair.partition("=")[0].strip() or "=" not in pair:
            text = f"{RESOURCE}: {pair.partition('=')[0].partition(':')[0].strip()[:80]!r} has no value and is left out"
            yield Finding("configuration", "warn", text, "write key=value,key=value", "SLO106")


def numbers(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether OpenTelemetry's numbers are numbers, and a batch fits into its queue."""
    for name, value in sorted({**LEFT_OUT, **environ}.items()):
        written = value.strip()
        if not written or _NUMBERS.fullmatch(name) is None:
            continue
        if _NUMBER.fullmatch(written) is None:
            text = f"{variable(name, value)} is not a number"
            yield Finding("opentelemetry", "fail", text, "write digits without a unit", "SLO127")
        elif _NOT_ZERO.fullmatch(name) is not None and not float(written):
            yield Finding("opentelemetry", "fail", f"{variable(name, value)} is 0", "write more", "SLO127")
    for kind in ("BSP", "BLRP"):
        batch, queue = (
            environ.get(f"OTEL_{kind}_MAX_{what}", "").strip() for what in ("EXPORT_BATCH_SIZE", "QUEUE_SIZE")
        )
        most = int(queue) if _NUMBER.fullmatch(queue) and queue.isdecimal() else _QUEUE
        if _NUMBER.fullmatch(batch) and batch.isdecimal() and int(batch) > most:
            text = f"OTEL_{kind}_MAX_EXPORT_BATCH_SIZE={batch} is more than the queue holds ({most})"
            yield Finding("opentelemetry", "fail", text, f"raise OTEL_{kind}_MAX_QUEUE_SIZE", "SLO127")


def endpoints(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the OTLP endpoints are URLs, on the port of their protocol."""
    for name, value in sorted(environ.items()):
        match, written = _ENDPOINT.fullmatch(name), value.strip()
        if match is None or not written:
            continue
        protocol = otlp_protocol(environ, match[1])
        try:
            port = urlsplit(written).port
        except ValueError:
            text = f"{variable(name, written)} is no URL with a valid host and port"
            yield Finding("exporters", "fail", text, f"write http://HOST:{_port_of(protocol)}", "SLO128")
            continue
        if "://" not in written and protocol != "grpc":
            text = f"{variable(name, written)} is no URL"
            yield Finding("exporters", "fail", text, f"write http://{written[:80]}", "SLO128")
        elif port in set(_OF_PROTOCOL.values()) - {_OF_PROTOCOL.get(protocol)}:
            text = f"{name} names port {port}, and OTEL_EXPORTER_OTLP_PROTOCOL is {protocol[:80]!r}"
            fix = f"collectors take {protocol[:80]} on port {_port_of(protocol)}"
            yield Finding("exporters", "warn", text, fix, "SLO128")


def _port_of(protocol: str) -> int:
    return _OF_PROTOCOL.get(protocol, _OF_PROTOCOL["http/protobuf"])


def config_file(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the file of a declarative configuration is there."""
    named = environ.get(CONFIG_FILE, "").strip()
    if named and not os.path.isfile(named):  # noqa: PTH113 Path's raises for a name that is too long
        text = f"{variable(CONFIG_FILE, named)}: there is no such file"
        yield Finding("opentelemetry", "fail", text, "correct the path, or unset it", "SLO129")


def authorities(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the certificates that connections are checked with are there: a missing file trusts nobody."""
    for name in _AUTHORITIES:
        named = environ.get(name, "").strip()
        if named and not os.path.exists(named):  # noqa: PTH110 as above
            text = f"{variable(name, named)}: there is no such file, and no certificate is trusted"
            yield Finding("sentry", "fail", text, "correct the path, or unset it", "SLO149")


def own_port(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the app is told to listen on the port of the metrics."""
    number = port_number(environ.get("PORT", "").strip())
    if wants_prometheus(environ) and number and number == read_address(environ)[1]:
        text = f"PORT={number} is the metrics port, too: the app or /metrics will have none"
        yield Finding("metrics", "fail", text, f"set {PORT} to another port", "SLO151")
