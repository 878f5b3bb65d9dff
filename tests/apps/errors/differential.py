"""One app for each framework, the same under plain sentry-sdk and under slotel; every way to make an event and a transaction."""

import asyncio
import base64
import contextlib
import contextvars
import functools
import http.client
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
KNOW_THEIR_USER = ("login", "auth", "rest")
options = {}
if FRAMEWORK in ("rq", "huey", "dramatiq", "arq"):
    from sentry_sdk.integrations.redis import RedisIntegration

    options["disabled_integrations"] = [RedisIntegration]  # its breadcrumbs have a test of their own
if FRAMEWORK == "dramatiq":
    from sentry_sdk.integrations.dramatiq import DramatiqIntegration

    options["integrations"] = [DramatiqIntegration()]
sentry_sdk.init(
    os.environ["SENTRY_DSN"],
    traces_sample_rate=1.0,
    send_default_pii="private" not in sys.argv,
    release="r1",
    environment="live",
    **options,
)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def post(url, **more):
    body = json.dumps({"amount": 3, "note": "tea"}).encode()
    headers = {
        "Content-Type": "application/json",
        "Cookie": "theme=dark",
        "X-Mine": "yes",
        "Host": "shop.test",
        **more,
    }
    try:
        urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60).read()
    except urllib.error.HTTPError as error:
        error.read()


def wsgi(app, paths=("fails", "says", "logs"), **headers):
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for path in paths:
            with contextlib.suppress(http.client.IncompleteRead):
                post(f"http://127.0.0.1:{server.server_port}/{path}/7%C3%A9%E2%82%AC?q=1", **headers)
        server.shutdown()
        thread.join()


def said(number):
    if FRAMEWORK not in KNOW_THEIR_USER:
        sentry_sdk.set_user({"id": "u7"})
    for name, value in (("mine", number), ("count", 3), ("ratio", 0.5), ("is_new", True), ("nothing", None)):
        sentry_sdk.set_tag(name, value)
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


def catches(number):
    said(number)
    try:
        raise LookupError("it is caught")
    except LookupError:
        sentry_sdk.capture_exception()


def bottle():
    import bottle

    app = bottle.Bottle()

    def view_of_bottle(view):
        def view_function(number):
            assert bottle.request.json["amount"] == 3
            view(number)
            return "ok"

        return view_function

    for view in (*VIEWS, refuses(lambda: bottle.abort(500, "it refuses"))):
        app.route(f"/{view.__name__}/<number>", "POST", view_of_bottle(view))
    wsgi(app, ALL)


VIEWS = fails, says, logs, catches
ALL = ("fails", "says", "logs", "catches", "refuses", "nowhere")


def refuses(answers):
    """A view that answers with a 500 by an exception of its framework."""

    def refuses(number):
        said(number)
        answers()

    return refuses


def raising(error):
    def raises():
        raise error

    return raises


def falcon():
    import falcon

    def resource_of(view):
        class Resource:
            def on_post(self, request, response, number):
                assert request.media["amount"] == 3
                view(number)
                response.text = "ok"

        return Resource()

    app = falcon.App()
    for view in (*VIEWS, refuses(raising(falcon.HTTPInternalServerError(title="it refuses")))):
        app.add_route(f"/{view.__name__}/{{number}}", resource_of(view))
    wsgi(app, ALL)


def tornado():
    import tornado.httpserver
    import tornado.testing
    import tornado.web

    def handler_of(view):
        class Handler(tornado.web.RequestHandler):
            def post(self, number):
                assert json.loads(self.request.body)["amount"] == 3
                view(number)

        Handler.__name__ = Handler.__qualname__ = view.__name__
        return Handler

    async def main():
        views = (*VIEWS, refuses(raising(tornado.web.HTTPError(500, "it refuses"))))
        app = tornado.web.Application([(f"/{view.__name__}/(.*)", handler_of(view)) for view in views])
        listener, port = tornado.testing.bind_unused_port()
        server = tornado.httpserver.HTTPServer(app)
        server.add_sockets([listener])
        await ask_all(port)
        server.stop()

    asyncio.run(main())


