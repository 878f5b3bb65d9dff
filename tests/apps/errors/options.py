"""An app with its own `sentry_sdk.init`, whose options are to stay in force: plain or under slotel, one scene at a time."""

import contextlib
import json
import logging
import os
import sys
import time

import sentry_sdk

scene, options = sys.argv[1], json.loads(sys.argv[2])
if "trace_ignore_status_codes" in options:
    options["trace_ignore_status_codes"] = set(options["trace_ignore_status_codes"])
for name in ("before_send_log", "before_send_metric"):
    if name in options:
        options[name] = lambda item, hint: None
if "custom_repr" in options:
    options["custom_repr"] = lambda value: "mine" if isinstance(value, ValueError) else None
integrations = []
for name, given in options.pop("integrations", {}).items():
    module, _, kind = name.rpartition(".")
    integrations.append(
        getattr(__import__(f"sentry_sdk.integrations.{module}", fromlist=[kind]), kind)(**given)
    )
sentry_sdk.init(
    os.environ["SENTRY_DSN"], release="r", environment="test", integrations=integrations, **options
)


def flask():
    from flask import Flask, request

    app = Flask("options")

    @app.post("/good")
    def good():
        return request.get_data()[:10]

    @app.post("/bad")
    def bad():
        request.get_data()
        raise RuntimeError("bad")

    with app.test_client() as client:
        for path in ("/good", "/good", "/bad"):
            client.post(path, data={"name": "x" * 3000}, headers={"Cookie": "theme=dark"})


def fastapi():
    from fastapi import FastAPI, HTTPException
    from fastapi.testclient import TestClient

    app = FastAPI()

    @app.get("/good")
    async def good():
        return "good"

    @app.get("/bad")
    async def bad():
        raise RuntimeError("bad")

    @app.get("/teapot")
    async def teapot():
        raise HTTPException(418)

    client = TestClient(app, raise_server_exceptions=False)
    for path in ("/good", "/good", "/bad", "/teapot"):
        client.get(path)


def crons():
    from sentry_sdk.crons import monitor

    @monitor(
        monitor_slug="nightly", monitor_config={"schedule": {"type": "interval", "value": 1, "unit": "day"}}
    )
    def job(fails):
        if fails:
            raise RuntimeError("job")

    job(False)
    with contextlib.suppress(RuntimeError):
        job(True)


def beat():
    """Celery's beat and worker in one process: each entry is due at once, and run."""
    from datetime import timedelta

    from celery import Celery
    from celery.beat import Scheduler
    from celery.contrib.testing.worker import start_worker

    app = Celery("options", broker="memory://", backend="cache+memory://")
    app.conf.worker_hijack_root_logger = False
    done = []

    @app.task(name="good")
    def good():
        done.append("good")

    @app.task(name="bad")
    def bad():
        done.append("bad")
        raise RuntimeError("bad")

    app.conf.beat_schedule = {
        name: {"task": name.partition(" ")[0], "schedule": timedelta(minutes=5)}
        for name in ("good", "bad", "good excluded")
    }
    with start_worker(app, perform_ping_check=False, pool="solo"):
        scheduler = Scheduler(app)
        for entry in scheduler.schedule.values():
            if not entry.name.startswith("celery."):
                entry.last_run_at -= timedelta(hours=1)
        while len(done) < 3:
            scheduler.tick()
            time.sleep(0.05)


def tasks():
    """A task that is sent as the app has chosen, and one whose sender has."""
    from celery import Celery
    from celery.contrib.testing.worker import start_worker

    app = Celery("options", broker="memory://", backend="cache+memory://")
    app.conf.worker_hijack_root_logger = False

    @app.task(name="task")
    def task(number):
        return number

    with start_worker(app, perform_ping_check=False, pool="solo"):
        with sentry_sdk.start_transaction(op="job", name="sender"):
            sent = [task.delay(1), task.apply_async((2,), headers={"sentry-propagate-traces": True})]
        for each in sent:
            each.get(timeout=60)


def caches():
    from django.conf import settings

    settings.configure(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}})
    from django.core.cache import cache

    cache.set("outside", 1)
    with sentry_sdk.start_transaction(op="job", name="cached"):
        cache.get("cart:7")
        cache.set("cart:7", "tea")
        cache.get("cart:7")


def redis():
    import redis

    client = redis.Redis(port=int(os.environ["REDIS_PORT"]))
    with sentry_sdk.start_transaction(op="job", name="cached"):
        client.set("cart:7", "tea")
        client.get("cart:7")
        client.get("other:7")
        client.mget("cart:8", "other:8")
        client.setex("cart:9", 60, "milk")
        client.delete("cart:7")


def propagates():
    """What a request to another service, a process and a task take with them of the trace."""
    import subprocess
    import threading
    import urllib.request
    from http.server import BaseHTTPRequestHandler, HTTPServer

    taken = {}

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            taken["request"] = "sentry-trace" in self.headers
            taken["baggage"] = "sentry-" in self.headers.get("baggage", "")
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever).start()
    with sentry_sdk.start_transaction(op="job", name="asks") as transaction:
        urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").read()
        code = "import os; print('SUBPROCESS_SENTRY_TRACE' in os.environ)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        taken["process"] = done.stdout.strip() == "True"
        taken["headers"] = bool(dict(sentry_sdk.get_current_scope().iter_trace_propagation_headers()))
        transaction.set_tag("taken", json.dumps(taken))
    server.shutdown()


def process():
    import subprocess

    subprocess.run([sys.executable, "-c", "pass"], check=True)
    with sentry_sdk.start_transaction(op="job", name="starts"):
        subprocess.run([sys.executable, "-c", "0"], check=True, cwd="/", capture_output=True)


def slow():
    """A slow request to another service, and a quick one."""
    import threading
    import urllib.request
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(0.6 if self.path == "/slow" else 0)  # a busy machine is slow by itself
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever).start()
    with sentry_sdk.start_transaction(op="job", name="asks"):
        for path in ("slow", "quick"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{path}").read()
    server.shutdown()


def frames():
    """An exception and a message, each with its stack; a log, a metric."""

    def inner(depth, word="tea"):
        if not depth:
            json.loads(word)
        inner(depth - 1)

    try:
        inner(5)
    except ValueError as error:
        sentry_sdk.capture_exception(error)
    sentry_sdk.capture_message("said")
    sentry_sdk.logger.info("structured")
    if hasattr(sentry_sdk, "metrics"):
        sentry_sdk.metrics.count("orders", 1)


def named_function():
    with sentry_sdk.start_transaction(op="job", name="named"):
        json.dumps([])


def logs():
    logger = logging.getLogger("shop")
    logger.addHandler(logging.NullHandler())
    logger.warning("careful %s", "please")
    logger.error("failed")
    sentry_sdk.logger.info("structured", attributes={"cart": 3})


def profile():
    sentry_sdk.profiler.start_profiler()
    busy(0.5)
    sentry_sdk.profiler.stop_profiler()


def busy(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))


def answers():
    for status in (200, 404):
        with sentry_sdk.start_transaction(op="http", name=str(status)) as transaction:
            transaction.set_http_status(status)


def profiled():
    with sentry_sdk.start_transaction(op="job", name="long"):
        busy(0.5)
    time.sleep(0.5)  # the profiler's thread gives its last chunk away later


globals()[scene]()
sentry_sdk.get_client().close(30)
