"""The rows and columns of the requests matrix: ways in which a request can go, and services that are asked all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from apps.matrix.plain import ACTS, ASYNC_ACTS

FOLDER = Path(__file__).parents[1] / "apps" / "matrix"


class Case(NamedTuple):
    """A way in which a request can go.

    Args:
        outcome: of the last request; those before it on the same connection are good.
        client: what the client does: `get`, `asks BREW` (with that method), `leaves` (in the middle of the download), `gives up`
            (the upload), …: see `requests_client.py`.
        route: what the route must contain; empty: there is none.
    """

    path: str
    outcome: str
    client: str = "get"
    route: str | None = None

    @property
    def is_late(self) -> bool:
        """Whether its event may come after the answer."""
        return self.path in {"/after", "/raises-after", "/finish-raises"}

    @property
    def says_status(self) -> bool:
        """Whether the status that its client gets is to be that of its count: one that is cancelled has no answer, and one
        that was not started is the server's own matter."""
        return (
            self.client in {"get", "asks PROPFIND"}
            and self.outcome != "excluded"
            and self.path != "/not-started"
        )

    @property
    def client_leaves(self) -> bool:
        """Whether the client leaves before the answer's end, or closes the socket."""
        return self.client in {"leaves", "gives up"} or self.client.startswith(
            ("socket closes", "socket vanishes")
        )

    @property
    def requests(self) -> int:
        """How many requests the client sends."""
        return (
            3
            if self.client.startswith("large") or self.client == "pipelines"
            else 2
            if self.client.startswith("after")
            else 1
        )


