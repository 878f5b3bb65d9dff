"""From an empty folder to a counted request, an event and a page that burns: the README's commands, by framework.

    python bench/first_hour.py dist/slotel-*.whl            # prints the table of docs/tutorial.md; --write writes it

Each framework in a folder and a virtual environment of its own, made by the framework's own first steps; nothing but the
wheel and the package index. Seconds of the wall clock, without the time a person reads and types.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
BEGIN, END = "<!-- written by bench/first_hour.py -->", "<!-- end -->"
PATIENCE = 120.0
"""Seconds that anything may take before the run fails."""

FLASK = """\
from flask import Flask

app = Flask(__name__)


@app.route("/")
def hello():
    return "<p>Hello, World!</p>"


@app.route("/boom")
def boom():
    raise RuntimeError("boom")
"""
FASTAPI = """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def root():
    return {"message": "Hello World"}


@app.get("/boom")
async def boom():
    raise RuntimeError("boom")
"""
DJANGO_URLS = """\
from django.http import HttpResponse
from django.urls import path


def index(request):
    return HttpResponse("Hello, world.")


def boom(request):
    raise RuntimeError("boom")


urlpatterns = [path("", index), path("boom", boom)]
"""
CELERY = """\
from celery import Celery

app = Celery("tasks", broker="filesystem://")
folder = "broker"
app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder}


@app.task
def add(x, y):
    return x + y


@app.task
def boom():
    raise RuntimeError("boom")
"""


@dataclass(frozen=True)
class Framework:
    """A framework's first steps.

    Args:
        install: what pip installs.
        files: path → content, written after `generate`.
        generate: the framework's own generator, if it has one.
        run: the command of the service; `{port}` is where it listens.
        call: Python that sends one task and one failing task; None: GET / and GET /boom.
    """

    install: tuple[str, ...]
    files: dict[str, str]
    run: str
    generate: str = ""
    call: str | None = None
    env: dict[str, str] = field(default_factory=dict)


FRAMEWORKS = {
    "Flask": Framework(("flask", "gunicorn"), {"app.py": FLASK}, "gunicorn -b 127.0.0.1:{port} app:app"),
    "Django": Framework(
        ("django", "gunicorn"),
        {"shop/urls.py": DJANGO_URLS},
        "gunicorn -b 127.0.0.1:{port} shop.wsgi",
        generate="django-admin startproject shop .",
    ),
    "Django, runserver": Framework(
        ("django",),
        {"shop/urls.py": DJANGO_URLS},
        "python manage.py runserver 127.0.0.1:{port}",
        generate="django-admin startproject shop .",
    ),
    "FastAPI": Framework(
        ("fastapi", "uvicorn"), {"main.py": FASTAPI}, "uvicorn main:app --host 127.0.0.1 --port {port}"
    ),
    "FastAPI, fastapi dev": Framework(
        ("fastapi[standard]",), {"main.py": FASTAPI}, "fastapi dev main.py --host 127.0.0.1 --port {port}"
    ),
    "Celery": Framework(
        ("celery",),
        {"tasks.py": CELERY, "broker/.keep": ""},
        "celery -A tasks worker --concurrency 2",
        call="import tasks; tasks.add.delay(1, 2); tasks.boom.delay()",
    ),
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as answer:
        return answer.read().decode(errors="replace")
    except OSError:
        return ""


class Try:
    """One framework's first hour, in one folder."""

    def __init__(self, name: str, wheel: Path, folder: Path) -> None:
        self.what, self.wheel, self.folder = FRAMEWORKS[name], wheel, folder
        self.begun = time.monotonic()
        self.taken: dict[str, float] = {}
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OTEL_", "SENTRY_", "SLOTEL_", "VIRTUAL_ENV"))
        }
        self.env = {**kept, "PATH": f"{folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def sh(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def mark(self, what: str) -> None:
        self.taken[what] = time.monotonic() - self.begun

    def wait(self, what: str, has_come: Any) -> None:
        until = time.monotonic() + PATIENCE
        while not has_come():
            if time.monotonic() > until:
                sys.exit(f"not within {PATIENCE} s: {what}\n{(self.folder / 'log').read_text()}")
            time.sleep(0.1)
        self.mark(what)

    def run(self) -> dict[str, float]:
        what = self.what
        self.sh(f"{sys.executable} -m venv .venv && pip install -q {' '.join(map(repr, what.install))}")
        if what.generate:
            self.sh(what.generate)
        for path, content in what.files.items():
            (self.folder / path).parent.mkdir(exist_ok=True)
            (self.folder / path).write_text(content)
        self.begun = time.monotonic()  # from here on slotel's own time
        self.sh(f"pip install -q {self.wheel}")
        self.mark("pip install slotel")
        self.sh("slotel bootstrap")
        self.mark("slotel bootstrap")
        sink = subprocess.Popen(
            ["slotel", "sink"], cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True
        )
        try:
            assert sink.stdout is not None
            where = json.loads(sink.stdout.readline())
            self.service(where["dsn"], where["page"])
        finally:
            sink.send_signal(signal.SIGTERM)
        return self.taken

    def service(self, dsn: str, sink: str) -> None:
        port, metrics = free_port(), free_port()
        env = {
            **self.env, "OTEL_SERVICE_NAME": "checkout", "SENTRY_DSN": dsn, "ERROR_BUDGET_LIMIT": "5%",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics),
        }  # fmt: skip
        command = ["opentelemetry-instrument", *self.what.run.format(port=port).split()]
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, start_new_session=True
            )
        try:
            if self.what.call is None:
                self.wait("the first answer", lambda: "ello" in fetch(f"http://127.0.0.1:{port}/"))
                fetch(f"http://127.0.0.1:{port}/boom")
            else:
                self.sh(f'python -c "{self.what.call}"')
            self.wait(
                "the first counted request",
                lambda: "traces_span_metrics_calls_total{" in fetch(f"http://127.0.0.1:{metrics}/metrics"),
            )
            self.wait(
                "the first event in Sentry", lambda: "RuntimeError" in fetch(sink) or "boom" in fetch(sink)
            )
            self.wait("a page that burns", lambda: "boom" in fetch(f"http://127.0.0.1:{metrics}/"))
        finally:
            process.terminate()  # the first process alone: of the whole group Celery may wait for ever for a child
            process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--only", choices=FRAMEWORKS)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    for name in [given.only] if given.only else FRAMEWORKS:
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = Try(name, given.wheel.resolve(), Path(folder)).run()
    steps = list(dict.fromkeys(step for taken in rows.values() for step in taken))
    lines = [
        f"| seconds after the first command, until | {' | '.join(rows)} |",
        "| --- |" + " ---: |" * len(rows),
    ]
    for step in steps:
        cells = (f"{taken[step]:.0f}" if step in taken else "–" for taken in rows.values())
        lines += [f"| {step} | {' | '.join(cells)} |"]
    table = "\n".join(lines)
    print(table)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
