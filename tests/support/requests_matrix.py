"""The matrix of real servers, frameworks and clients: what each way of a request comes to, beside plain sentry-sdk.

`python tests/support/requests_matrix.py [SERVICE…]` runs it, prints a table and ends with the number of wrong cells.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script

from apps.matrix.plain import ACTS, ASYNC_ACTS
from slotel.cli.sink.server import SentrySink
from support.launch import Launched, wait_until
from support.requests_client import ask

ROOT = Path(__file__).parents[2]
APPS_BIN = ROOT / ".venv-apps" / "bin"
FOLDER = ROOT / "tests" / "apps" / "matrix"
_SENTINEL = "sentinel"
OUTCOMES = ("good", "bad", "excluded")


class Case(NamedTuple):
    """A way in which a request can go.

    Args:
        outcome: of the last request; those before it on the same connection are good.
        client: what the client does: `get`, `leaves` (in the middle of the download), `gives up` (the upload), …: see
            `requests_client.py`.
        route: what the route must contain; empty: there is none.
    """

    path: str
    outcome: str
    client: str = "get"
    route: str | None = None


CASES = (
    Case("/ok", "good", route="/ok"),
    Case("/items/7", "good", route="/items/"),
    Case("/missing.php", "good", route=""),
    Case("/returned-404", "good"),
    Case("/raised-404", "good"),
    Case("/raised-403", "good"),
    Case("/raised-400", "good"),
    Case("/raised-302", "good"),
    Case("/returned-500", "bad"),
    Case("/raised-503", "bad"),
    Case("/raises", "bad"),
    Case("/status", "bad"),
    Case("/handled", "good"),
    Case("/logged", "good"),
    Case("/stream", "good"),
    Case("/stream-breaks", "bad"),
    Case("/after", "good"),
    Case("/blue/ok", "good", route="/blue/ok"),
    Case("/sub/ok", "good", route="/sub/ok"),
    Case("/sub/raises", "bad"),
    Case("/endless", "excluded", client="leaves"),
    Case("/upload", "excluded", client="gives up"),
    Case("/ok", "good", client="large upload, then more requests"),
    Case("/group", "bad"),
    Case("/task-group", "bad"),
    Case("/timeout", "bad"),
    Case("/cancelled", "excluded"),
    Case("/loguru", "good"),
    Case("/structlog", "good"),
    Case("/raises", "bad", client="after another's marks"),
    Case("/socket", "excluded", client="socket closes 1000"),
    Case("/socket", "excluded", client="socket closes 1001"),
    Case("/socket", "excluded", client="socket vanishes"),
    Case("/socket-quiet", "excluded", client="socket closes 1000"),
    Case("/socket-refused", "good", client="socket waits"),
    Case("/socket-fails", "bad", client="socket waits"),
    Case("/greenlet-exit", "bad"),
    Case("/greenlet-timeout", "bad"),
    Case("/hangs", "bad"),
    Case("/exit", "bad"),
)


class Service(NamedTuple):
    """One framework under one server."""

    name: str
    module: str
    command: tuple[str, ...]
    env: Mapping[str, str] = MappingProxyType({})
    skips: frozenset[str] = frozenset()
    has_routes: bool = True
    prefix: str = ""
    """What a proxy in front takes from the path."""

    @property
    def framework(self) -> str:
        return self.name.partition(", ")[0]

    @property
    def server(self) -> str:
        return self.name.partition(", ")[2] or "its own"


def _gunicorn(*more: str) -> tuple[str, ...]:
    return ("gunicorn", "-b", "127.0.0.1:{port}", "--graceful-timeout", "1", *more)


def _uvicorn(*more: str) -> tuple[str, ...]:
    return ("uvicorn", "--port", "{port}", "--log-level", "warning", *more)


def _granian(interface: str, app: str) -> tuple[str, ...]:
    return (
        "granian",
        "--interface",
        interface,
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
        "--log-level",
        "warning",
        app,
    )


NO_EXIT = frozenset({"/exit"})
"""sys.exit ends these servers as a whole, with slotel as without."""
NO_SOCKETS = frozenset({"/socket", "/socket-fails"})
NO_GREENLETS = frozenset({"/greenlet-exit", "/greenlet-timeout"})
NO_TIMEOUT = frozenset({"/hangs"})
BLOCKING = NO_GREENLETS | NO_TIMEOUT

SERVICES = (
    Service(
        "Flask, gunicorn gthread", "flask_app", _gunicorn("--threads", "2", "--keep-alive", "30", "flask_app"),
        skips=BLOCKING,
    ),
    Service("Flask, gunicorn sync", "flask_app", _gunicorn("--timeout", "8", "flask_app"), skips=NO_GREENLETS),
    Service("Flask, gunicorn gevent", "flask_app", _gunicorn("-k", "gevent", "flask_app"), skips=NO_TIMEOUT),
    Service(
        "Flask, waitress", "flask_app", ("waitress-serve", "--listen", "127.0.0.1:{port}", "flask_app:application"),
        skips=BLOCKING,
    ),
    Service("Flask, cheroot", "flask_app", ("python", "serve.py", "cheroot", "flask_app"), skips=BLOCKING | NO_EXIT),
    Service("Flask, wsgiref", "flask_app", ("python", "serve.py", "wsgiref", "flask_app"), skips=BLOCKING),
    Service("Flask, werkzeug", "flask_app", ("python", "serve.py", "werkzeug", "flask_app"), skips=BLOCKING),
    Service(
        "FastAPI, uvicorn asyncio h11", "fastapi_app",
        _uvicorn("--loop", "asyncio", "--http", "h11", "fastapi_app:app"), skips=NO_EXIT,
    ),
    Service(
        "FastAPI, uvicorn uvloop httptools", "fastapi_app",
        _uvicorn("--loop", "uvloop", "--http", "httptools", "fastapi_app:app"), skips=NO_EXIT,
    ),
    Service(
        "FastAPI, uvicorn --root-path", "fastapi_app", _uvicorn("--root-path", "/api", "fastapi_app:app"),
        skips=NO_EXIT, prefix="/api",
    ),
    Service("FastAPI, hypercorn", "fastapi_app", ("hypercorn", "-b", "127.0.0.1:{port}", "fastapi_app:app"), skips=NO_EXIT),
    Service(
        "FastAPI's own telemetry, uvicorn", "fastapi_app", _uvicorn("fastapi_app:app"),
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "fastapi,starlette,asgi"}, NO_EXIT,
    ),
    Service("FastAPI, granian", "fastapi_app", _granian("asgi", "fastapi_app:app"), skips=NO_EXIT),
    Service("Starlette, uvicorn", "starlette_app", _uvicorn("starlette_app:app"), skips=NO_EXIT),
    Service("Django, gunicorn gthread", "django_app", _gunicorn("--threads", "2", "django_app")),
    Service(
        "Django, FORCE_SCRIPT_NAME", "django_app", _gunicorn("--threads", "2", "django_app"), {"SCRIPT_NAME": "/api"},
        prefix="/api",
    ),
    Service(
        "Django, uvicorn", "django_app", _uvicorn("--lifespan", "off", "django_app:application"),
        {"INTERFACE": "asgi"}, NO_EXIT,
    ),
    Service(
        "Django, daphne", "django_app", ("daphne", "-p", "{port}", "django_app:application"), {"INTERFACE": "asgi"},
        NO_EXIT,
    ),
    Service("Falcon, gunicorn sync", "falcon_app", _gunicorn("falcon_app")),
    Service(
        "Pyramid, waitress", "pyramid_app",
        ("waitress-serve", "--listen", "127.0.0.1:{port}", "pyramid_app:application"),
    ),
    Service("Tornado", "tornado_app", ("python", "tornado_app.py"), skips=NO_EXIT),
    Service("aiohttp", "aiohttp_app", ("python", "aiohttp_app.py"), skips=NO_EXIT),
    Service(
        "bare WSGI, gunicorn gthread", "raw_wsgi", _gunicorn("--threads", "2", "raw_wsgi"), has_routes=False
    ),
    Service("bare WSGI, granian", "raw_wsgi", _granian("wsgi", "raw_wsgi"), has_routes=False),
    Service("bare ASGI, uvicorn", "raw_asgi", _uvicorn("raw_asgi:application"), skips=NO_EXIT, has_routes=False),
)  # fmt: skip


class Cell(NamedTuple):
    """What came of a case.

    Args:
        urls: paths of the URLs that events and transactions show.
        carried: what the request before on the connection left on the events of this one.
        measured: requests that the framework's own metric grew by.
    """

    answer: object
    counted: dict[str, float]
    events: list[str]
    names: list[tuple[str, str]]
    linked: bool
    urls: set[str]
    carried: list[str]
    measured: float


def has_path(service: Service, path: str) -> bool:
    """Whether the application has a handler for a path."""
    if path == "/missing.php":
        return True
    text = (FOLDER / f"{service.module}.py").read_text()
    if path in ACTS or path in ASYNC_ACTS:
        return ("plain.ACTS" if path in ACTS else "plain.ASYNC_ACTS") in text
    if not service.has_routes:
        return f'"{path}"' in text
    ways = (path, path[1:], f"/{path.split('/')[1]}", f"{path.split('/')[1]}/")
    return path.startswith("/items/") or any(f'"{way}"' in text for way in ways)


def cases_of(service: Service, paths: Collection[str] = ()) -> list[Case]:
    """The cases that a service can be asked; of some paths only, if any are named."""
    return [
        case
        for case in CASES
        if case.path not in service.skips
        and has_path(service, case.path)
        and (not paths or case.path in paths)
    ]


def run(service: Service, paths: Collection[str] = ()) -> Iterator[tuple[Case, Cell, Cell]]:
    """Yield each case with what came of it under plain sentry-sdk and under slotel."""
    cases = cases_of(service, paths)
    with SentrySink() as sink:
        plain = dict(zip(cases, _cells(service, cases, sink, plain=True), strict=True))
    with SentrySink() as sink:
        for case, cell in zip(cases, _cells(service, cases, sink, plain=False), strict=True):
            yield case, plain[case], cell


def _cells(service: Service, cases: list[Case], sink: SentrySink, *, plain: bool) -> Iterator[Cell]:
    env = {
        **service.env,
        "PLAIN": "1" if plain else "",
        "PLAIN_DSN": sink.dsn("1"),
        "PYTHONPATH": str(FOLDER),
    }
    if not plain:
        env.update(SENTRY_DSN=sink.dsn("1"), SENTRY_TRACES_SAMPLE_RATE="1")
    command = (str(APPS_BIN / service.command[0]), *service.command[1:])
    if not plain:
        command = (str(APPS_BIN / "opentelemetry-instrument"), *command)
    with Launched(*command, launcher=False, env={**env, "VIRTUAL_ENV": ""}, cwd=FOLDER) as launched:
        launched.wait_ready("/ok")
        sink.wait_for(lambda sink: plain or sink.transactions >= launched.requests, 20)
        if not plain:
            _wait_still(launched)
        for case in cases:
            before = None if plain else _settled(launched)
            sink.clear()
            answer, requests = ask(launched.port, case.path, case.client)
            counted, names, measured = {}, [], 0.0
            if before is not None:
                counted, names, measured = _counted(launched, before, requests)
            if plain:
                _pass_sentinel(launched, sink)
            _wait_quiet(sink, 0 if plain else requests)
            yield Cell(
                answer,
                counted,
                _events(sink),
                names,
                _linked(sink),
                _urls(sink),
                _carried(sink, case),
                measured,
            )


def _slo(launched: Launched) -> dict[str, float]:
    found = launched.samples("slo_events_total")
    return {
        outcome: sum(value for labels, value in found if labels["slo_outcome"] == outcome)
        for outcome in OUTCOMES
    }


def _settled(launched: Launched) -> tuple[dict[str, float], dict[tuple[str, str], float], float]:
    def tried() -> Any:
        try:
            return (
                _slo(launched),
                _named(launched),
                launched.sample("http_server_request_duration_seconds_count"),
            )
        except OSError:  # another worker takes the port over
            return None

    return wait_until(tried, "metrics are served")


def _wait_still(launched: Launched) -> None:
    """Wait until the first requests are in the durations, too: a worker shares those later than its counts."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        slo, _, measured = _settled(launched)
        if measured >= sum(slo.values()):
            return
        time.sleep(0.1)