CASES = (
    Case("/ok", "good", route="/ok"),
    Case("/items/7", "good", route="/items/"),
    Case("/items/7", "good", client="asks PROPFIND"),
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
    Case("/stream-fails", "bad"),
    Case("/sized-stream-breaks", "bad"),
    Case("/file-breaks", "bad"),
    Case("/async-stream-breaks", "bad"),
    Case("/begun-raises", "bad"),
    Case("/file-gone", "bad"),
    Case("/sent-file-breaks", "bad"),
    Case("/raises-after", "good"),
    Case("/raises-404-after", "good"),
    Case("/prepare-raises", "bad"),
    Case("/finish-raises", "good"),
    Case("/error-fails", "bad"),
    Case("/body-breaks", "bad"),
    Case("/database-breaks", "bad"),
    Case("/body-endless", "excluded", client="leaves"),
    Case("/refused-header", "bad"),
    Case("/end-fails", "bad"),
    Case("/signal-fails", "bad"),
    Case("/file", "good", route="/file"),
    Case("/no-file", "good"),
    Case("/returns-nothing", "bad"),
    Case("/no-bytes", "bad"),
    Case("/not-started", "bad"),
    Case("/unfinished", "bad"),
    Case("/too-long", "bad"),
    Case("/too-short", "bad"),
    Case("/teardown-raises", "bad"),
    Case("/returns-something", "good"),
    Case("/after", "good"),
    Case("/blue/ok", "good", route="/blue/ok"),
    Case("/sub/ok", "good", route="/sub/ok"),
    Case("/sub/raises", "bad"),
    Case("/wsgi/ok", "good"),
    Case("/wsgi/returned-500", "bad"),
    Case("/endless", "excluded", client="leaves"),
    Case("/upload", "excluded", client="gives up"),
    Case("/ok", "good", client="large upload, then more requests"),
    Case("/ok", "good", client="pipelines", route="/ok"),
    Case("/group", "bad"),
    Case("/task-group", "bad"),
    Case("/timeout", "bad"),
    Case("/cancelled", "excluded"),
    Case("/loguru", "good"),
    Case("/structlog", "good"),
    Case("/raises", "bad", client="after another's marks"),
    Case("/socket", "excluded", client="socket closes 1000", route="/socket"),
    Case("/socket", "excluded", client="socket closes 1001", route="/socket"),
    Case("/socket", "excluded", client="socket vanishes", route="/socket"),
    Case("/socket-quiet", "excluded", client="socket closes 1000"),
    Case("/socket-refused", "good", client="socket waits"),
    Case("/socket-fails", "bad", client="socket waits", route="/socket-fails"),
    Case("/socket-ends", "good", client="socket waits", route="/socket-ends"),
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

    reports_more: frozenset[str] = frozenset()
    """Paths of which slotel sends an event, and sentry-sdk's integration, which looks at handlers only, none."""

    differs: Mapping[tuple[str, str], str | None] = MappingProxyType({})
    """Path and client → the outcome where the server does not let one know better; None: it serves no request."""

    def expected(self, case: Case) -> dict[str, float]:
        """How the requests of a case are to be counted."""
        outcome = self.differs.get((case.path, case.client), case.outcome)
        counted = {"good": float(case.requests - 1)}
        if outcome is not None:
            counted[outcome] = counted.get(outcome, 0) + 1
        return {outcome: value for outcome, value in counted.items() if value}

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


def _uwsgi(module: str) -> tuple[str, ...]:
    return (
        "pyuwsgi",
        "--http-socket",
        "127.0.0.1:{port}",
        "--enable-threads",
        "--need-app",
        "--die-on-term",
        "--virtualenv",
        str(FOLDER.parents[2] / ".venv-apps"),
        "--module",
        module,
    )


NO_EXIT = frozenset({"/exit"})
"""sys.exit ends these servers as a whole, with slotel as without."""
BY_CHANCE = frozenset({"/too-short"})
"""granian may close the connection before it has sent the head that it was given."""
NO_SOCKETS = frozenset({"/socket", "/socket-fails"})
NO_WSGI_SOCKETS = frozenset({"/socket-ends"})
"""flask-sock speaks on the socket of gunicorn and werkzeug. It is asked for one that the app ends: where the client closes it,
the server may close the connection before flask-sock's thread has answered, with slotel as without."""
NO_GREENLETS = frozenset({"/greenlet-exit", "/greenlet-timeout"})
NO_TIMEOUT = frozenset({"/hangs"})
BLOCKING = NO_GREENLETS | NO_TIMEOUT
COPIES = frozenset({"/sub/raises"})
"""Bottle's mount makes a new exception of the one that it hands on: two events, by plain sentry-sdk as well."""
CLOSES = frozenset({"large upload, then more requests", "after another's marks"})
"""uWSGI's `--http-socket` closes a connection after each answer, and does not say so."""
READS_FIRST = MappingProxyType({("/upload", "gives up"): None})
"""These servers have the whole body before they call the application: it never hears of an upload that is given up."""
BELOW_A_MIDDLEWARE = MappingProxyType(
    {("/stream-breaks", "get"): "good", ("/stream-fails", "get"): "good", ("/cancelled", "get"): "bad"}
)
"""A middleware made by `@app.middleware("http")` ends the answer in order and raises what broke its stream afterwards, as a
background task that fails does: the client gets an answer that looks whole. It is good, and the event arrives. Of a task that
is cancelled it makes a RuntimeError ("No response returned."): the client gets a 500, and plain sentry-sdk reports it."""
UNANSWERED = MappingProxyType({("/cancelled", "get"): "bad"})
"""Quart answers nothing to a task that is cancelled, and its server makes a 500 of that."""
SENT_LATER = frozenset(
    {"/file-breaks", "/body-breaks", "/database-breaks", "/refused-header", "/end-fails", "/signal-fails"}
)
"""aiohttp sends an answer when handler and middlewares have ended."""
RETURNS_NOTHING = frozenset({"/returns-nothing"})
"""Of a handler of aiohttp that returns nothing the instrumentation makes an AttributeError."""

SERVICES = (
    Service(
        "Flask, gunicorn gthread", "flask_app", _gunicorn("--threads", "2", "--keep-alive", "30", "flask_app"),
        skips=BLOCKING,
    ),
    Service("Flask, gunicorn sync", "flask_app", _gunicorn("--timeout", "8", "flask_app"), skips=NO_GREENLETS),
    Service("Flask, gunicorn gevent", "flask_app", _gunicorn("-k", "gevent", "flask_app"), skips=NO_TIMEOUT),
    Service(
        "Flask, waitress", "flask_app", ("waitress-serve", "--listen", "127.0.0.1:{port}", "flask_app:application"),
        skips=BLOCKING | NO_WSGI_SOCKETS, differs=READS_FIRST,
    ),
    Service(
        "Flask, cheroot", "flask_app", ("python", "serve.py", "cheroot", "flask_app"),
        skips=BLOCKING | NO_WSGI_SOCKETS | NO_EXIT,
    ),
    Service(
        "Flask, wsgiref", "flask_app", ("python", "serve.py", "wsgiref", "flask_app"), skips=BLOCKING | NO_WSGI_SOCKETS
    ),
    Service("Flask, werkzeug", "flask_app", ("python", "serve.py", "werkzeug", "flask_app"), skips=BLOCKING),
    Service(
        "Flask, werkzeug's debugger", "flask_app", ("python", "serve.py", "debugger", "flask_app"), {"FLASK_DEBUG": "1"},
        skips=BLOCKING,
    ),
    Service("Flask, uwsgi", "flask_app", _uwsgi("flask_app"), skips=BLOCKING | NO_WSGI_SOCKETS | CLOSES | NO_EXIT),
    Service(
        "FastAPI, uvicorn asyncio h11", "fastapi_app",
        _uvicorn("--loop", "asyncio", "--http", "h11", "fastapi_app:app"), skips=NO_EXIT, differs=BELOW_A_MIDDLEWARE,
    ),
    Service(
        "FastAPI, uvicorn uvloop httptools", "fastapi_app",
        _uvicorn("--loop", "uvloop", "--http", "httptools", "fastapi_app:app"), skips=NO_EXIT, differs=BELOW_A_MIDDLEWARE,
    ),
    Service(
        "FastAPI, uvicorn --root-path", "fastapi_app", _uvicorn("--root-path", "/api", "fastapi_app:app"),
        skips=NO_EXIT, differs=BELOW_A_MIDDLEWARE, prefix="/api",
    ),
    Service("FastAPI, hypercorn", "fastapi_app", ("hypercorn", "-b", "127.0.0.1:{port}", "fastapi_app:app"), skips=NO_EXIT, differs=BELOW_A_MIDDLEWARE),
    Service(
        "FastAPI's own telemetry, uvicorn", "fastapi_app", _uvicorn("fastapi_app:app"),
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "fastapi,starlette,asgi"}, NO_EXIT, differs=BELOW_A_MIDDLEWARE,
    ),
    Service("FastAPI, granian", "fastapi_app", _granian("asgi", "fastapi_app:app"), skips=NO_EXIT | BY_CHANCE, differs=BELOW_A_MIDDLEWARE),
    Service("Starlette, uvicorn", "starlette_app", _uvicorn("starlette_app:app"), skips=NO_EXIT),
    Service("Django, gunicorn gthread", "django_app", _gunicorn("--threads", "2", "django_app")),
    Service(
        "Django, FORCE_SCRIPT_NAME", "django_app", _gunicorn("--threads", "2", "django_app"), {"FORCED_ROOT": "/api"},
        prefix="/api",
    ),
    Service(
        "Django, FORCE_SCRIPT_NAME uvicorn", "django_app", _uvicorn("--lifespan", "off", "django_app:application"),
        {"INTERFACE": "asgi", "FORCED_ROOT": "/api"}, NO_EXIT, prefix="/api",
    ),
    Service(
        "Django, uvicorn", "django_app", _uvicorn("--lifespan", "off", "django_app:application"),
        {"INTERFACE": "asgi"}, NO_EXIT,
    ),
    Service(
        "Django, daphne", "django_app", ("daphne", "-p", "{port}", "django_app:application"), {"INTERFACE": "asgi"},
        NO_EXIT, differs=READS_FIRST,
    ),
    Service("Django, uwsgi", "django_app", _uwsgi("django_app"), skips=NO_TIMEOUT | CLOSES | NO_EXIT),
    Service("Falcon, gunicorn sync", "falcon_app", _gunicorn("falcon_app")),
    Service(
        "Pyramid, waitress", "pyramid_app",
        ("waitress-serve", "--listen", "127.0.0.1:{port}", "pyramid_app:application"),
        differs=READS_FIRST,
    ),
    Service("Tornado", "tornado_app", ("python", "tornado_app.py"), skips=NO_EXIT, differs=READS_FIRST),
    Service("aiohttp", "aiohttp_app", ("python", "aiohttp_app.py"), skips=NO_EXIT, reports_more=SENT_LATER | RETURNS_NOTHING),
    Service(
        "aiohttp uninstrumented", "aiohttp_app", ("python", "aiohttp_app.py"),
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "aiohttp-server"}, NO_EXIT, has_routes=False, reports_more=SENT_LATER,
    ),
    Service("Quart, hypercorn", "quart_app", ("hypercorn", "-b", "127.0.0.1:{port}", "quart_app:app"), skips=NO_EXIT, differs=UNANSWERED),
    Service("Litestar, uvicorn", "litestar_app", _uvicorn("litestar_app:app"), skips=NO_EXIT),
    Service(
        "Bottle, gunicorn gthread", "bottle_app", _gunicorn("--threads", "2", "bottle_app"), skips=BLOCKING | COPIES
    ),
    Service(
        "bare WSGI, gunicorn gthread", "raw_wsgi", _gunicorn("--threads", "2", "raw_wsgi"), has_routes=False
    ),
    Service("bare WSGI, granian", "raw_wsgi", _granian("wsgi", "raw_wsgi:application"), skips=BY_CHANCE, has_routes=False, differs={("/refused-header", "get"): "good"}),
    Service("bare ASGI, uvicorn", "raw_asgi", _uvicorn("raw_asgi:application"), skips=NO_EXIT, has_routes=False),
)  # fmt: skip


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
        if service.skips.isdisjoint((case.path, case.client))
        and has_path(service, case.path)
        and (not paths or case.path in paths)
    ]
