"""A request's objects are gone with it: none waits for a garbage collection, which would also keep the request's body."""

import subprocess
import sys

import pytest

APP = """
import asyncio, gc, io, os, sys
os.environ.update(OTEL_SERVICE_NAME="x", OTEL_METRICS_EXPORTER="none", SLOTEL_HANDLE_SIGTERM="false",
                  SENTRY_DSN="http://k@127.0.0.1:9/1", SENTRY_TRACES_SAMPLE_RATE="0", OTEL_TRACES_EXPORTER="none")
from slotel.runtime.bootstrap import start
start(os.environ)
{serve}
for _ in range(20):
    one()
gc.collect()
gc.disable()
gc.set_debug(gc.DEBUG_SAVEALL)
one()
gc.collect()
left = sorted({{type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("slotel")}})
gc.set_debug(0)
print("left", left)
sys.stdout.flush()
os._exit(0)
"""
WSGI = """
from wsgiref.simple_server import make_server
from wsgiref.util import setup_testing_defaults
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return {answer}
application = make_server("127.0.0.1", 0, app).get_app()
assert type(application).__name__ == "WsgiLayer"
def one():
    environ = {{}}
    setup_testing_defaults(environ)
    answer = application(environ, lambda *_: None)
    list(answer)
    getattr(answer, "close", int)()
"""
ASGI = """
import uvicorn
async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
config = uvicorn.Config(app, log_level="error")
config.load()
loop = asyncio.new_event_loop()
async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}
async def send(message): ...
def one():
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "headers": [],
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
    async def call():
        await loop.create_task(config.loaded_app(scope, receive, send))
    loop.run_until_complete(call())
"""


@pytest.mark.parametrize(
    "serve", [WSGI.format(answer="[b'ok']"), WSGI.format(answer="iter([b'o', b'k'])"), ASGI], ids=["whole", "in parts", "asgi"]
)  # fmt: skip
def test_nothing_of_slotel_is_left_of_a_request(serve):
    done = subprocess.run(
        [sys.executable, "-c", APP.format(serve=serve)], capture_output=True, text=True, timeout=120
    )
    assert "left []" in done.stdout, done.stdout + done.stderr