def _named(launched: Launched) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = defaultdict(float)
    for labels, value in launched.samples("traces_span_metrics_calls_total"):
        if labels["span_kind"] == "SPAN_KIND_SERVER":
            found[labels["span_name"], labels.get("http_route", "")] += value
    return found


def _counted(
    launched: Launched, before: Any, requests: int
) -> tuple[dict[str, float], list[tuple[str, str]], float]:
    slo, named, measured = before

    def grown(now: dict[str, float]) -> dict[str, float]:
        return {outcome: now[outcome] - slo[outcome] for outcome in OUTCOMES if now[outcome] != slo[outcome]}

    deadline = time.monotonic() + 15
    while sum(grown(_settled(launched)[0]).values()) < requests and time.monotonic() < deadline:
        time.sleep(0.05)
    until = time.monotonic() + 6 if measured else 0.0  # a worker shares durations later than its counts
    while _settled(launched)[2] - measured < requests and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.2)  # a second count of the same request would come now
    now, names, then_measured = _settled(launched)
    changed = [name for name, value in names.items() if value != named.get(name, 0)]
    return grown(now), changed, then_measured - measured


def _pass_sentinel(launched: Launched, sink: SentrySink) -> None:
    """Let an event go the way of those before it, so that they have come, too."""
    with contextlib.suppress(OSError):  # after what ends the server's worker
        ask(launched.port, "/sentinel", "get")
    sink.wait_for(lambda sink: any(event.get("message") == _SENTINEL for event in sink.payloads("event")), 10)