async def ask_all(port):
    for path in ALL:
        client = functools.partial(post, f"http://127.0.0.1:{port}/{path}/7%C3%A9%E2%82%AC?q=1")
        await asyncio.get_running_loop().run_in_executor(None, contextvars.Context().run, client)


def aiohttp():
    from aiohttp import web

    def view_of_aiohttp(view):
        async def view_function(request):
            assert (await request.json())["amount"] == 3
            view(request.match_info["number"])
            return web.Response(text="ok")

        view_function.__name__ = view_function.__qualname__ = view.__name__
        return view_function

    async def main():
        app = web.Application()
        for view in (*VIEWS, refuses(raising(web.HTTPInternalServerError(reason="it refuses")))):
            app.router.add_post(f"/{view.__name__}/{{number}}", view_of_aiohttp(view))
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        await ask_all(site._server.sockets[0].getsockname()[1])
        await runner.cleanup()

    asyncio.run(main())


def quart():
    import quart

    app = quart.Quart("differential")

    def view_of_quart(view):
        async def view_function(number):
            assert (await quart.request.get_json())["amount"] == 3
            view(number)
            return "ok"

        return view_function

    for view in (*VIEWS, refuses(lambda: quart.abort(500, "it refuses"))):
        app.add_url_rule(f"/{view.__name__}/<number>", view.__name__, view_of_quart(view), methods=["POST"])
    asgi(app, paths=ALL)


def view_of_starlette(view):
    from starlette.responses import PlainTextResponse

    async def view_function(request):
        await request.json()
        view(request.path_params["number"])
        return PlainTextResponse("ok")

    return view_function


def starlette():
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    views = (*VIEWS, refuses(raising(HTTPException(500, "it refuses"))))
    asgi(
        Starlette(
            routes=[
                Route(f"/{view.__name__}/{{number}}", view_of_starlette(view), methods=["POST"])
                for view in views
            ]
        ),
        paths=ALL,
    )


def litestar():
    import litestar
    from litestar.exceptions import HTTPException

    def view_of_litestar(view):
        async def view_function(number: str, request: litestar.Request) -> str:
            assert (await request.json())["amount"] == 3
            view(number)
            return "ok"

        view_function.__name__ = view_function.__qualname__ = view.__name__
        return litestar.post(f"/{view.__name__}/{{number:str}}", name=view.__name__)(view_function)

    views = (*VIEWS, refuses(raising(HTTPException("it refuses", status_code=500))))
    asgi(litestar.Litestar([view_of_litestar(view) for view in views]), paths=ALL)


def rq():
    from redis import Redis
    from rq import Queue, SimpleWorker

    connection = Redis.from_url(os.environ["BROKER"])
    queue = Queue(connection=connection)
    for view in VIEWS:
        queue.enqueue(f"differential.{view.__name__}", "7")
    sys.modules["differential"] = sys.modules["__main__"]
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level="CRITICAL")


def huey():
    from huey import RedisHuey
    from huey.api import TaskException

    huey = RedisHuey(url=os.environ["BROKER"])

    def task_of(view):
        def run(number):
            view(number)
            return "ok"

        return huey.task(name=view.__name__)(run)

    tasks = [task_of(view) for view in VIEWS]
    consumer = huey.create_consumer(workers=1, periodic=False, initial_delay=0.01)
    consumer.start()
    for result in [task("7") for task in tasks]:
        with contextlib.suppress(TaskException):
            result(blocking=True, timeout=60)
    consumer.stop(graceful=True)


def dramatiq():
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=os.environ["BROKER"])
    dramatiq.set_broker(broker)
    actors = [dramatiq.actor(view, max_retries=0) for view in VIEWS]
    for actor in actors:
        actor.send("7")
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=1)
    worker.start()
    broker.join("default")
    worker.join()
    worker.stop()


