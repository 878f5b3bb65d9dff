"""Some 560 markers in every place where a secret has been seen, against every exit; sentry-sdk alone beside it.

`LEAKS_WRITE=1` writes the tables into docs/security.md; `LEAKS_BEFORE` names the `bin` folder of an environment with an
earlier slotel, for its column.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
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
WRITING = os.environ.get("LEAKS_WRITE") == "1"
FOUND: dict[str, dict[str, Leaks]] = {}
"""Kind of app → what was run → what it let out."""
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
    folder.mkdir()
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


def run_before(kind, folder):
    """What an earlier slotel lets out."""
    programs = Path(os.environ["LEAKS_BEFORE"])
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "LAUNCHER", programs / "opentelemetry-instrument")
        patch.setattr(sys, "executable", str(programs / "python"))
        patch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        return run_slotel(kind, folder, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_leaves_by_any_exit_but_those_that_are_said_to(kind, tmp_path, own_runtime_directory):
    leaks = run_slotel(kind, tmp_path, own_runtime_directory)
    wrong = {
        way_out: sorted(PLACES.get(mark, mark) for mark in marks - DELIBERATE)
        for way_out, marks in leaks.found.items()
        if marks - DELIBERATE
    }
    assert wrong == {}
    # that the markers were there to be found: what has no name and no form is
    assert {places.mark("deliberate: word in a sentence")} <= leaks.everywhere
    if kind == "flask" or WRITING:
        beside = run_plain(kind, tmp_path / "plain")
        assert len(beside.everywhere) > 30, "plain sentry-sdk should leak: else nothing was tried"
        FOUND[kind] = {"sentry-sdk alone": beside}
    if WRITING and os.environ.get("LEAKS_BEFORE"):
        FOUND[kind]["slotel 0.1"] = run_before(kind, tmp_path / "before")
    if WRITING:
        FOUND[kind]["slotel"] = leaks


@pytest.mark.skipif(not WRITING, reason="LEAKS_WRITE=1 writes the tables")
def test_the_tables_are_written():
    """By place, of Flask; and by exit, of every kind of app."""
    written = f"{BEGIN}\n{by_place(FOUND['flask'])}\n\n{by_exit()}\n{END}"
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{written}{rest.partition(END)[2]}", encoding="utf-8")


def by_place(columns):
    """The table of which places leak: with sentry-sdk alone, with an earlier slotel if there is one, and with this one."""
    lines = [f"| place | markers | {' | '.join(columns)} |", "| --- | ---:" + " | ---:" * len(columns) + " |"]
    for place in dict.fromkeys(place.partition(": ")[0] for place in PLACES.values()):
        if place != "task":
            marks = {mark for mark, where in PLACES.items() if where.startswith(f"{place}: ")}
            counts = [str(len(marks & found.everywhere)) for found in columns.values()]
            lines.append(f"| {place} | {len(marks)} | {' | '.join(counts)} |")
    return "\n".join(lines)


def by_exit():
    """The table of how many markers come out of each exit of each kind of app; those that are meant to are not counted."""
    apps = [(kind, name) for kind, columns in FOUND.items() for name in columns]
    exits = dict.fromkeys(
        way_out for columns in FOUND.values() for found in columns.values() for way_out in found.found
    )
    lines = [
        f"| exit | {' | '.join(f'{kind}, {name}' for kind, name in apps)} |",
        "| --- |" + " ---: |" * len(apps),
    ]
    for way_out in exits:
        cells = [
            str(len(found[way_out] - DELIBERATE)) if way_out in found else "–"
            for found in (FOUND[kind][name].found for kind, name in apps)
        ]
        lines.append(f"| {way_out} | {' | '.join(cells)} |")
    return "\n".join(lines)