def _wait_quiet(sink: SentrySink, transactions: int) -> None:
    """Wait until the transactions have come, and then until no further event comes."""
    sink.wait_for(lambda sink: sink.transactions >= transactions, 10)
    quiet = time.monotonic()
    seen = -1
    while time.monotonic() - quiet < 0.5:
        if sink.events != seen:
            seen, quiet = sink.events, time.monotonic()
        time.sleep(0.05)


def _events(sink: SentrySink) -> list[str]:
    found = []
    for event in sink.payloads("event"):
        if event.get("logger") == "slotel.budget" or event.get("message") == _SENTINEL:
            continue
        values = (event.get("exception") or {}).get("values") or []
        text = (
            values[-1]["type"]
            if values
            else str((event.get("logentry") or {}).get("message", event.get("message"))).splitlines()[0]
        )
        found.append(text)
    return sorted(found)


def _errors(sink: SentrySink) -> list[Any]:
    return [event for event in sink.payloads("event") if event.get("logger") != "slotel.budget"]


def _linked(sink: SentrySink) -> bool:
    """Whether each event is in the trace of a transaction."""
    traces = {item["contexts"]["trace"]["trace_id"] for item in sink.payloads("transaction")}
    return all(event["contexts"]["trace"]["trace_id"] in traces for event in _errors(sink))


