"""Settings of OpenTelemetry and of the machine whose errors are reported nowhere, or far from their cause."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
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
_SLOW: Final = 0.001
"""Seconds of a match of some twenty characters; a pattern that looks at each once takes some microseconds."""
_TOO_LONG: Final = 0.01
"""Seconds of a match that a request may be held for."""
_LONGEST_TAG: Final = 200
_LONGEST_URL: Final = 1_000
_WORD: Final = re.compile(r"[A-Za-z0-9]{2,12}")
_MOST_WORDS: Final = 200
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
"""Variables with the addresses whose requests an instrumentation of servers leaves out; one of clients may leave out
calls."""
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
        if written and _is_slow(f"(?s:.*)(?:{'|'.join(map(str.strip, written.split(',')))})", _LONGEST_URL):
            yield _busy(f"{variable(name, written)}: a URL")
        try:
            if not written or not re.search("|".join(map(str.strip, written.split(","))), _OF_NOBODY):
                continue
        except (re.error, OverflowError, RecursionError) as error:
            text = f"{variable(name, written)} is not a valid list of regular expressions: {error}"
            yield Finding("instrumentation", "fail", text, "correct it", "SLO137")
        else:
            text = f"{variable(name, written)} matches every address: no request is counted or traced"
            fix = "remove empty entries between commas, and write each pattern as /healthz$"
            yield Finding("instrumentation", "warn", text, fix, "SLO137")


def patterns(reading: Reading) -> Iterator[Finding]:
    """Whether some value of a tag makes its pattern backtrack exponentially: it has a repeat within a repeat."""
    for key, rule in reading.service.tags.required.items():
        if rule.pattern is not None and _is_slow(rule.pattern, _LONGEST_TAG):
            yield _busy(f"tags.required.{key}.pattern: a client's value")


def _busy(what: str) -> Finding:
    text = f"{what} can block the process for minutes"
    return Finding(
        "configuration", "warn", text, "write the pattern without nested or adjacent repeats", "SLO108"
    )


def _is_slow(pattern: str, longest: int) -> bool:
    """Return whether some text makes the pattern try very many ways to read it.

    Each repeated group is tried alone, before an end that never matches, with words of the pattern's own characters;
    the whole pattern with a long run of one character.
    """
    characters = list(dict.fromkeys((*"aA0 -_./:\u00e9", *filter(str.isalnum, pattern))))
    words = [*characters, *_words(pattern)][:_MOST_WORDS]
    try:
        groups = [re.compile(f"{group}(?!)", re.ASCII).match for group in _repeated_groups(pattern)]
        whole = re.compile(pattern, re.ASCII).fullmatch
    except (re.error, OverflowError, RecursionError):  # a part alone is none, as one that names another group
        return False
    return any(_doubles(matches, word) for matches in groups for word in words) or any(
        _takes_long(whole, character, longest) for character in characters
    )


def _words(pattern: str) -> Iterator[str]:
    """Yield texts of two and more characters that a group of the pattern may repeat."""
    literal = re.sub(r"\\.|\[[^\]]*\]|\{[^}]*\}|[()?*+|:]", " ", pattern)
    yield from _WORD.findall(literal)
    shown = list(dict.fromkeys(filter(str.isalnum, pattern)))[:8]
    yield from (
        first + second for first in shown for second in (*shown, "-", ".", "_", " ") if first != second
    )
    yield from (f"{first}{second}{first}" for first in shown for second in shown if first != second)


def _repeated_groups(pattern: str) -> Iterator[str]:
    """Yield each group that may be repeated, without its count: what that holds back comes at once, and too late."""
    opened: list[int] = []
    for sign in re.finditer(
        r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(|\)([*+?]\??|\{[^}]*\}\??)?", pattern, re.DOTALL
    ):
        if sign[0] == "(":
            opened.append(sign.start())
        elif sign[0][0] == ")" and opened:
            start = opened.pop()
            if sign[1] is not None:
                yield f"{pattern[start : sign.start() + 1]}{'?' if sign[1][0] == '?' else '*'}"


def _seconds(matches: Callable[[str], object], text: str) -> float:
    begun = time.thread_time()
    matches(text)
    return time.thread_time() - begun


def _doubles(matches: Callable[[str], object], word: str) -> bool:
    """Whether one word more takes twice as long."""
    before = math.inf
    for times in range(4, 22):
        now = min(_seconds(matches, word * times) for _ in range(2))
        if now > _SLOW and (now > _TOO_LONG or now > 1.6 * before):
            return True
        before = now
    return False


def _takes_long(matches: Callable[[str], object], character: str, longest: int) -> bool:
    """Whether a long run of a character holds the match for longer than a request may be held."""
    length = 8
    while length <= longest:
        if _seconds(matches, character * length + "\0") > _TOO_LONG:
            return True
        length += length // 4
    return False


def resource_attributes(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether each resource attribute is a key=value pair: the SDK leaves out any other."""
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
            text = f"{variable(name, written)} is not a URL with a valid host and port"
            yield Finding("exporters", "fail", text, f"write http://HOST:{_port_of(protocol)}", "SLO128")
            continue
        if "://" not in written and protocol != "grpc":
            text = f"{variable(name, written)} is not a URL"
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
    """Whether the files of trusted certificates exist: without them every connection is refused."""
    for name in _AUTHORITIES:
        named = environ.get(name, "").strip()
        if named and not os.path.exists(named):  # noqa: PTH110 as above
            text = f"{variable(name, named)}: there is no such file, and no certificate is trusted"
            yield Finding("sentry", "fail", text, "correct the path, or unset it", "SLO149")


def own_port(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the app is configured to listen on the port of the metrics."""
    number = port_number(environ.get("PORT", "").strip())
    if wants_prometheus(environ) and number and number == read_address(environ)[1]:
        text = f"PORT={number} is also the metrics port: the application and /metrics cannot both use it"
        yield Finding("metrics", "fail", text, f"set {PORT} to another port", "SLO151")
