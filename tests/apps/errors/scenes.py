"""Apps with errors that frameworks answer, log or swallow, driven in this process, one scene after another; `plain` calls sentry_sdk.init."""

import asyncio
import contextlib
import logging
import os
import sys
import threading
import urllib.error
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, make_server

import sentry_sdk
from sentry_sdk.integrations.logging import LoggingIntegration

HOW, *SCENES = sys.argv[1:]
if HOW == "plain":
    options = {}
    if sentry_sdk.VERSION.startswith("3"):  # whose own default sends logged errors as logs: decision 49
        options["integrations"] = [LoggingIntegration(level=None, event_level=logging.ERROR)]
    sentry_sdk.init(os.environ["SENTRY_DSN"], traces_sample_rate=1.0, **options)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def get(url):
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(url, timeout=60).read()


async def cancels_itself():
    raise asyncio.CancelledError("nobody's disconnect")


def serve_wsgi(app, *paths):
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for path in paths:
            get(f"http://127.0.0.1:{server.server_port}{path}")
        server.shutdown()
        thread.join()


def serve_asgi(app, *paths):
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    for path in paths:
        get(f"http://127.0.0.1:{port}{path}")
    server.should_exit = True
    thread.join()


def falcon():
    import falcon

    class Fails:
        def on_get(self, request, response):
            raise ValueError("falcon")

    class Unavailable:
        def on_get(self, request, response):
            raise falcon.HTTPServiceUnavailable

    class Missing:
        def on_get(self, request, response):
            raise falcon.HTTPNotFound

    app = falcon.App()
    app.add_route("/fails", Fails())
    app.add_route("/unavailable", Unavailable())
    app.add_route("/missing", Missing())
    serve_wsgi(app, "/fails", "/unavailable", "/missing")


def celery():
    """Tasks that run where they are called: one returns its failure, one raises it, one raises control flow."""
    from celery import Celery
    from celery.exceptions import Ignore

    app = Celery("eager", broker="memory://")
    app.conf.task_always_eager = True

    @app.task
    def fails(value):
        try:
            raise LookupError("handled")
        except LookupError as cause:
            raise ValueError(value) from cause

    @app.task
    def ignored():
        raise Ignore

    fails.delay("returned")
    app.conf.task_eager_propagates = True
    for task, values in ((fails, ("raised",)), (ignored, ())):
        with contextlib.suppress(ValueError, Ignore):
            task.delay(*values)


def loguru():
    from loguru import logger
    from opentelemetry import trace

    with trace.get_tracer("t").start_as_current_span("job"):
        logger.error("loguru's error")
        try:
            raise KeyError("loguru")
        except KeyError:
            logger.exception("caught")


def tornado():
    import tornado.httpclient
    import tornado.httpserver
    import tornado.testing
    import tornado.web

    class Fails(tornado.web.RequestHandler):
        def get(self):
            raise ValueError("tornado")

    class Unavailable(tornado.web.RequestHandler):
        def get(self):
            raise tornado.web.HTTPError(503)

    async def main():
        app = tornado.web.Application([("/fails", Fails), ("/unavailable", Unavailable)])
        listener, port = tornado.testing.bind_unused_port()
        server = tornado.httpserver.HTTPServer(app)
        server.add_sockets([listener])
        loop = asyncio.get_running_loop()
        for path in ("/fails", "/unavailable"):
            await loop.run_in_executor(None, get, f"http://127.0.0.1:{port}{path}")
        server.stop()

    asyncio.run(main())


def aiohttp():
    from aiohttp import web

    async def fails(request):
        raise ValueError("aiohttp")

    async def missing(request):
        raise web.HTTPNotFound

    async def main():
        app = web.Application()
        app.router.add_get("/fails", fails)
        app.router.add_get("/missing", missing)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        for path in ("/fails", "/missing"):
            await loop.run_in_executor(None, get, f"http://127.0.0.1:{port}{path}")
        await runner.cleanup()

    asyncio.run(main())


