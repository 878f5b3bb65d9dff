"""A small service from which one private name of another project is taken away before it starts, as an upstream release might.

Run as a program it imports the libraries and slotel once, and forks a service for each line of its input: the full name of a
probe, or `nothing`. Where slotel reads a name while it is imported, the service imports it anew. Each service answers requests of
Flask, Django and FastAPI, logs, counts, fails, forks, and sends everything to a sink of its own; one line of JSON says what it saw.
Run with `--list` it prints the names.
"""

import contextlib
import gzip
import http.client
import http.server
import importlib
import json
import logging
import os
import pkgutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import zlib

from opentelemetry.util._importlib_metadata import entry_points

SECRET = "geheim-7f3a"
NOTHING = "nothing"
GONE = "_gone_upstream"
SERVERS = {
    "gunicorn.workers.sync": "sync", "gunicorn.workers.gthread": "gthread",
    "gunicorn.workers.gasgi": "asgi",
}  # fmt: skip
"""Module of a probe → gunicorn's name of the worker class."""
REQUESTS = 4
"""Of each framework: three that are answered, one that fails."""


def import_probes():
    """Import every module of the room that can be imported here."""
    import slotel.runtime.upstream as room

    import_all(room)
    from slotel.runtime.upstream.probe import PROBES

    return PROBES


def import_all(package):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)


# -- the service ----------------------------------------------------------------------------------------------------


class Sink(http.server.ThreadingHTTPServer):
    """Keeps what is sent by OTLP and to Sentry."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Keeping)
        self.got = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def said(self):
        return {path: b"".join(bodies) for path, bodies in self.got.items()}


class Keeping(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip" or body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        elif self.headers.get("Content-Encoding") == "deflate":
            body = zlib.decompress(body)
        self.server.got.setdefault(self.path, []).append(body)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


class Lines(logging.Handler):
    """Keeps slotel's log lines in a file, those of forked children, too."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.file = tempfile.TemporaryFile("a+")  # noqa: SIM115 as long as the handler

    def emit(self, record):
        self.file.write(f"{record.levelname} {record.getMessage()}\n")
        self.file.flush()

    def read(self):
        self.file.seek(0)
        return self.file.read().splitlines()


def ask(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, f"token={SECRET}", headers={"Content-Type": "text/plain", **headers})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def fail():
    password = SECRET
    raise ValueError(f"no login with password={password}")


def work():
    """What an app does in a request: a span, a metric, a log line."""
    from opentelemetry import metrics, trace

    with trace.get_tracer("app").start_as_current_span("step", attributes={"password": SECRET}):
        metrics.get_meter("app").create_counter("jobs").add(1, {"token": SECRET})
        logging.getLogger("app").warning("login with password=%s", SECRET, extra={"password": SECRET})


def flask_app():
    import flask

    app = flask.Flask("app")

    @app.get("/flask")
    def ok():
        work()
        return "ok"

    @app.get("/flask/fails")
    def fails():
        fail()

    return app


def django_app():
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path

    def ok(request):
        work()
        return HttpResponse("ok")

    urls = type(sys)("urls")
    urls.urlpatterns = [path("", ok), path("django", ok), path("django/fails", lambda request: fail())]
    sys.modules["urls"] = urls
    settings.configure(ROOT_URLCONF="urls", ALLOWED_HOSTS=["*"], SECRET_KEY=SECRET, LOGGING_CONFIG=None)
    django.setup()
    return get_wsgi_application()


def fastapi_app():
    import fastapi

    app = fastapi.FastAPI()

    @app.get("/fastapi")
    def ok():
        work()
        return "ok"

    @app.get("/fastapi/fails")
    async def fails(request: fastapi.Request):
        await request.body()
        fail()

    return app


