"""Some four hundred markers in every place where a secret has been seen, against every exit; sentry-sdk alone beside it.

`LEAKS_WRITE=1` writes the table into docs/security.md; `LEAKS_BEFORE` names the `bin` folder of an environment with an
earlier slotel, for its column.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from slotel.cli.sink.server import SentrySink
from support import launch
from support.launch import APPS, Launched, wait_until

HERE = APPS / "leaks"
sys.path.insert(0, str(HERE))
import places  # noqa: E402 it lies beside the apps, which import it too

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- written by tests/leaks -->", "<!-- end -->"
MARKED = re.compile(rb"SEK[0-9a-f]{8}RET")
KINDS = ("flask", "fastapi", "celery", "script")
ARGUMENTS = [
    f"--db-password={places.value('process', 'argument =')}",
    "--token",
    places.value("process", "argument"),
]
PLACES = dict(places.all_marks())
DELIBERATE = {mark for mark, place in PLACES.items() if place.startswith("deliberate: ")}


@dataclass
class Leaks:
    """What one kind of app let out: exit → markers."""

    found: dict[str, set[str]] = field(default_factory=dict)

    def look(self, way_out: str, data: bytes | str) -> None:
        data = data if isinstance(data, bytes) else data.encode()
        self.found.setdefault(way_out, set()).update(mark.decode() for mark in MARKED.findall(data))

    @property
    def everywhere(self) -> set[str]:
        return set().union(*self.found.values())


def sentry_items(sink, kinds=("event", "transaction", "log")):
    return [
        (header["type"], payload)
        for envelope in list(sink.envelopes)
        for header, payload in envelope.items
        if header.get("type") in kinds
    ]


def look_at_sentry(leaks, sink):
    for kind, payload in sentry_items(sink):
        leaks.look(
            f"Sentry {kind}",
            json.dumps(payload, ensure_ascii=False) if not isinstance(payload, bytes) else payload,
        )


def environment(sink, folder, **more):
    return {
        "SENTRY_DSN": sink.dsn("42"),
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "prometheus,otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": ".*",
        "OTEL_RESOURCE_ATTRIBUTES": (
            f"deploy.token={places.value('resource', 'key')},deploy.url=https://u:{places.value('resource', 'URL')}@h/"
        ),
        "ERROR_BUDGET_LIMIT": f"https://u:{places.value('process', 'setting')}@h/",
        "BROKER_DIR": str(folder / "broker"),
        **more,
    }  # fmt: skip


def command(kind):
    if kind == "celery":
        return [
            "celery", "-A", "celery_app", "worker", "--pool=solo", "-l", "warning",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]  # fmt: skip
    return [sys.executable, f"{kind}_app.py" if kind != "script" else "script.py", *ARGUMENTS]


def leak(kind, service, environ):
    """Make the app leak."""
    if kind in ("flask", "fastapi"):
        service.wait_ready()
        path, headers, body = places.request_parts()
        request = urllib.request.Request(f"http://127.0.0.1:{service.port}{path}", body, headers)
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(request, timeout=120)
    elif kind == "celery":
        code = (
            "import celery_app as c; "
            f"c.leak.delay('bob', password={places.value('task', 'keyword argument')!r})"
        )
        with Launched(sys.executable, "-c", code, env=environ, launcher=False, cwd=HERE) as sender:
            wait_until(lambda: sender._process.poll() is not None, "the task is sent")


def has_all(sink, kind):
    """Whether the error that ends the request has arrived, and what is sent with it."""

    def arrived():
        items = sentry_items(sink)
        ends = any(
            "ValueError" in {each.get("type") for each in (payload.get("exception") or {}).get("values", ())}
            for item, payload in items
            if item == "event"
        )
        return ends and (kind == "script" or "transaction" in {item for item, _ in items})

    return arrived


def run_slotel(kind, folder, own_directory):
    leaks = Leaks()
    with SentrySink() as sink:
        environ = environment(sink, folder)
        service = Launched(*command(kind), env=environ, cwd=HERE)
        try:
            leak(kind, service, environ)
            wait_until(has_all(sink, kind), f"events of {kind}; it said:\n{service.log}")
            if kind != "script":
                leaks.look("/metrics", service.scrape())
                leaks.look(
                    "/metrics", service.scrape({"Accept": "application/openmetrics-text; version=1.0.0"})
                )
                with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/", timeout=60) as page:
                    leaks.look("status page", page.read())
            for file in own_directory.rglob("*"):
                if file.is_file():
                    leaks.look("runtime directory", file.read_bytes())
        finally:
            log = service.stop()
        for line in log.splitlines():
            if "slotel" in line and "leaks" not in line:
                leaks.look("slotel's log lines", line)
        look_at_sentry(leaks, sink)
        for request in sink.others:
            leaks.look(f"OTLP {request.target.rpartition('/')[2]}", request.body)
        # whoever looked at nothing has found nothing
        assert {"OTLP traces", "OTLP logs", "Sentry event", "slotel's log lines"} <= leaks.found.keys()
        assert kind == "script" or {"OTLP metrics", "/metrics", "status page"} <= leaks.found.keys()
    return leaks


def run_plain(kind, folder):
    leaks = Leaks()
    with SentrySink() as sink:
        environ = {"LEAKS_PLAIN": sink.dsn("42"), "BROKER_DIR": str(folder / "broker")}
        service = Launched(*command(kind), env=environ, launcher=False, cwd=HERE)
        try:
            leak(kind, service, environ)
            wait_until(has_all(sink, kind), f"events of {kind}; it said:\n{service.log}")
        finally:
            service.stop()
        look_at_sentry(leaks, sink)
    return leaks


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run_plain("flask", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """What an earlier slotel lets out; None where there is none to ask."""
    programs = os.environ.get("LEAKS_BEFORE")
    if not programs:
        return None
    folder = tmp_path_factory.mktemp("before")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "LAUNCHER", Path(programs) / "opentelemetry-instrument")
        patch.setattr(sys, "executable", str(Path(programs) / "python"))
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        return run_slotel("flask", folder, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_leaves_by_any_exit_but_those_that_are_said_to(
    kind, tmp_path, own_runtime_directory, request
):
    leaks = run_slotel(kind, tmp_path, own_runtime_directory)
    wrong = {
        way_out: sorted(PLACES.get(mark, mark) for mark in marks - DELIBERATE)
        for way_out, marks in leaks.found.items()
        if marks - DELIBERATE
    }
    assert wrong == {}
    # that the markers were there to be found: what has no name and no form is
    assert {places.mark("deliberate: word in a sentence")} <= leaks.everywhere
    if kind == "flask":
        beside = request.getfixturevalue("plain")
        assert len(beside.everywhere) > 30, "plain sentry-sdk should leak: else nothing was tried"
        write_table(leaks, beside, request.getfixturevalue("before"))


def write_table(leaks, plain, before):
    """Write which places leak: with sentry-sdk alone, with an earlier slotel if there is one, and with this one."""
    columns = {"sentry-sdk alone": plain, "slotel 0.1": before, "slotel": leaks}
    columns = {name: found for name, found in columns.items() if found is not None}
    lines = [f"| place | markers | {' | '.join(columns)} |", "| --- | ---:" + " | ---:" * len(columns) + " |"]
    places_of = Counter(place.partition(": ")[0] for place in PLACES.values())
    for place, count in places_of.items():
        if place == "task":
            continue
        marks = {mark for mark, where in PLACES.items() if where.startswith(f"{place}: ")}
        counts = [str(len(marks & found.everywhere)) for found in columns.values()]
        lines.append(f"| {place} | {count} | {' | '.join(counts)} |")
    if os.environ.get("LEAKS_WRITE"):
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
    print("\n".join(lines))
