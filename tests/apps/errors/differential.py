"""One app for each framework, the same under plain sentry-sdk and under slotel; every way to make an event and a transaction."""

import contextlib
import json
import logging
import os
import sys
import threading
import urllib.error
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, make_server

import sentry_sdk

FRAMEWORK = sys.argv[2]
sentry_sdk.init(
    os.environ["SENTRY_DSN"], traces_sample_rate=1.0, send_default_pii=True, release="r1", environment="live"
)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def post(url):
    body = json.dumps({"amount": 3, "note": "tea"}).encode()
    headers = {"Content-Type": "application/json", "Cookie": "theme=dark", "X-Mine": "yes"}
    try:
        urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60).read()
    except urllib.error.HTTPError as error:
        error.read()


def wsgi(app):
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for path in ("fails", "says", "logs"):
            post(f"http://127.0.0.1:{server.server_port}/{path}/7?q=1")
        server.shutdown()
        thread.join()


def said(number):
    sentry_sdk.set_user({"id": "u7"})
    sentry_sdk.set_tag("mine", number)
    sentry_sdk.set_context("order", {"number": number})
    sentry_sdk.set_extra("extra", "x")
    sentry_sdk.add_breadcrumb(message="crumb")


def fails(number):
    said(number)
    raise ValueError("it fails")


def says(number):
    said(number)
    sentry_sdk.capture_message("it says")


def logs(number):
    said(number)
    logging.getLogger("app").error("it logs %s", number)


def flask():
    import flask

    app = flask.Flask("differential")
    for view in (fails, says, logs):
        app.add_url_rule(f"/{view.__name__}/<number>", view.__name__, view_of_flask(view), methods=["POST"])
    wsgi(app)


def view_of_flask(view):
    def view_function(number):
        import flask

        flask.request.get_json()
        view(number)
        return "ok"

    return view_function


def django():
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    def view_of_django(view):
        def view_function(request, number):
            json.loads(request.body)
            view(number)
            return HttpResponse("ok")

        return view_function

    module = sys.modules["differential_urls"] = type(sys)("differential_urls")
    module.urlpatterns = [
        path(f"{view.__name__}/<number>", view_of_django(view)) for view in (fails, says, logs)
    ]
    settings.configure(
        ROOT_URLCONF="differential_urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None
    )
    from django.core.wsgi import get_wsgi_application

    wsgi(get_wsgi_application())


def fastapi():
    import fastapi
    import uvicorn

    app = fastapi.FastAPI()

    def view_of_fastapi(view):
        async def view_function(number: str, body: dict):
            view(number)
            return "ok"

        return view_function

    for view in (fails, says, logs):
        app.post(f"/{view.__name__}/{{number}}")(view_of_fastapi(view))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    for path in ("fails", "says", "logs"):
        post(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/{path}/7?q=1")
    server.should_exit = True
    thread.join()


def celery():
    import celery

    app = celery.Celery("differential", broker="memory://", backend="cache+memory://")
    app.conf.worker_hijack_root_logger = False

    @app.task(name="differential.fails")
    def task(number):
        fails(number)

    @app.task(name="differential.says")
    def second(number):
        says(number)

    from celery.contrib.testing.worker import start_worker

    with start_worker(app, perform_ping_check=False, pool="solo"):
        for each in (task, second):
            with contextlib.suppress(ValueError):
                each.delay("7").get(timeout=60)


def script():
    with sentry_sdk.start_transaction(op="job", name="nightly"):
        says("7")
        try:
            fails("7")
        except ValueError:
            sentry_sdk.capture_exception()


globals()[FRAMEWORK]()
sentry_sdk.flush(60)
