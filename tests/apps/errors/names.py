"""One request that succeeds and one that fails, with the `transaction_style` that the app has chosen: plain or under slotel.

`names.py FRAMEWORK=STYLE …`: one after another; without a style, by the default one.
"""

import contextlib
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from importlib import import_module

import sentry_sdk

STYLES = dict(each.split("=") for each in sys.argv[1:])


def integration(framework, style):
    kind = "FastApiIntegration" if framework == "fastapi" else f"{framework.title()}Integration"
    make = getattr(import_module(f"sentry_sdk.integrations.{framework}"), kind)
    return make(transaction_style=style) if style else make()


sentry_sdk.init(
    os.environ["SENTRY_DSN"],
    traces_sample_rate=1.0,
    integrations=[integration(*each) for each in STYLES.items()],
)
PATHS = ("/good/7", "/fails/7")


def good(number):
    return "ok"


def fails(number):
    raise ValueError("it fails")


def wsgi(app):
    from werkzeug.test import Client

    for path in PATHS:
        with contextlib.suppress(ValueError):
            Client(app).get(path).close()


def asgi(app):
    from starlette.testclient import TestClient

    for path in PATHS:
        TestClient(app, raise_server_exceptions=False).get(path)


def flask():
    from flask import Flask

    app = Flask("names")
    app.add_url_rule("/good/<number>", "good", good)
    app.add_url_rule("/fails/<number>", "fails", fails)
    wsgi(app)


def django():
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    def good_view(request, number):
        return HttpResponse(good(number))

    def failing_view(request, number):
        fails(number)

    module = sys.modules["names_urls"] = type(sys)("names_urls")
    module.urlpatterns = [path("good/<number>", good_view), path("fails/<number>", failing_view)]
    settings.configure(ROOT_URLCONF="names_urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
    from django.core.wsgi import get_wsgi_application

    wsgi(get_wsgi_application())


def starlette():
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    async def good_endpoint(request):
        return PlainTextResponse("ok")

    def failing_endpoint(request):
        fails(7)

    inner = [Route("/{number}", failing_endpoint)]
    asgi(Starlette(routes=[Route("/good/{number}", good_endpoint), Mount("/fails", routes=inner)]))


def fastapi():
    from fastapi import FastAPI

    app = FastAPI()
    app.get("/good/{number}")(good)
    app.get("/fails/{number}")(fails)
    asgi(app)


def quart():
    from quart import Quart

    app = Quart("names")
    app.add_url_rule("/good/<number>", "good", good)
    app.add_url_rule("/fails/<number>", "fails", fails)

    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    for path in PATHS:
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}{path}")
    server.should_exit = True
    thread.join()


def pyramid():
    from pyramid.config import Configurator
    from pyramid.response import Response

    with Configurator() as config:
        for view in (good, fails):
            config.add_route(view.__name__, f"/{view.__name__}/{{number}}")
            config.add_view(lambda request, view=view: Response(view(7)), route_name=view.__name__)
    wsgi(config.make_wsgi_app())


def falcon():
    from falcon import App

    def resource(view):
        kind = type("Resource", (), {"on_get": lambda self, request, answer, number: view(number)})
        return kind()

    app = App()
    for view in (good, fails):
        app.add_route(f"/{view.__name__}/{{number}}", resource(view))
    wsgi(app)


for framework in STYLES:
    globals()[framework]()
sentry_sdk.flush(30)
