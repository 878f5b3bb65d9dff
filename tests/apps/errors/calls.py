"""An app that calls other services and databases before it fails, the same under plain sentry-sdk and under slotel."""

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import sentry_sdk
from sentry_sdk.integrations.stdlib import StdlibIntegration

SCENE, *WORDS = sys.argv[2:]
ECHO = "import os; print(os.environ['SUBPROCESS_SENTRY_TRACE'])"


def before_breadcrumb(crumb, hint):
    if crumb.get("data", {}).get("http.query") == "unwanted":
        return None
    if crumb.get("type") == "http":
        crumb["data"]["seen"] = True
    return crumb


def named():
    yield StdlibIntegration()
    if SCENE == "django":
        from sentry_sdk.integrations.django import DjangoIntegration

        yield DjangoIntegration()


sentry_sdk.init(
    os.environ["SENTRY_DSN"], release="r1", environment="live", before_breadcrumb=before_breadcrumb,
    **({"max_breadcrumbs": 4} if "few" in WORDS else {}),
    **({"default_integrations": False} if "off" in WORDS else {}),
    integrations=[*named()] if "named" in WORDS else [],
)  # fmt: skip


class Other(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path.split("?")[0].rsplit("/", 1)[1]))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


def url(path):
    return f"http://127.0.0.1:{other.server_port}/{path}"


def calls():
    """Each way that is installed, with a breadcrumb of the app between."""
    import requests

    sentry_sdk.add_breadcrumb(message="first")
    requests.get(url("items/200?page=2#top"), timeout=60)
    requests.get(url("items/200?unwanted"), timeout=60)
    sentry_sdk.add_breadcrumb(message="second")
    requests.get(url("items/404"), timeout=60)
    try:
        urllib.request.urlopen(url("items/503"), timeout=60)
    except urllib.error.HTTPError as error:
        error.close()
    logging.getLogger("shop").warning("third")
    if "process" in WORDS:
        subprocess.run([sys.executable, "-c", ECHO], cwd="/", check=True)
    if "httpx" in WORDS:
        import httpx

        httpx.get(url("items/201?a=b"))
    if "sqlalchemy" in WORDS:
        import sqlalchemy

        with sqlalchemy.create_engine("sqlite://").connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1 WHERE 2 = :two"), {"two": 2})
    if "redis" in WORDS:
        import redis

        store = redis.Redis(port=int(os.environ["REDIS_PORT"]))
        store.set("cart:7", "tea")
        store.get("cart:7")
        with store.pipeline() as pipeline:
            pipeline.get("cart:7").execute()


def get(address):
    try:
        urllib.request.build_opener().open(address, timeout=60).read()
    except urllib.error.HTTPError as error:
        error.read()


def flask():
    from flask import Flask
    from werkzeug.serving import make_server

    app = Flask("calls")

    @app.get("/fails")
    def fails():
        calls()
        raise ValueError("it fails")

    @app.get("/says")
    def says():
        calls()
        sentry_sdk.capture_message("it says")
        return "ok"

    serve(make_server("127.0.0.1", 0, app, threaded=True))


def serve(server):
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    port = server.server_port
    for path in ("fails", "says"):
        # from a context of its own: the client's own request is none of the service's breadcrumbs
        client = threading.Thread(target=get, args=(f"http://127.0.0.1:{port}/{path}",))
        client.start()
        client.join()
    server.shutdown()
    thread.join()


def django():
    from django.conf import settings

    settings.configure(
        ROOT_URLCONF="calls_urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )  # fmt: skip
    from django.core.wsgi import get_wsgi_application
    from django.db import connection
    from django.http import HttpResponse
    from django.urls import path
    from werkzeug.serving import make_server

    def query():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.execute("SELECT 2 WHERE 3 = 3")

    def fails(request):
        calls()
        query()
        raise ValueError("it fails")

    def says(request):
        query()
        calls()
        sentry_sdk.capture_message("it says")
        return HttpResponse("ok")

    module = sys.modules["calls_urls"] = type(sys)("calls_urls")
    module.urlpatterns = [path("fails", fails), path("says", says)]
    serve(make_server("127.0.0.1", 0, get_wsgi_application(), threaded=True))


def fastapi():
    import fastapi
    import uvicorn

    app = fastapi.FastAPI()

    @app.get("/fails")
    def fails():
        calls()
        raise ValueError("it fails")

    @app.get("/says")
    async def says():
        calls()
        sentry_sdk.capture_message("it says")

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    for path in ("fails", "says"):
        address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/{path}"
        client = threading.Thread(target=get, args=(address,))
        client.start()
        client.join()
    server.should_exit = True
    thread.join()


def celery():
    import celery
    from celery.contrib.testing.worker import start_worker

    app = celery.Celery("calls", broker="memory://", backend="cache+memory://")
    app.conf.worker_hijack_root_logger = False

    @app.task(name="fails")
    def fails():
        calls()
        raise ValueError("it fails")

    with start_worker(app, perform_ping_check=False, pool="solo"), contextlib.suppress(ValueError):
        fails.delay().get(timeout=60)


def script():
    calls()
    with sqlite3.connect(":memory:") as connection:
        connection.execute("SELECT 'a script'")
    sentry_sdk.capture_message("it says")
    with sentry_sdk.start_transaction(op="job", name="nightly"):
        calls()
        try:
            raise ValueError("it fails")
        except ValueError:
            sentry_sdk.capture_exception()


other = ThreadingHTTPServer(("127.0.0.1", 0), Other)
threading.Thread(target=other.serve_forever, daemon=True).start()
globals()[SCENE]()
sentry_sdk.flush(60)
