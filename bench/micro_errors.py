"""What one more error of a kind costs a process, against sentry-sdk alone, and one transaction, against the stock wiring.

Both are what is added to the app without telemetry. The apps of `apps/` answer in their process, without a server; what is
sent goes to a sink of another process. CPU of the thread that serves, and of the whole process until the last envelope has
left. Convention: bench/README.md.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from micro import main
from server import Sink
from variants import APPS, VARIANTS

WARM = 60
"""Requests before those that are measured: a further error of the minute has no variables."""


class Kind(NamedTuple):
    """What is compared.

    Args:
        variants: without telemetry, the baseline, slotel.
        pause: seconds between two requests: without one all code is in the processor's caches, as in no service.
    """

    what: str
    path: str
    variants: tuple[str, str, str]
    baseline: str
    pause: float
    target: float


KINDS = (
    Kind(
        "one more error of a kind",
        "/error",
        ("bare", "native@0.01", "slotel@0.01"),
        "sentry-sdk alone",
        0.02,
        0.2,
    ),
    Kind("one transaction", "/ok", ("bare", "stock@1.0", "slotel@1.0"), "the stock wiring", 0.01, 0.3),
)


def rows(quick: bool) -> list[dict]:
    rounds, requests = (7, 30) if quick else (25, 50)
    with Sink() as sink:
        return [row for kind in KINDS for app in APPS for row in _rows(kind, app, rounds, requests, sink)]


def _rows(kind: Kind, app: str, rounds: int, requests: int, sink: Sink) -> list[dict]:
    processes = {name: _started(kind, app, name, sink.dsn) for name in kind.variants}
    found: dict[str, list[dict]] = {name: [] for name in processes}
    try:
        for _ in range(rounds):
            for name, process in processes.items():
                found[name].append(_asked(process, requests))
    finally:
        for process in processes.values():
            process.stdin.close()
            process.wait()
    parts = ("thread", "process")
    middle = [
        {part: statistics.median(each[part] for each in found[name]) for part in parts}
        for name in kind.variants
    ]
    made = []
    for part, what in zip(parts, ("the thread that serves", "the whole process"), strict=True):
        bare, theirs, slotel = (each[part] for each in middle)
        made.append(
            {"what": f"{kind.what}, {app}, {what} (without telemetry {bare:.0f} us)", "baseline": kind.baseline,
             "value": round(slotel - bare, 1), "baseline_value": round(theirs - bare, 1), "unit": "us",
             "ratio": round((slotel - bare) / (theirs - bare), 4), "target": kind.target}
        )  # fmt: skip
    return made


def _started(kind: Kind, app: str, name: str, dsn: str) -> subprocess.Popen:
    variant = VARIANTS[name]
    process = subprocess.Popen(
        [*variant.command, __file__, app, kind.path, str(kind.pause)],
        env=variant.environ(os.environ, dsn, 0) | {"BENCH_CHILD": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    _asked(process, WARM)
    return process


def _asked(process: subprocess.Popen, requests: int) -> dict:
    process.stdin.write(f"{requests}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


# -- in a process under measurement ----------------------------------------------------------------------------


def serve(name: str, path: str, pause: float) -> None:
    """Answer so many requests for each line of standard input; print what one has cost."""
    sys.path.insert(0, str(Path(__file__).parent / "apps"))
    ask = {"flask": flask, "fastapi": fastapi}[name](path)
    for line in sys.stdin:
        count, thread = int(line), 0.0
        gc.collect()  # else one of them in a while costs 50 ms more
        process = time.process_time()
        for _ in range(count):
            begun = time.thread_time()
            ask()
            thread += time.thread_time() - begun
            time.sleep(pause)
        _flush()
        process = time.process_time() - process
        print(json.dumps({"thread": thread / count * 1e6, "process": process / count * 1e6}), flush=True)


def _flush() -> None:
    sentry = sys.modules.get("sentry_sdk")
    if sentry is not None:
        sentry.flush(60.0)


def flask(path: str):
    from flask_app import app
    from werkzeug.test import EnvironBuilder

    environ = EnvironBuilder(path, headers={"User-Agent": "bench", "Accept": "*/*"}).get_environ()
    environ["wsgi.errors"] = sys.stderr

    def ask() -> None:
        answer = app(dict(environ), lambda *_: lambda _: None)
        list(answer)
        answer.close()

    return ask


def fastapi(path: str):
    import asyncio
    import logging

    from fastapi_app import app

    log = logging.getLogger("uvicorn.error")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost"), (b"user-agent", b"bench"), (b"accept", b"*/*")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_):
        return None

    async def once() -> None:
        try:
            await app(dict(scope), receive, send)
        except Exception as error:
            log.error("Exception in ASGI application\n", exc_info=error)  # noqa: TRY400 as uvicorn logs it

    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(loop.create_task(once()))


if __name__ == "__main__":
    if os.environ.pop("BENCH_CHILD", ""):
        serve(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    else:
        main(__doc__, rows)