def arq():
    import arq.worker
    from arq import create_pool
    from arq.connections import RedisSettings

    def job_of(view):
        async def run(context, number):
            view(number)

        return arq.worker.func(run, name=view.__name__)

    class Settings:
        functions = [job_of(view) for view in VIEWS]  # noqa: RUF012 arq's own way
        redis_settings = RedisSettings.from_dsn(os.environ["BROKER"])
        burst, poll_delay, max_jobs = True, 0.05, 1

    async def enqueue():
        pool = await create_pool(Settings.redis_settings)
        for view in VIEWS:
            await pool.enqueue_job(view.__name__, "7")

    asyncio.run(enqueue())
    asyncio.set_event_loop(asyncio.new_event_loop())
    arq.worker.run_worker(Settings)


def flask():
    import flask

    app = flask.Flask("differential")
    for view in (fails, says, logs):
        app.add_url_rule(f"/{view.__name__}/<number>", view.__name__, view_of_flask(view), methods=["POST"])
    wsgi(app)


def flask_late():
    """Errors where Flask's context is not, or no more."""
    import flask

    app = flask.Flask("differential")

    def fails_late(number, what):
        said(number)
        raise ValueError(what)

    @app.post("/threads/<number>")
    def threads(number):
        flask.request.get_json()
        thread = threading.Thread(target=fails_late, args=(number, "threads"), name="side")
        thread.start()
        thread.join()
        return "ok"

    @app.post("/streams/<number>")
    def streams(number):
        flask.request.get_json()

        def answer():
            yield "begun"
            fails_late(number, "streams")

        return flask.Response(answer())

    @app.post("/ends/<number>")
    def ends(number):
        flask.request.get_json()
        return "ok"

    @app.teardown_request
    def teardown(error):
        if flask.request.path.startswith("/ends"):
            fails_late("7", "ends")

    wsgi(app, ("threads", "streams", "ends"))


def flask_left_behind():
    """A request whose teardown fails leaves its span in the thread; the server logs what breaks a later answer."""
    from wsgiref.handlers import BaseHandler

    import flask

    app = flask.Flask("differential")

    @app.post("/ends/<number>")
    def ends(number):
        return "ok"

    @app.teardown_request
    def teardown(error):
        if flask.request.path.startswith("/ends"):
            raise ValueError("ends")

    @app.post("/streams/<number>")
    def streams(number):
        def answer():
            yield "begun"
            raise ValueError("streams")

        return flask.Response(answer())

    def log_exception(handler, exc_info):
        logging.getLogger("server").error("Error handling request", exc_info=exc_info)

    BaseHandler.log_exception = log_exception
    wsgi(app, ("ends", "streams", "streams"))


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


def django_streams():
    """Django under ASGI: the answer goes on in a task of its own when the span has ended."""
    from django.conf import settings
    from django.http import StreamingHttpResponse
    from django.urls import path

    def view_of_django(view):
        def view_function(request, number):
            json.loads(request.body)

            async def answer():
                yield "begun"
                view(number)

            return StreamingHttpResponse(answer())

        return view_function

    module = sys.modules["differential_urls"] = type(sys)("differential_urls")
    module.urlpatterns = [
        path(f"{view.__name__}/<number>", view_of_django(view)) for view in (fails, says, logs)
    ]
    settings.configure(
        ROOT_URLCONF="differential_urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None
    )
    from django.core.asgi import get_asgi_application

    def ask(url):
        with contextlib.suppress(http.client.IncompleteRead):
            post(url)

    asgi(get_asgi_application(), ask)


def django_escapes():
    """What Django's own handler of errors raises leaves the application."""
    from django.conf import settings
    from django.urls import path

    def handler500(request):
        fails("7")

    module = sys.modules["differential_urls"] = type(sys)("differential_urls")
    module.urlpatterns = [path("<path:rest>", lambda request, rest: handler500(request))]
    module.handler500 = handler500
    settings.configure(
        ROOT_URLCONF="differential_urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None
    )
    from django.core.wsgi import get_wsgi_application

    wsgi(get_wsgi_application(), ("fails",))


