"""The matrix of real servers, frameworks and clients: what each way of a request comes to, beside plain sentry-sdk.

`python tests/support/requests_matrix.py [SERVICE…]` runs it, prints a table and ends with the number of wrong cells.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script

from slotel.cli.sink import SentrySink
from support.launch import Launched, wait_until

ROOT = Path(__file__).parents[2]
APPS_BIN = ROOT / ".venv-apps" / "bin"
FOLDER = ROOT / "tests" / "apps" / "matrix"
OUTCOMES = ("good", "bad", "excluded")


class Case(NamedTuple):
    """A way in which a request can go.

    Args:
        client: what the client does: `get`, `leaves` (in the middle of the download), `gives up` (the upload).
        event: whether an exception is an error event; None: as many as plain sentry-sdk reports.
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
    Case("/sub/ok", "good"),
    Case("/sub/raises", "bad"),
    Case("/endless", "excluded", client="leaves"),
    Case("/upload", "excluded", client="gives up"),
    Case("/ok", "good", client="large upload, then more requests"),
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


def _gunicorn(*more: str) -> tuple[str, ...]:
    return ("gunicorn", "-b", "127.0.0.1:{port}", "--graceful-timeout", "1", *more)


def _uvicorn(*more: str) -> tuple[str, ...]:
    return ("uvicorn", "--port", "{port}", "--log-level", "warning", *more)


NO_EXIT = frozenset({"/exit"})
"""sys.exit ends these servers as a whole, with slotel as without."""

SERVICES = (
    Service("Flask, gunicorn gthread", "flask_app", _gunicorn("--threads", "2", "flask_app")),
    Service("Flask, gunicorn sync", "flask_app", _gunicorn("flask_app")),
    Service("Flask, gunicorn gevent", "flask_app", _gunicorn("-k", "gevent", "flask_app")),
    Service(
        "Flask, waitress",
        "flask_app",
        ("waitress-serve", "--listen", "127.0.0.1:{port}", "flask_app:application"),
    ),
    Service(
        "FastAPI, uvicorn asyncio h11",
        "fastapi_app",
        _uvicorn("--loop", "asyncio", "--http", "h11", "fastapi_app:app"),
        skips=NO_EXIT,
    ),
    Service(
        "FastAPI, uvicorn uvloop httptools",
        "fastapi_app",
        _uvicorn("--loop", "uvloop", "--http", "httptools", "fastapi_app:app"),
        skips=NO_EXIT,
    ),
    Service(
        "FastAPI, hypercorn",
        "fastapi_app",
        ("hypercorn", "-b", "127.0.0.1:{port}", "fastapi_app:app"),
        skips=NO_EXIT,
    ),
    Service("Django, gunicorn gthread", "django_app", _gunicorn("--threads", "2", "django_app")),
    Service(
        "Django, uvicorn",
        "django_app",
        _uvicorn("--lifespan", "off", "django_app:application"),
        {"INTERFACE": "asgi"},
        NO_EXIT,
    ),
    Service("Falcon, gunicorn sync", "falcon_app", _gunicorn("falcon_app")),
    Service(
        "Pyramid, waitress",
        "pyramid_app",
        ("waitress-serve", "--listen", "127.0.0.1:{port}", "pyramid_app:application"),
    ),
    Service("Tornado", "tornado_app", ("python", "tornado_app.py"), skips=NO_EXIT),
    Service("aiohttp", "aiohttp_app", ("python", "aiohttp_app.py"), skips=NO_EXIT),
    Service(
        "bare WSGI, gunicorn gthread", "raw_wsgi", _gunicorn("--threads", "2", "raw_wsgi"), has_routes=False
    ),
    Service(
        "bare ASGI, uvicorn", "raw_asgi", _uvicorn("raw_asgi:application"), skips=NO_EXIT, has_routes=False
    ),
)


class Cell(NamedTuple):
    """What came of a case."""

    answer: object
    counted: dict[str, float]
    events: list[str]
    names: list[tuple[str, str]]
    linked: bool


def has_path(service: Service, path: str) -> bool:
    """Whether the application has a handler for a path."""
    if path == "/missing.php":
        return True
    text = (FOLDER / f"{service.module}.py").read_text()
    if not service.has_routes:
        return f'"{path}"' in text
    ways = (path, path[1:], f"/{path.split('/')[1]}", f"{path.split('/')[1]}/")
    return path.startswith("/items/") or any(f'"{way}"' in text for way in ways)


def cases_of(service: Service) -> list[Case]:
    """The cases that a service can be asked."""
    return [case for case in CASES if case.path not in service.skips and has_path(service, case.path)]


def run(service: Service) -> Iterator[tuple[Case, Cell, Cell]]:
    """Yield each case with what came of it under plain sentry-sdk and under slotel."""
    cases = cases_of(service)
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
        for case in cases:
            before = None if plain else _settled(launched)
            sink.clear()
            answer, requests = ask(launched, case)
            counted, names = {}, []
            if before is not None:
                counted, names = _counted(launched, before, requests)
            _wait_quiet(sink, 0 if plain else requests)
            yield Cell(answer, counted, _events(sink), names, _linked(sink))


