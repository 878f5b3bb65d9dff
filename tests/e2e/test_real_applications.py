"""Applications of others, from the package index, as their documentation starts them: the same answers as without slotel.

Each request is counted once. `make test` runs the quick ones, `make applications` every one.
"""

import contextlib
import http.client
import os
import subprocess
import time

import pytest

from support.kept import kept
from support.launch import Launched, clean_environ, wait_until
from support.requests_matrix import APPS_BIN, apps_installed

HTTPBIN = (
    "/get",
    "/status/404",
    "/status/503",
    "/status/418",
    "/headers",
    "/bytes/100000",
    "/redirect-to?url=/get",
    "/nowhere",
)
APPLICATIONS = {
    "httpbin": (("gunicorn", "-b", "127.0.0.1:{port}", "--threads", "2", "httpbin:app"), HTTPBIN, 1),
    "pypiserver": (
        ("pypi-server", "run", "-i", "127.0.0.1", "-p", "{port}", "packages"),
        ("/", "/simple/", "/packages/", "/simple/nothing/", "/health", "/nowhere"),
        0,
    ),
    "datasette": (
        ("datasette", "serve", "--port", "{port}", "--create", "shop.db"),
        ("/", "/shop", "/shop.json", "/-/versions.json", "/nowhere", "/shop/nothing"),
        0,
    ),
    "radicale": (
        (
            "radicale", "--server-hosts", "127.0.0.1:{port}", "--auth-type", "none",
            "--storage-filesystem-folder", "collections",
        ),
        ("/", "/.web/", "/nowhere", "/me/"),
        0,
    ),
    "wagtail": (
        ("gunicorn", "-b", "127.0.0.1:{port}", "--threads", "2", "shop.wsgi"),
        ("/", "/admin/login/", "/admin/", "/nowhere/", "/search/?query=x"),
        0,
    ),
    "flower": (
        ("celery", "--broker", "memory://", "flower", "--address=127.0.0.1", "--port={port}"),
        ("/healthcheck", "/workers?json=1", "/tasks", "/broker", "/nowhere", "/metrics"),
        0,
    ),
}  # fmt: skip
"""Name → command, paths, how many of their answers are bad."""
QUICK = {"flower", "httpbin", "pypiserver", "radicale"}
SETTLES = 2.0
"""Seconds without a further count, after which what was counted is compared."""

pytestmark = pytest.mark.skipif(
    not (APPS_BIN / "opentelemetry-instrument").exists() and os.environ.get("REQUIRE_REAL") != "1",
    reason="the applications are not installed: make apps",
)


def made(name, folder):
    """Make what an application needs before its first start."""
    (folder / "packages").mkdir()
    environ = clean_environ(VIRTUAL_ENV="", PATH=f"{APPS_BIN}:{os.environ['PATH']}")
    if name == "wagtail":
        for command in (("wagtail", "start", "shop", "."), ("python", "manage.py", "migrate", "-v", "0")):
            subprocess.run(
                [str(APPS_BIN / command[0]), *command[1:]], cwd=folder, env=environ, check=True, timeout=600,
                capture_output=True,
            )  # fmt: skip


def outcomes(service):
    found = service.samples("slo_events_total")
    return {labels["slo_outcome"]: value for labels, value in found if value}


def status_of(service, path):
    """Ask once, and follow no redirect."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def is_ready(service, path):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return status_of(service, path)
    return None


def asked(name, folder, *, launcher):
    """Start an application and ask for its paths; return its answers, what was counted, how many were sent, the names."""
    command, paths, _ = APPLICATIONS[name]
    command = (str(APPS_BIN / command[0]), *command[1:])
    if launcher:
        command = (str(APPS_BIN / "opentelemetry-instrument"), *command)
    variables = {"VIRTUAL_ENV": "", "PATH": f"{APPS_BIN}:{os.environ['PATH']}"}
    with Launched(*command, launcher=False, env=variables, cwd=folder) as service:
        wait_until(lambda: is_ready(service, paths[0]), f"{name} answers")
        seen = [status_of(service, path) for path in paths]
        if not launcher:
            return seen, {}, 0, set()
        sent = len(paths) + 1
        wait_until(lambda: sum(outcomes(service).values()) >= sent, f"{sent} requests are counted")
        time.sleep(SETTLES)
        names = {
            labels["span_name"]
            for labels, _ in service.samples("traces_span_metrics_calls_total")
            if labels["span_kind"] == "SPAN_KIND_SERVER"
        }
        return seen, outcomes(service), sent, names


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_of_others_answers_as_without_slotel_and_each_request_is_counted_once(name, tmp_path):
    if name not in QUICK and os.environ.get("APPLICATIONS") != "all":
        pytest.skip("make applications runs it")
    made(name, tmp_path)
    follows = f"{__name__} {APPLICATIONS[name]}".encode() + apps_installed()
    without, *_ = kept(follows, lambda: asked(name, tmp_path, launcher=False))
    seen, counted, sent, names = asked(name, tmp_path, launcher=True)
    assert seen == without
    print(f"| {name} | {sent} | {sum(counted.values()):g} | {sorted(names)} |")
    assert sum(counted.values()) == sent
    assert counted.get("bad", 0) == APPLICATIONS[name][2]
    assert not any("nowhere" in each for each in names)
