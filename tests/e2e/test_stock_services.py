"""The first example of each framework's documentation, by its own command: as without slotel, each request counted once.

With the instrumentations that bootstrap installs, and with none.
"""

import os

import pytest

from support.kept import kept
from support.launch import APPS, Launched, wait_until
from support.requests_matrix import APPS_BIN, apps_installed

FOLDER = APPS / "stock"
COMMANDS = {
    "aiohttp": ("python", "aiohttp_app.py"),
    "Bottle": ("python", "bottle_app.py"),
    "CherryPy": ("python", "cherrypy_app.py"),
    "Falcon": ("python", "falcon_app.py"),
    "FastAPI, fastapi run": ("fastapi", "run", "--port", "{port}", "fastapi_app.py"),
    "FastAPI, fastapi dev": ("fastapi", "dev", "--port", "{port}", "fastapi_app.py"),
    "Flask, flask run": ("flask", "--app", "flask_app", "run", "--port", "{port}"),
    "Flask, flask run --debug": ("flask", "--app", "flask_app", "run", "--debug", "--port", "{port}"),
    "Litestar": ("litestar", "--app", "litestar_app:app", "run", "--port", "{port}"),
    "Pyramid": ("python", "pyramid_app.py"),
    "Quart": ("python", "quart_app.py"),
    "Quart, hypercorn": ("hypercorn", "-b", "127.0.0.1:{port}", "quart_app:app"),
    "Tornado": ("python", "tornado_app.py"),
}
SERVE_THEMSELVES = {"Tornado"}
"""Nothing but its instrumentation sees its requests."""
HAVE_ROUTES = {"Bottle", "Falcon", "Litestar", "Quart", "Quart, hypercorn"}
"""Without their instrumentation, too: `runtime/upstream/frameworks/routes.py` and the ASGI scope know them."""
NONE = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}
QUICK = {"CherryPy", "FastAPI, fastapi run", "Quart"}
"""What `make test` has time for; `make applications` runs the others, too."""

pytestmark = pytest.mark.skipif(
    not (APPS_BIN / "opentelemetry-instrument").exists() and os.environ.get("REQUIRE_REAL") != "1",
    reason="the applications are not installed: make apps",
)


def outcomes(service):
    found = service.samples("slo_events_total")
    return {labels["slo_outcome"]: value for labels, value in found if value}


def answers(name, *, launcher, env=None):
    """Ask a service; return what it answered, and what was counted."""
    command = (str(APPS_BIN / COMMANDS[name][0]), *COMMANDS[name][1:])
    if launcher:
        command = (str(APPS_BIN / "opentelemetry-instrument"), *command)
    variables = {"VIRTUAL_ENV": "", **(env or {})}
    with Launched(*command, launcher=False, env=variables, cwd=FOLDER).wait_ready("/") as service:
        seen = [service.get(path)[0] for path in ("/", "/missing.php", "/")]
        if not launcher:
            return seen, None, service.log
        expected = {"good": float(service.requests)}
        if env and name in SERVE_THEMSELVES:
            wait_until(lambda: "not traced or counted" in service.log, "a line says that nothing is counted")
            return seen, True, service.log
        wait_until(lambda: outcomes(service) == expected, f"{expected} are counted")
        names = {labels["span_name"] for labels, _ in service.samples("traces_span_metrics_calls_total")}
        is_named = name not in HAVE_ROUTES or "GET /" in names
        return seen, is_named and not any(".php" in each for each in names), service.log


@pytest.mark.parametrize("env", [{}, NONE], ids=["instrumented", "no instrumentation"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_first_example_serves_as_without_slotel_and_each_request_is_counted_once(name, env):
    if name not in QUICK and os.environ.get("STOCK") != "all":
        pytest.skip("make applications runs it")
    without, _, _ = kept(
        f"{__name__} {name}".encode() + apps_installed(), lambda: answers(name, launcher=False)
    )
    seen, is_right, log = answers(name, launcher=True, env=env)
    assert seen == without == [200, 404, 200]
    assert is_right, log
    assert "Traceback" not in log, log