def _urls(sink: SentrySink) -> set[str]:
    shown = [item.get("request", {}).get("url") for item in (*sink.payloads("transaction"), *_errors(sink))]
    return {urlsplit(url).path for url in shown if url}


def _carried(sink: SentrySink, case: Case) -> list[str]:
    """What the requests of a connection left behind on events, and on transactions of other paths than theirs."""
    later = [
        item
        for item in (*sink.payloads("transaction"), *_errors(sink))
        if item.get("request", {}).get("url", "").endswith(case.path)
    ]
    return [
        found
        for item in later
        for found in (
            str((item.get("user") or {}).get("id", "")),
            dict(item.get("tags") or {}).get("colour", ""),
        )
        if found
    ]


def faults(service: Service, case: Case, plain: Cell, cell: Cell) -> list[str]:
    """What is wrong with a cell."""
    requests = 3 if case.client.startswith("large") else 2 if case.client.startswith("after") else 1
    found = []
    if cell.answer != plain.answer:
        found.append(f"answer {cell.answer}, without slotel {plain.answer}")
    allowed = [{case.outcome: 1.0, "good": float(requests - (case.outcome != "good"))}]
    if requests == 1:
        allowed = [{case.outcome: 1.0}]
    if case.client == "gives up":
        allowed += [{"good": 1.0}, {}]  # some frameworks answer 400; some servers wait for the whole body
    if case.outcome == "bad" and "stream" in case.path and plain.answer == 200:
        allowed += [{"good": 1.0}]  # the client got an answer that looks whole
    if case.client.startswith("socket closes"):
        allowed += [{"good": 1.0}]  # where its server or its handler ends it in order
    if case.path == "/cancelled" and "CancelledError" not in plain.events and plain.events:
        allowed += [{"bad": 1.0}]  # a middleware has made another exception of it
    if cell.counted not in allowed:
        found.append(f"counted {cell.counted}, not {requests} {case.outcome}")
    left = case.client in {"leaves", "gives up"} or case.client.startswith(
        ("socket closes", "socket vanishes")
    )
    expected = [] if left else plain.events
    missing = [event for event in expected if event not in cell.events]
    more = len(cell.events) > len(expected)
    if missing or len(cell.events) > len(set(cell.events)) or more:
        found.append(f"events {cell.events}, plain sentry-sdk {plain.events}")
    if left and cell.events:
        found.append(f"events {cell.events} of a client that left")
    if cell.events and not cell.linked:
        found.append(f"events {cell.events} without the trace of the request")
    if (
        case.route
        and service.has_routes
        and not any(
            (service.prefix + case.route).strip("/") in route
            for _, route in cell.names
            if case.client == "get"
        )
    ):
        found.append(f"names {cell.names}, expected route {case.route}")
    if wrong := cell.urls - {service.prefix + path for path in (case.path, "/upload", "/marks")}:
        found.append(f"URLs {wrong}")
    if cell.carried and case.path != "/marks":
        found.append(f"of the request before: {cell.carried}")
    if cell.measured > requests:
        found.append(f"http_server_request_duration_seconds counts {cell.measured}")
    if any(".php" in name for name, _ in cell.names):
        found.append(f"a path as a name: {cell.names}")
    return found


def main(wanted: list[str]) -> int:
    """Ask the services and the paths that the words name; without any, all of them."""
    paths = frozenset(word for word in wanted if word.startswith("/"))
    words = [word.lower() for word in wanted if not word.startswith("/")]
    wrong = total = 0
    for service in SERVICES:
        if words and not any(word in service.name.lower() for word in words):
            continue
        cells = bad = 0
        for case, without, cell in run(service, paths):
            cells += 1
            found = faults(service, case, without, cell)
            bad += bool(found)
            if found:
                print(f"  {case.path} ({case.client}): {'; '.join(found)}", flush=True)
        print(f"| {service.framework} | {service.server} | {cells} | {bad} |", flush=True)
        total, wrong = total + cells, wrong + bad
    print(f"{total} cells, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