def serve_werkzeug(app):
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def serve_wsgiref(app):
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    quiet = type("Quiet", (WSGIRequestHandler,), {"log_message": lambda *_: None})
    server = make_server("127.0.0.1", 0, app, handler_class=quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def serve_waitress(app):
    from waitress.server import create_server

    server = create_server(app, host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    return server.effective_port


def serve_gevent(app):
    from gevent.pywsgi import WSGIServer

    port = []

    def run():
        server = WSGIServer(("127.0.0.1", 0), app, log=None)
        server.start()
        port.append(server.server_port)
        server.serve_forever()

    threading.Thread(target=run, daemon=True).start()
    wait(lambda: port)
    return port[0]


def serve_uvicorn(app):
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    threading.Thread(target=lambda: server.run([listening]), daemon=True).start()
    wait(lambda: server.started)
    return listening.getsockname()[1]


def serve_gunicorn(app, worker):
    """In a process of its own: workers count in their files, and any of them answers scrapes for all."""
    from gunicorn.app.base import BaseApplication

    listening = socket.create_server(("127.0.0.1", 0))
    os.set_inheritable(listening.fileno(), True)

    class Application(BaseApplication):
        def load_config(self):
            for name, value in {
                "bind": f"fd://{listening.fileno()}",
                "worker_class": worker,
                "workers": 1,
                "threads": 2 if worker == "gthread" else 1,
                "graceful_timeout": 5,
            }.items():
                self.cfg.set(name, value)

        def load(self):
            return app

    pid = os.fork()
    if pid == 0:
        Application().run()
    return listening.getsockname()[1]


def wait(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def module_of(key):
    """The module of a name; its class, if it has one, starts with a capital letter."""
    parts = key.split(".")[:-1]
    return ".".join(part for part in parts if not part.lstrip("_")[:1].isupper())


def apps_of(module):
    """What the service is made of: path → app and server; for most names one framework will do."""
    wsgi = {
        "waitress.server": serve_waitress,
        "gevent.pywsgi": serve_gevent,
        "wsgiref.simple_server": serve_wsgiref,
    }
    if module in wsgi:
        return {"/flask": (flask_app, wsgi[module])}
    every = {
        "/flask": (flask_app, serve_werkzeug),
        "/django": (django_app, serve_wsgiref),
        "/fastapi": (fastapi_app, serve_uvicorn),
    }
    if module == "" or module.startswith("sentry_sdk"):
        return every
    asgi = any(name in module for name in ("starlette", "uvicorn", "gasgi"))
    path = "/django" if "django" in module else "/fastapi" if asgi else "/flask"
    return {path: every[path]}


def start(adopted):
    """Start slotel as opentelemetry-instrument does; `adopted`: after the app has set up tracing by itself."""
    from opentelemetry import trace

    early = None
    if adopted:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
        early = trace.get_tracer("early")
    from slotel.runtime.distro import SlotelConfigurator, SlotelDistro

    distro = SlotelDistro()
    distro.configure()
    SlotelConfigurator().configure(auto_instrumentation_version="0")
    for point in entry_points(group="opentelemetry_instrumentor"):
        if point.name in ("flask", "django", "fastapi", "starlette", "logging"):
            distro.load_instrumentor(point)
    return early or trace.get_tracer("late")


def service(key, found):
    """Serve, and note in `found` what came of it."""
    sink = Sink()
    endpoint = f"http://127.0.0.1:{sink.server_port}"
    os.environ.update(
        OTEL_SERVICE_NAME="taken", OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="otlp,prometheus", OTEL_LOGS_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_PROMETHEUS_PORT="0", SENTRY_DSN=endpoint.replace("//", "//key@") + "/1",
        OTEL_METRIC_EXPORT_INTERVAL="3600000", SLOTEL_RUN_DIR=tempfile.mkdtemp(),
    )  # fmt: skip
    lines = Lines()
    logging.getLogger("slotel").addHandler(lines)
    early = start(key.startswith("opentelemetry.sdk.trace"))
    from slotel.runtime.state import current

    runtime = current()
    if key.startswith("sentry_sdk"):  # the app's own client, which may send who a user is
        import sentry_sdk

        is_2 = "send_default_pii" in sentry_sdk.consts.DEFAULT_OPTIONS
        told = {"send_default_pii": True} if is_2 else {"data_collection": {"user_info": True}}
        sentry_sdk.init(os.environ["SENTRY_DSN"], **told)
    if key.startswith("opentelemetry.instrumentation.wsgi"):
        from slotel.runtime.upstream.otel.instrumentations.instrumentors import patch_instrumentation

        patch_instrumentation(
            "falcon"
        )  # what is mended for Falcon is a function that Flask's instrumentation calls, too
    module = module_of(key)
    if module in SERVERS:
        served = {path: serve_gunicorn(app(), SERVERS[module]) for path, (app, _) in apps_of(module).items()}
    else:
        served = {path: serve(app()) for path, (app, serve) in apps_of(module).items()}
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"session={SECRET}"}
    found["answers"] = {
        path: [ask(port, f"{path}?token={SECRET}", **headers) for _ in range(REQUESTS - 1)]
        + [ask(port, f"{path}/fails")]
        for path, port in served.items()
    }
    early.start_span("early", attributes={"password": SECRET}).end()
    child(runtime)
    wait(lambda: counted(runtime, "SPAN_KIND_SERVER") >= REQUESTS * len(served))
    found["requests"] = counted(runtime, "SPAN_KIND_SERVER"), REQUESTS * len(served)
    found["early"] = counted(runtime, "SPAN_KIND_INTERNAL", "early")
    found["child"] = counted(runtime, "SPAN_KIND_CONSUMER")
    runtime.shutdown_flusher.flush_all()
    scraped = scrape(runtime) + scrape(runtime, "/")
    said = sink.said()
    found["sent"] = {path: len(body) for path, body in said.items()}
    found["leaked"] = [
        path for path, body in {**said, "/metrics": scraped}.items() if SECRET.encode() in body
    ]
    found["lines"] = lines.read()
    found |= {"without": probe.without, "level": probe.level} if (probe := probe_of(key)) is not None else {}


def probe_of(key):
    from slotel.runtime.upstream.probe import PROBES

    return next(
        (each for each in PROBES if each.name == GONE and key.startswith(each.where.replace(":", "."))), None
    )


def child(runtime):
    """A forked child that serves one job and ends as multiprocessing's do."""
    import multiprocessing

    from opentelemetry import metrics, trace

    def job():
        with trace.get_tracer("job").start_as_current_span(
            "job", kind=trace.SpanKind.CONSUMER, attributes={"password": SECRET}
        ):
            metrics.get_meter("app").create_counter("jobs").add(1, {"token": SECRET})

    process = multiprocessing.get_context("fork").Process(target=job)
    process.start()
    process.join(30)


def scrape(runtime, path="/metrics"):
    import urllib.request

    return urllib.request.urlopen(runtime.endpoint.address.replace("/metrics", path), timeout=60).read()


def counted(runtime, kind, name=""):
    total = 0
    for line in scrape(runtime).decode().splitlines():
        if (
            line.startswith("traces_span_metrics_calls_total{")
            and f'span_kind="{kind}"' in line
            and f'span_name="{name}' in line
        ):
            total += int(float(line.rpartition("} ")[2].split()[0]))
    return total


# -- the process that forks them ------------------------------------------------------------------------------------


def take_away(key):
    """Have the probe look for a name that is not there; one that is not constructed yet, from its construction on."""
    from slotel.runtime.upstream import probe

    for each in probe.PROBES:
        if str(each) == key:
            each.name = GONE
            return
    construct = probe.Probe.__init__

    def init(self, where, name, **more):
        construct(self, where, name, **more)
        if str(self) == key:
            self.name = GONE

    probe.Probe.__init__ = init


def in_child(key, write):
    found = {}
    try:
        if key != NOTHING:
            take_away(key)
        service(key, found)
    except BaseException:
        found["error"] = traceback.format_exc()
    with os.fdopen(write, "w") as pipe:
        print(json.dumps(found), file=pipe)
    time.sleep(60)  # until it is killed, with what it started


def main():
    for name in (
        "celery", "django.core.handlers.base", "django.core.wsgi", "fastapi", "flask", "flask.signals", "gevent.pywsgi", "gunicorn.app.base", "multiprocessing",
        "opentelemetry.exporter.otlp.proto.http._log_exporter", "opentelemetry.exporter.otlp.proto.http.metric_exporter", "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry.exporter.prometheus", "opentelemetry.instrumentation.django", "opentelemetry.instrumentation.fastapi", "opentelemetry.instrumentation.flask",
        "opentelemetry.instrumentation.starlette", "opentelemetry.sdk._configuration", "opentelemetry.sdk._logs", "opentelemetry.sdk.metrics.export", "sentry_sdk.integrations.logging",
        "uvicorn", "waitress.server", "werkzeug.serving", "wsgiref.simple_server", "slotel.config.service", "ruamel.yaml",
        # what those import when they are used: a fifth of what each service would cost
        "amqp", "anyio._backends._asyncio", "billiard.util", "celery._state", "celery.utils.threads", "django.conf.urls", "django.views.decorators.csrf",
        "django.views.defaults", "encodings.idna", "faulthandler", "gevent.resolver.thread", "isal.igzip_lib", "kombu", "multiprocessing.popen_fork", "netrc", "opentelemetry.instrumentation.logging", "requests",
        "sentry_sdk.integrations.asgi", "sentry_sdk.integrations.django", "sentry_sdk.integrations.flask", "sentry_sdk.integrations.stdlib", "sentry_sdk.spotlight",
        "urllib3.contrib.socks", "uvicorn.lifespan.off", "uvicorn.loops.asyncio", "uvicorn.loops.auto", "uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto", "yaml",
    ):  # fmt: skip
        importlib.import_module(name)
    entry_points(group="opentelemetry_instrumentor")  # read once, and kept
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        with_slotel(theirs.makefile("rw"))
        os._exit(0)
    theirs.close()
    answers = ours.makefile("rw")
    read = json.loads(answers.readline())
    print("ready", flush=True)
    for line in sys.stdin:
        key = line.strip()
        if key in read:
            print(answer(key), flush=True)
        else:
            print(key, file=answers, flush=True)
            print(answers.readline(), end="", flush=True)


def with_slotel(pipe):
    """Import slotel, say which names it has read by that, and answer for the others."""
    print(json.dumps(read_at_import()), file=pipe, flush=True)
    for line in pipe:
        print(answer(line.strip()), file=pipe, flush=True)


def read_at_import():
    """Import slotel; return the names of the probes that were used."""
    from slotel.runtime.upstream.probe import Probe

    kept, read = Probe.name, set()

    def name(probe):
        read.add(probe)
        return kept.__get__(probe)

    Probe.name = property(name, kept.__set__)
    import slotel.runtime

    import_all(slotel.runtime)
    Probe.name = kept
    return [str(probe) for probe in read]


def answer(key):
    """Fork a service without the name; return what it saw, as JSON."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.setsid()
        in_child(key, write)
    os.close(write)
    with os.fdopen(read) as pipe:
        found = pipe.readline().rstrip()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # also the server that it started
    os.waitpid(pid, 0)
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(map(str, import_probes())))
    else:
        main()