def login():
    """Flask-Login knows the user."""
    import flask
    import flask_login

    class User(flask_login.UserMixin):
        id, username, email = "42", "kate", "kate@example.org"

    app = flask.Flask("differential")
    manager = flask_login.LoginManager(app)
    manager.request_loader(lambda request: User())
    for view in (fails, says, logs):
        function = flask_login.login_required(view_of_flask(view))
        app.add_url_rule(f"/{view.__name__}/<number>", view.__name__, function, methods=["POST"])
    wsgi(app)


def configured_auth():
    """Settings of Django with a user that no database knows; returns the user."""
    from django.conf import settings

    class Backend:
        def get_user(self, user_id):
            return made[0]

        def authenticate(self, request, username=None, password=None):
            return made[0]

    sys.modules["differential_urls"] = type(sys)("differential_urls")
    sys.modules["differential_urls"].Backend = Backend
    settings.configure(
        ROOT_URLCONF="differential_urls", SECRET_KEY="x", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
        AUTHENTICATION_BACKENDS=["differential_urls.Backend"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
    )  # fmt: skip
    import django

    django.setup()
    from django.contrib.auth.models import User

    made = [User(pk=42, username="kate", email="kate@example.org")]
    return made[0]


def auth():
    """Django knows the user of a session."""
    user = configured_auth()
    from django.contrib import auth
    from django.contrib.auth.decorators import login_required
    from django.contrib.sessions.backends.signed_cookies import SessionStore
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt

    def view_of_django(view):
        def view_function(request, number):
            json.loads(request.body)
            view(number)
            return HttpResponse("ok")

        return csrf_exempt(login_required(view_function))

    sys.modules["differential_urls"].urlpatterns = [
        path(f"{view.__name__}/<number>", view_of_django(view)) for view in (fails, says, logs)
    ]
    session = SessionStore()
    session[auth.SESSION_KEY], session[auth.BACKEND_SESSION_KEY] = "42", "differential_urls.Backend"
    session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    wsgi(get_wsgi_application(), Cookie=f"theme=dark; sessionid={session.session_key}")


def rest():
    """Django REST framework reads the body, and knows the user."""
    configured_auth()
    from django.core.wsgi import get_wsgi_application
    from django.urls import path
    from rest_framework.authentication import BasicAuthentication
    from rest_framework.permissions import IsAuthenticated
    from rest_framework.response import Response
    from rest_framework.views import APIView

    def view_of_rest(view):
        def post(self, request, number):
            assert request.data["amount"] == 3
            view(number)
            return Response("ok")

        told = {"authentication_classes": [BasicAuthentication], "permission_classes": [IsAuthenticated]}
        return type(view.__name__, (APIView,), {"post": post, **told}).as_view()

    sys.modules["differential_urls"].urlpatterns = [
        path(f"{view.__name__}/<number>", view_of_rest(view)) for view in (fails, says, logs)
    ]
    wsgi(get_wsgi_application(), Authorization=f"Basic {base64.b64encode(b'kate:x').decode()}")


def asgi(app, ask=post, prefix="", protocol="http", paths=("fails", "says", "logs")):
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    for path in paths:
        ask(f"{protocol}://127.0.0.1:{port}/{prefix}{path}/7%C3%A9%E2%82%AC?q=1")
    server.should_exit = True
    thread.join()


def fastapi():
    import fastapi

    app = fastapi.FastAPI()

    def view_of_fastapi(view):
        async def view_function(number: str, body: dict):
            view(number)
            return "ok"

        return view_function

    for view in (fails, says, logs):
        app.post(f"/{view.__name__}/{{number}}")(view_of_fastapi(view))
    asgi(app)


def background():
    """What FastAPI runs when it has answered."""
    import fastapi

    app = fastapi.FastAPI()

    def view_of_fastapi(view):
        async def view_function(number: str, body: dict, tasks: fastapi.BackgroundTasks):
            tasks.add_task(view, number)
            return "ok"

        return view_function

    for view in (fails, says, logs):
        app.post(f"/{view.__name__}/{{number}}")(view_of_fastapi(view))
    asgi(app)


def mounted():
    """An app of FastAPI in one of Starlette."""
    import fastapi
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = fastapi.FastAPI()

    def view_of_fastapi(view):
        def view_function(number: str, body: dict):
            view(number)
            return "ok"

        return view_function

    for view in (fails, says, logs):
        inner.post(f"/{view.__name__}/{{number}}")(view_of_fastapi(view))
    asgi(Starlette(routes=[Mount("/inner", app=inner)]), prefix="inner/")


def mounted_routes():
    """Routes of Starlette below a prefix."""
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    routes = [
        Route(f"/{view.__name__}/{{number}}", view_of_starlette(view), methods=["POST"])
        for view in (fails, says, logs)
    ]
    asgi(Starlette(routes=[Mount("/inner", routes=routes)]), prefix="inner/")


def socket():
    """Websockets that fail, and that close in order."""
    import fastapi
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    app = fastapi.FastAPI()

    def view_of_fastapi(view):
        async def view_function(socket: fastapi.WebSocket, number: str):
            await socket.accept()
            await socket.send_text(await socket.receive_text())
            view(number)
            await socket.close()

        return view_function

    for view in (fails, says, logs):
        app.websocket(f"/{view.__name__}/{{number}}")(view_of_fastapi(view))

    def ask(url):
        headers = {"Cookie": "theme=dark", "X-Mine": "yes"}
        with connect(url, additional_headers=headers) as client, contextlib.suppress(WebSocketException):
            client.send("tea")
            while True:
                client.recv(timeout=60)

    asgi(app, ask, protocol="ws")


def lifespan():
    """Apps that fail when they start, or when they stop."""
    import fastapi
    import uvicorn

    for fails_first in (True, False):

        @contextlib.asynccontextmanager
        async def life(app, fails_first=fails_first):
            said("7")
            if fails_first:
                raise ValueError("it fails to start")
            sentry_sdk.capture_message("it says")
            yield
            raise ValueError("it fails to stop")

        server = uvicorn.Server(uvicorn.Config(fastapi.FastAPI(lifespan=life), port=0))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started and thread.is_alive():
            threading.Event().wait(0.01)
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

    @app.task(name="differential.is_late")
    def third(number):
        raise SoftTimeLimitExceeded(7)

    from celery.contrib.testing.worker import start_worker
    from celery.exceptions import SoftTimeLimitExceeded

    with start_worker(app, perform_ping_check=False, pool="solo"):
        for each in (task, second, third):
            with contextlib.suppress(ValueError, SoftTimeLimitExceeded):
                each.delay("7").get(timeout=60)


def canvas():
    """A chain, a group and a chord, of tasks that say, fail and call others."""
    import celery
    from celery.contrib.testing.worker import start_worker

    app = celery.Celery("differential", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
    app.conf.worker_hijack_root_logger = False

    @app.task(name="differential.adds")
    def adds(one, other=0):
        said("7")
        return one + other

    @app.task(name="differential.sums")
    def sums(numbers):
        sentry_sdk.capture_message(f"it sums {sum(numbers)}")
        return sum(numbers)

    @app.task(name="differential.fails")
    def task(number):
        fails(number)

    @app.task(name="differential.retries", bind=True, max_retries=1)
    def retries(self, number):
        raise self.retry(countdown=0, exc=ValueError("it retries"))

    with start_worker(app, perform_ping_check=False, pool="solo"):
        with sentry_sdk.start_transaction(op="job", name="sends"):
            sent = [
                celery.chain(adds.s(1), adds.s(2), adds.s(3))(),
                celery.group(adds.s(10), adds.s(20))(),
                celery.chord([adds.s(4), adds.s(5)])(sums.s()),
                celery.chord([adds.s(6), task.s("7")])(sums.s()),
                retries.delay("7"),
            ]
        for each in sent:
            with contextlib.suppress(Exception):
                each.get(timeout=60)


def script():
    with sentry_sdk.start_transaction(op="job", name="nightly"):
        says("7")
        try:
            fails("7")
        except ValueError:
            sentry_sdk.capture_exception()


globals()[FRAMEWORK]()
sentry_sdk.flush(60)
