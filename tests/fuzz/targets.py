"""What is fuzzed: each target takes bytes and must keep its promise, whatever they are. Run by run.py and by the tests."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable
from math import isnan
from pathlib import Path
from urllib.parse import quote

import yaml
from opentelemetry.context import Context
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from promql_parser import parse as parse_promql

from slotel.compile.prometheus import rules as rule_files
from slotel.config.foreign.formats import read_any
from slotel.config.ratio import parse_limit, parse_objective, parse_ratio
from slotel.config.service import read_service
from slotel.runtime.metrics.scrape.exposition import Exposition
from slotel.runtime.metrics.scrape.http.access import Access
from slotel.runtime.metrics.scrape.http.connection import parse
from slotel.runtime.metrics.store.family import Family, merge
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.metrics.store.table import bounded
from slotel.runtime.metrics.workers.compaction import add_up
from slotel.runtime.metrics.workers.file_reader import WorkerFileReader
from slotel.runtime.metrics.workers.runtime_directory import RuntimeDirectory
from slotel.runtime.metrics.workers.series_index import SeriesIndex, UnreadableError
from slotel.runtime.redaction.redactor import Redactor
from slotel.runtime.sentry.propagation import SentryHeaders
from slotel.runtime.sentry.transport.encode import envelope, serialize

VARIABLES = (
    "SENTRY_DSN", "SENTRY_ENVIRONMENT", "SENTRY_RELEASE", "SENTRY_TRACES_SAMPLE_RATE", "ERROR_BUDGET_LIMIT",
    "SLOTEL_MAX_SERIES", "SLOTEL_SENTRY_KEEP", "SLOTEL_HTTP_METRICS", "SLOTEL_HANDLE_SIGTERM", "SLOTEL_SENTRY_MODE",
)  # fmt: skip


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def configuration(data: bytes) -> None:
    """slotel.yaml: a reading with problems, never an exception."""
    read_service({}, text(data))


def foreign(data: bytes) -> None:
    """OpenSLO and Sloth files: read, or refused with the reason."""
    read_any({}, text(data), "slos.yaml")


def rules(data: bytes) -> None:
    """Names from anywhere, of a service, its objectives and its labels: refused, or rules that Prometheus parses."""
    parts = [*text(data).split("\n", 4), "", "", "", ""]
    document = {
        "version": 1,
        "service": parts[0],
        "slos": [
            {
                "name": parts[1],
                "objective": "99%",
                "description": parts[4],
                "include": {"http.route": [parts[2]]},
            }
        ],
        "monitoring": {"match": {"environment": parts[3]}},
    }
    service = read_service({}, json.dumps(document)).service
    try:
        files = rule_files.files(service)
    except ValueError:
        return
    for group in yaml.load(files[rule_files.PATH], yaml.CSafeLoader)[
        "groups"
    ]:  # in C: the rest is what is fuzzed
        for rule in group["rules"]:
            parse_promql(rule["expr"])


def environment(data: bytes) -> None:
    """Every variable: a problem and a default, never an exception."""
    values = text(data).replace("\x00", "").split("\n")
    read_service(dict(zip(VARIABLES, values, strict=False)))
    for value in values:
        for reads in (parse_ratio, parse_limit, parse_objective):
            try:
                reads(value)
            except ValueError:
                continue


def request(data: bytes) -> None:
    """HTTP of the endpoint: a request or none."""
    found = parse(data.partition(b"\r\n\r\n")[0])
    if found is not None:
        Access().refusal(found)


def propagation(data: bytes) -> None:
    """Headers of a caller: a context, whatever they say."""
    parts = text(data).split("\n")
    carrier = {name: value for name, _, value in (part.partition(":") for part in parts)}
    carrier.setdefault("sentry-trace", parts[0])
    carrier.setdefault("baggage", parts[-1])
    assert isinstance(SentryHeaders().extract(carrier, Context()), Context)


def series_index(data: bytes) -> None:
    """A catalogue of another process: read, or refused with a reason."""
    reasons = []
    try:
        SeriesIndex({}).parse(data)
    except UnreadableError as error:
        reasons.append(str(error))
    assert set(reasons) <= {"corrupt_file", "foreign_file", "other_version", "other_service"}


def worker_files(data: bytes) -> None:
    """Both files of another process, forged: the reader skips what is wrong, and adds up what is not."""
    names, _, cells = data.partition(b"\xff")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "slotel-8d9001d3-1-2-0123456789abcdef"
        path.mkdir(0o700)
        (path / "11-22-01234567.names").write_bytes(names)
        (path / "11-22-01234567.cells").write_bytes(cells)
        reader = WorkerFileReader(RuntimeDirectory(str(path)), "shop", lambda _file, _why: None)
        parts = [peer.part for peer in reader.read() if peer.part is not None]
        merge(parts)
        add_up(parts, 2000)


def exposition(data: bytes) -> None:
    """Label values and names from anywhere: what is written is read back, by the reference parsers."""
    values = [bounded(value) for value in text(data).split("\n")[:8]] or [""]
    numbers = [struct.unpack("d", data[at : at + 8])[0] for at in range(0, min(len(data) - 7, 64), 8)] or [
        1.0
    ]
    numbers = [1.0 if isnan(number) else number for number in numbers]  # a counter of the store is none
    rows = {(value,): (abs(numbers[number % len(numbers)]),) for number, value in enumerate(values)}
    family = Family("fuzz", "counter", values[0], "", ("value",), (), rows, {}, 0.0)
    target = {"service.name": values[0], values[-1]: values[0]}
    for openmetrics, parser in ((False, parse_text), (True, parse_openmetrics)):
        written = "".join(Exposition(target).render([family], openmetrics=openmetrics))
        if openmetrics and not written.endswith("# EOF\n"):
            written += "# EOF\n"
        found = {found.name: found for found in parser(written)}
        assert len([sample for sample in found["fuzz"].samples if sample.name == "fuzz_total"]) == len(rows)


def envelopes(data: bytes) -> None:
    """An event of any content: an envelope whose items have the lengths that they say."""
    value = text(data)
    event = {
        "message": value,
        "extra": {value[:50]: data, "list": [value, {"deep": value}], "nan": float("nan")},
    }
    payload = serialize(event)
    body = envelope({"event_id": "0" * 32}, [({"type": "event"}, payload)], 0.0)
    _, _, rest = body.partition(b"\n")
    head, _, rest = rest.partition(b"\n")
    assert rest[: len(payload)] == payload
    assert str(len(payload)).encode() in head


def store(data: bytes) -> None:
    """Label values into a store: every one is counted, in its own row or the overflow's."""
    made = Store(max_series=10)
    counter = made.counter("c", help="", label_names=("a",))
    values = text(data).split("\n")
    for value in values:
        counter.add(counter.slot((value,)))
    (found,) = [family for family in made.snapshot() if family.name == "c"]
    assert sum(row[0] for row in found.series.values()) == len(values)


