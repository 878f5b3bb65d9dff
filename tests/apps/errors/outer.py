"""Requests around which code stands that no instrumentation knows: it says something, makes a span, reports, and asks.

Usage: outer.py plain|slotel flask|django|given|fastapi [programs]
"""

import json
import random
import sys
import threading
import urllib.request
from contextlib import ExitStack, suppress
from wsgiref.simple_server import WSGIRequestHandler, make_server

import sentry_sdk

HOW, SCENE, *PROGRAMS = sys.argv[1:]
REQUESTS = 5
STEPS = ("span", "nested", "open", "around", "asks", "reports", "tells")
headers = {}
"""Number of a request → what code around it has put into the header `sentry-trace` of its own requests."""
if HOW == "plain" or SCENE == "given":
    integrations = []
    if SCENE == "given":
        from sentry_sdk.integrations.django import DjangoIntegration

        integrations = [DjangoIntegration()]
    sentry_sdk.init(traces_sample_rate=1.0, send_default_pii=True, integrations=integrations)


def note(event, hint):
    event.setdefault("extra", {})["noted"] = True
    return event


def steps(number, request):
    """Do what the number of a request says; the stack that is given ends what goes on during the request."""
    drawn = random.Random(number)
    sentry_sdk.set_tag("program", number)
    for step in drawn.choices(STEPS, k=drawn.randint(1, 4)):
        if step in ("span", "nested"):
            with sentry_sdk.start_span(name=step):
                if step == "nested":
                    with sentry_sdk.start_span(name="inner"):
                        pass
        elif step == "open":
            request.callback(sentry_sdk.start_span(name=step).finish)
        elif step == "around":
            request.enter_context(sentry_sdk.start_span(name=step))
        elif step == "asks":
            span = sentry_sdk.get_current_span()
            if span is not None:
                span.set_data("asked", number)
        elif step == "reports":
            sentry_sdk.capture_message(number)
        else:
            headers.setdefault(number, []).append(sentry_sdk.get_traceparent())


def outer(application):
    def middleware(environ, start_response):
        number = environ["QUERY_STRING"]
        if environ["PATH_INFO"] == "/does":
            with ExitStack() as request:
                steps(number, request)
                return application(environ, start_response)
        sentry_sdk.set_tag("before", number)
        if environ["PATH_INFO"] == "/fails":
            sentry_sdk.get_current_span()
            sentry_sdk.get_current_scope().add_event_processor(note)
        if environ["PATH_INFO"] == "/asks":
            sentry_sdk.get_current_span()
            with sentry_sdk.start_span(op="auth", name="looks up"):
                pass
            sentry_sdk.set_tag("asked", number)
            sentry_sdk.set_user({"id": number})
            if HOW == "slotel":
                import slotel

                slotel.set_custom_tags(tenant=number)
        return application(environ, start_response)

    return middleware


def flask():
    import flask

    app = flask.Flask("outer")

    @app.get("/<any(asks, does):what>")
    def answer(what):
        return what

    return outer(app)


def django():
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    def fails(request):
        raise ValueError("it fails")

    urls = [path(name, lambda _: HttpResponse("fine")) for name in ("asks", "does")]
    urls.append(path("fails", fails))
    settings.configure(
        ROOT_URLCONF=type("Urls", (), {"urlpatterns": urls}), ALLOWED_HOSTS=["*"], SECRET_KEY="x"
    )
    django.setup()
    from django.core.wsgi import get_wsgi_application

    return outer(get_wsgi_application())


def fastapi():
    import fastapi

    app = fastapi.FastAPI()

    @app.get("/does")
    async def does():
        return "does"

    async def middleware(scope, receive, send):
        with ExitStack() as request:
            if scope["type"] == "http":
                steps(scope["query_string"].decode(), request)
            await app(scope, receive, send)

    return middleware


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def ask(port, paths):
    for number, path in enumerate(paths):
        address = f"http://127.0.0.1:{port}/{path}?{number}"
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(urllib.request.Request(address, headers={"Cookie": "foo=bar"})).close()


paths = ["asks"] * REQUESTS + (["fails"] if SCENE != "flask" else [])
if PROGRAMS:
    paths = ["does"] * 60
if SCENE == "fastapi":
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(fastapi(), port=0, log_level="critical"))

    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    ask(server.servers[0].sockets[0].getsockname()[1], paths)
    server.should_exit = True
    thread.join()
else:
    application = (flask if SCENE == "flask" else django)()
    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ask(server.server_port, paths)
        server.shutdown()
sentry_sdk.flush(60)
open_roots = []
if HOW == "slotel":
    from slotel.runtime.state import RUNNING

    RUNNING[0].flush(60)
    open_roots = [len(sink._open) for sink in RUNNING[0].pipeline.sinks if hasattr(sink, "_open")]
print(json.dumps({"open": open_roots, "headers": headers}))