def bottle():
    import bottle

    app = bottle.Bottle()

    @app.get("/fails")
    def fails():
        raise ValueError("bottle")

    serve_wsgi(app, "/fails")


def starlette_app(**more):
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    class UpstreamError(Exception):
        status_code = 429

    async def fails(request):
        raise ValueError("starlette")

    async def unavailable(request):
        raise HTTPException(503)

    async def missing(request):
        raise HTTPException(404)

    async def below(request):
        raise UpstreamError("an answer of somebody else")

    routes = [Route(f"/{each.__name__}", each) for each in (fails, unavailable, missing, below)]
    return Starlette(routes=routes, **more)


def starlette_middleware():
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware

    async def passes(request, call_next):
        return await call_next(request)

    serve_asgi(
        starlette_app(middleware=[Middleware(BaseHTTPMiddleware, dispatch=passes)]),
        "/fails", "/unavailable", "/missing",
    )  # fmt: skip


def starlette_mounted():
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount

    async def quiet(request, error):
        return PlainTextResponse("sorry", 500)

    inner = starlette_app(exception_handlers={Exception: quiet})
    serve_asgi(Starlette(routes=[Mount("/sub", inner)]), "/sub/fails", "/sub/unavailable")


def starlette_status_below_500():
    serve_asgi(starlette_app(), "/below")


def starlette_codes():
    from sentry_sdk.integrations.starlette import StarletteIntegration

    sentry_sdk.init(
        os.environ["SENTRY_DSN"],
        traces_sample_rate=1.0,
        integrations=[StarletteIntegration(failed_request_status_codes={404})],
    )
    serve_asgi(starlette_app(), "/missing", "/unavailable")


def fastapi():
    import fastapi

    app = fastapi.FastAPI()

    class TooManyError(Exception):
        status = 429

    @app.get("/fails")
    async def fails():
        raise ValueError("fastapi")

    @app.get("/sync")
    def sync():
        raise TooManyError("upstream")

    @app.get("/unavailable")
    def unavailable():
        raise fastapi.HTTPException(503)

    @app.middleware("http")
    async def passes(request, call_next):
        return await call_next(request)

    @app.get("/logged")
    def logged():
        logging.getLogger("app").error("logged, %s", "too")

    serve_asgi(app, "/fails", "/sync", "/unavailable", "/logged")


def flask():
    import flask

    app = flask.Flask("scene")

    @app.get("/fails")
    def fails():
        raise ValueError("flask")

    @app.get("/caught")
    def caught():
        try:
            raise ValueError("caught")
        except ValueError:
            app.logger.exception("it failed")
        return "ok"

    @app.get("/message")
    def message():
        sentry_sdk.capture_message("a message")
        return "ok"

    @app.get("/cancelled")
    def cancelled():
        asyncio.run(cancels_itself())

    @app.get("/exit")
    def leaves():
        raise GeneratorExit("of the view, and no server's")

    serve_wsgi(app, "/fails", "/caught", "/message", "/cancelled", "/exit")


def django():
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    def fails(request):
        raise ValueError("django")

    def message(request):
        sentry_sdk.capture_message("a message")
        return HttpResponse("ok")

    def cancelled(request):
        asyncio.run(cancels_itself())

    sys.modules["scene_urls"] = type(sys)("scene_urls")
    sys.modules["scene_urls"].urlpatterns = [
        path(each.__name__, each) for each in (fails, message, cancelled)
    ]
    settings.configure(ROOT_URLCONF="scene_urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
    from django.core.wsgi import get_wsgi_application

    serve_wsgi(get_wsgi_application(), "/fails", "/message", "/nowhere", "/cancelled")


def script():
    from opentelemetry import trace

    with trace.get_tracer("t").start_as_current_span("job"):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        logging.getLogger("app").error("logged")
        try:
            raise ValueError("captured")
        except ValueError as error:
            sentry_sdk.capture_exception(error)
            sentry_sdk.capture_exception(error)


for scene in SCENES:
    globals()[scene]()
sentry_sdk.flush(60)