def redaction(data: bytes) -> None:
    """Any text around secrets: they are gone wherever the text leaves them their own line, key or place in a pair."""
    redactor, secret = Redactor(("*.pin",)), "SEK7RETx9"
    if secret.encode() in data:  # atheris learns it, and writes it where nothing tells it from any other word
        return
    before, _, after = text(data).partition("\n")
    shown = redactor.text(
        f"{before}\nhttps://u:{secret}@h/{quote(after, safe='', errors='surrogatepass')}\n{after}"
    )
    assert secret not in shown, shown
    line = after.partition("\n")[0]
    for source in (f"API_KEY = '{secret}'  # {line}", f"KEY = os.getenv('API_KEY', '{secret}')  # {line}"):
        assert secret not in redactor.source(source), source
    given = {
        "password": f"{before}{secret}",
        "list": [("Authorization", secret), {"card": {"pin": secret}}],
        "text": after,
    }
    redacted = redactor.data(given)
    assert secret not in repr(redacted), redacted
    assert redacted.keys() == given.keys()
    assert (
        redactor.attributes({"api_key": (secret, before), "n": 1, "t": after})["api_key"]
        == ("[Filtered]", "[Filtered]")
        or not before
    )


TARGETS: dict[str, Callable[[bytes], None]] = {
    made.__name__: made
    for made in (
        configuration,
        foreign,
        rules,
        environment,
        request,
        propagation,
        series_index,
        worker_files,
        exposition,
        envelopes,
        store,
        redaction,
    )
}
SEEDS: dict[str, list[bytes]] = {
    "configuration": [
        b"version: 1\nservice: x\nslos: [{name: a, objective: 99%, latency: 300ms}]\ntags: {metric_labels: [team]}\n"
    ],
    "foreign": [
        b"version: prometheus/v1\nservice: s\nslos: [{name: a, objective: 99, sli: {events: {error_query: 'sum(rate(e{a=\"b\"}[{{.window}}]))', total_query: 'sum(rate(t[{{.window}}]))'}}, alerting: {name: A}}]\n",
        b"apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}\nspec: {service: s, objectives: [{target: 0.99}]}\n",
    ],
    "rules": [
        b"shop\navailability\n/orders/*\nprod\nWhat `users` {{ see }}",
        b"a`b\n\\ %s\n{x}\n$value\n\"'",
    ],
    "environment": [
        b"https://k@host/1\nprod\n1.0\n0.5\n5%\n2000\nerrors,slow:2s\nslotel\ntrue\nsdk",
        b"slo:99.9%",
        b"1/1000",
    ],
    "request": [
        b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost:9464\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5"
    ],
    "propagation": [
        b"sentry-trace:0123456789abcdef0123456789abcdef-0123456789abcdef-1\nbaggage:sentry-trace_id=1,sentry-sample_rate=0.5"
    ],
    "series_index": [
        b'{"slotel":1,"order":"little","service":"shop","created":1.0,"absorbs":[]}\n["table",{"name":"c","kind":"counter","help":"","unit":"","label_names":["a"],"bounds":[],"count_name":null,"ring":[0,0,0]}]\n["row",0,0,[]]\n["row",0,1,["x"]]\n',
    ],
    "exposition": [b'a\nb\\"\n\xc3\xa9', struct.pack("d", 1e300) + b"x"],
    "envelopes": [b"message"],
    "store": [b"a\nb"],
    "redaction": [
        b"see 'x' and {\"a\": [\nand more",
        b"?token=%2525a;b[c]=&d\n--password x </secret> https%3A%2F%2Fu%3Ap%40h",
        b"-----BEGIN PRIVATE KEY-----\neyJhbGciOiJ.eyJ 4111 1111 1111 1111 %zz://@",
    ],
}
SEEDS["worker_files"] = [SEEDS["series_index"][0] + b"\xff" + struct.pack("2d", 1.0, 2.0)]
