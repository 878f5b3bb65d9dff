"""What one more error of a kind costs a process, slotel against sentry-sdk alone: both added to the app without telemetry.

The apps of `apps/` answer in their process, without a server; events go to a sink of another process. CPU of the thread
that serves, and of the whole process until the last event has left. Convention: bench/README.md.
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

from micro import main
from server import Sink
from variants import APPS, VARIANTS

BARE, NATIVE, SLOTEL = "bare", "native@0.01", "slotel@0.01"
WARM = 60
"""Errors before those that are measured: a further one of the minute has no variables."""
PAUSE = 0.02
"""Seconds between two errors: without one all code is in the processor's caches, as in no service."""
TARGET = 0.2


def rows(quick: bool) -> list[dict]:
    rounds, errors = (7, 30) if quick else (25, 50)
    with Sink() as sink:
        return [row for app in APPS for row in _rows(app, rounds, errors, sink)]


def _rows(app: str, rounds: int, errors: int, sink: Sink) -> list[dict]:
    processes = {name: _started(app, name, sink.dsn) for name in (BARE, NATIVE, SLOTEL)}
    found: dict[str, list[dict]] = {name: [] for name in processes}
    try:
        for _ in range(rounds):
            for name, process in processes.items():
                found[name].append(_asked(process, errors))
    finally:
        for process in processes.values():
            process.stdin.close()
            process.wait()
    parts = ("thread", "process")
    middle = {
        name: {part: statistics.median(each[part] for each in taken) for part in parts}
        for name, taken in found.items()
    }
    made = []
    for part, what in zip(parts, ("the thread that serves", "the whole process"), strict=True):
        bare = middle[BARE][part]
        native, slotel = middle[NATIVE][part] - bare, middle[SLOTEL][part] - bare
        made.append(
            {"what": f"one more error of a kind, {app}, {what} (without telemetry {bare:.0f} us)",
             "baseline": "sentry-sdk alone", "value": round(slotel, 1), "baseline_value": round(native, 1), "unit": "us",
             "ratio": round(slotel / native, 4), "target": TARGET}
        )  # fmt: skip
    return made


def _started(app: str, name: str, dsn: str) -> subprocess.Popen:
    variant = VARIANTS[name]
    process = subprocess.Popen(
        [*variant.command, __file__, app],
        env=variant.environ(os.environ, dsn, 0) | {"BENCH_CHILD": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    _asked(process, WARM)
    return process


def _asked(process: subprocess.Popen, errors: int) -> dict:
    process.stdin.write(f"{errors}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


# -- in a process under measurement ----------------------------------------------------------------------------


def serve(name: str) -> None:
    """Answer so many errors for each line of standard input; print what one has cost."""
    sys.path.insert(0, str(Path(__file__).parent / "apps"))
    fail = {"flask": flask, "fastapi": fastapi}[name]()
    for line in sys.stdin:
        count, thread = int(line), 0.0
        gc.collect()  # else one of them in a while costs 50 ms more
        process = time.process_time()
        for _ in range(count):
            begun = time.thread_time()
            fail()
            thread += time.thread_time() - begun
            time.sleep(PAUSE)
        _flush()
        process = time.process_time() - process
        print(json.dumps({"thread": thread / count * 1e6, "process": process / count * 1e6}), flush=True)


def _flush() -> None:
    sentry = sys.modules.get("sentry_sdk")
    if sentry is not None:
        sentry.flush(60.0)


def flask():
    from flask_app import app
    from werkzeug.test import EnvironBuilder

    environ = EnvironBuilder("/error", headers={"User-Agent": "bench", "Accept": "*/*"}).get_environ()
    environ["wsgi.errors"] = sys.stderr

    def fail() -> None:
        answer = app(dict(environ), lambda *_: None)
        list(answer)
        answer.close()

    return fail


def fastapi():
    import asyncio
    import logging

    from fastapi_app import app

    log = logging.getLogger("uvicorn.error")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/error", "raw_path": b"/error", "query_string": b"", "root_path": "",
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
        serve(sys.argv[1])
    else:
        main(__doc__, rows)