def ask(launched: Launched, case: Case) -> tuple[object, int]:
    """Send what the case's client sends; return what it saw and how many requests it sent."""
    connection = http.client.HTTPConnection("127.0.0.1", launched.port, timeout=20)
    try:
        if case.client == "leaves":
            connection.request("GET", case.path)
            answer = connection.getresponse()
            answer.read(100_000)
            return answer.status, 1
        if case.client == "gives up":
            connection.putrequest("POST", case.path)
            connection.putheader("Content-Length", "1000000")
            connection.endheaders()
            connection.send(b"x" * 1000)
            return "left", 1
        if case.client.startswith("large"):
            seen = []
            for path, method, body in (
                ("/upload", "POST", b"x" * 200_000),
                ("/ok", "GET", None),
                ("/ok", "GET", None),
            ):
                connection.request(method, path, body)
                answer = connection.getresponse()
                answer.read()
                seen.append(answer.status)
            return seen, 3
        connection.request("GET", case.path, headers={"Connection": "close"})
        answer = connection.getresponse()
        try:
            answer.read()
        except (http.client.IncompleteRead, OSError):
            return f"{answer.status}, cut off", 1
        return answer.status, 1
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, 1
    finally:
        with contextlib.suppress(OSError):
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()


def _slo(launched: Launched) -> dict[str, float]:
    found = launched.samples("slo_events_total")
    return {
        outcome: sum(value for labels, value in found if labels["slo_outcome"] == outcome)
        for outcome in OUTCOMES
    }


def _settled(launched: Launched) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    def tried() -> Any:
        try:
            return _slo(launched), _named(launched)
        except OSError:  # another worker takes the port over
            return None

    return wait_until(tried, "metrics are served")


def _named(launched: Launched) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = defaultdict(float)
    for labels, value in launched.samples("traces_span_metrics_calls_total"):
        if labels["span_kind"] == "SPAN_KIND_SERVER":
            found[labels["span_name"], labels.get("http_route", "")] += value
    return found


def _counted(
    launched: Launched, before: Any, requests: int
) -> tuple[dict[str, float], list[tuple[str, str]]]:
    slo, named = before
    deadline = time.monotonic() + 15
    while True:
        now, names = _settled(launched)
        grown = {outcome: now[outcome] - slo[outcome] for outcome in OUTCOMES if now[outcome] != slo[outcome]}
        if sum(grown.values()) >= requests or time.monotonic() > deadline:
            time.sleep(0.2)  # a second count of the same request would come now
            now, names = _settled(launched)
            grown = {
                outcome: now[outcome] - slo[outcome] for outcome in OUTCOMES if now[outcome] != slo[outcome]
            }
            return grown, [name for name, value in names.items() if value != named.get(name, 0)]
        time.sleep(0.05)


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
        if event.get("logger") == "slotel.budget":
            continue
        values = (event.get("exception") or {}).get("values") or []
        text = (
            values[-1]["type"]
            if values
            else str((event.get("logentry") or {}).get("message", event.get("message")))
        )
        found.append(text)
    return sorted(found)


def _linked(sink: SentrySink) -> bool:
    """Whether each event is in the trace of a transaction."""
    traces = {item["contexts"]["trace"]["trace_id"] for item in sink.payloads("transaction")}
    events = [event for event in sink.payloads("event") if event.get("logger") != "slotel.budget"]
    return all(event["contexts"]["trace"]["trace_id"] in traces for event in events)


def faults(service: Service, case: Case, plain: Cell, cell: Cell) -> list[str]:
    """What is wrong with a cell."""
    requests = 3 if case.client.startswith("large") else 1
    found = []
    if cell.answer != plain.answer:
        found.append(f"answer {cell.answer}, without slotel {plain.answer}")
    allowed = [{case.outcome: float(requests)}]
    if case.client == "gives up":
        allowed += [{"good": 1.0}, {}]  # some frameworks answer 400; some servers wait for the whole body
    if case.outcome == "bad" and "stream" in case.path and plain.answer == 200:
        allowed += [{"good": 1.0}]  # the client got an answer that looks whole
    if cell.counted not in allowed:
        found.append(f"counted {cell.counted}, not {requests} {case.outcome}")
    expected = [] if case.outcome == "excluded" else plain.events
    missing = [event for event in expected if event not in cell.events]
    more = service.has_routes and len(cell.events) > len(
        expected
    )  # plain sentry-sdk knows no bare application
    if missing or len(cell.events) > len(set(cell.events)) or more:
        found.append(f"events {cell.events}, plain sentry-sdk {plain.events}")
    if case.outcome == "excluded" and cell.events:
        found.append(f"events {cell.events} of a client that left")
    if cell.events and not cell.linked:
        found.append(f"events {cell.events} without the trace of the request")
    if (
        case.route
        and service.has_routes
        and not any(
            case.route.strip("/") in route or "{" in route for _, route in cell.names if case.client == "get"
        )
    ):
        found.append(f"names {cell.names}, expected route {case.route}")
    if any(".php" in name for name, _ in cell.names):
        found.append(f"a path as a name: {cell.names}")
    return found


def main(wanted: list[str]) -> int:
    wrong = total = 0
    for service in SERVICES:
        if wanted and not any(word.lower() in service.name.lower() for word in wanted):
            continue
        print(f"== {service.name}", flush=True)
        for case, plain, cell in run(service):
            total += 1
            found = faults(service, case, plain, cell)
            wrong += bool(found)
            if found:
                print(f"  {case.path} ({case.client}): {'; '.join(found)}", flush=True)
    print(f"{total} cells, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
