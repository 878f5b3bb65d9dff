"""Programs of random calls of sentry-sdk's API, in a script or in requests: `random_calls.py WHERE FIRST LAST`.

The program of a number makes the same calls each time. Its events and transactions have the tag `program`.
"""

import asyncio
import contextvars
import logging
import os
import random
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import sentry_sdk

warnings.simplefilter("ignore")  # of what sentry-sdk will give up
WHERE, NUMBERS = sys.argv[1], range(int(sys.argv[2]), int(sys.argv[3]))
KEYS = ("alpha", "beta", "gamma")
VALUES = (1, 2.5, True, None, "text", ["a", 1], {"k": "v"})
ERRORS = (ValueError, KeyError, ZeroDivisionError)
STATUSES = ("ok", "internal_error", "not_found", "aborted")
DEPTH = 4
sentry_sdk.init(os.environ["SENTRY_DSN"], traces_sample_rate=1.0, release="r1", max_breadcrumbs=8)
LOG = logging.getLogger("app")
LOG.setLevel(logging.DEBUG)
logging.getLogger().addHandler(logging.NullHandler())


class Program:
    """One program; a step is a method: `say_…` of one call, `in_…` of calls within something."""

    def __init__(self, number):
        self.number, self.words = number, 0
        self.random = random.Random(number)
        self.says = sorted(name for name in vars(Program) if name.startswith("say_"))
        self.nests = sorted(name for name in vars(Program) if name.startswith("in_"))

    def run(self, depth=DEPTH):
        for _ in range(self.random.randint(1, 4)):
            getattr(self, self.choose(self.says + (2 * self.nests if depth else [])))(depth - 1)

    def choose(self, options):
        return self.random.choice(options)

    def word(self):
        self.words += 1
        return f"{self.choose(KEYS)} {self.number} {self.words}"

    def fail(self):
        if self.random.random() < 0.3:
            try:
                raise TypeError(self.word())
            except TypeError as cause:
                raise self.choose(ERRORS)(self.word()) from cause
        raise self.choose(ERRORS)(self.word())

    def scope(self):
        return self.choose((sentry_sdk.get_isolation_scope, sentry_sdk.get_current_scope))()

    def begin(self, op):
        """A span of what is going on; a transaction, where nothing is."""
        start = sentry_sdk.start_span if sentry_sdk.get_current_span() else sentry_sdk.start_transaction
        return start(op=op, name=self.word())

    # -- one call --------------------------------------------------------------------------------------------

    def say_tag(self, _):
        sentry_sdk.set_tag(self.choose(KEYS), self.choose(("x", "y", 3)))

    def say_tags(self, _):
        sentry_sdk.set_tags({key: self.choose("pq") for key in KEYS[:2]})

    def say_tag_of_a_scope(self, _):
        self.scope().set_tag(self.choose(KEYS), self.word())

    def say_user(self, _):
        sentry_sdk.set_user(self.choose(({"id": "7"}, {"id": "8", "email": "kate@example.org"}, None)))

    def say_extra(self, _):
        sentry_sdk.set_extra(self.choose(KEYS), self.choose(VALUES))

    def say_context(self, _):
        sentry_sdk.set_context(self.choose(KEYS), {"value": self.choose(VALUES)})

    def say_level(self, _):
        sentry_sdk.set_level(self.choose(("warning", "fatal", "info")))

    def say_fingerprint(self, _):
        sentry_sdk.get_current_scope().fingerprint = [self.word()]

    def say_breadcrumb(self, _):
        sentry_sdk.add_breadcrumb(
            message=self.word(), category="c", level="info", data={"k": self.choose(VALUES)}
        )

    def say_less(self, _):
        scope, key = sentry_sdk.get_isolation_scope(), self.choose(KEYS)
        self.choose((scope.remove_tag, scope.remove_extra, scope.remove_context))(key)

    def say_name_of_transaction(self, _):
        sentry_sdk.get_current_scope().set_transaction_name(
            self.word(), source=self.choose(("custom", None, "task"))
        )

    def say_message(self, _):
        sentry_sdk.capture_message(self.word(), level=self.choose(("info", "error", None)))

    def say_message_with_all(self, _):
        sentry_sdk.capture_message(
            self.word(), tags={"own": "1"}, extras={"own": 2}, contexts={"own": {"a": 1}}, user={"id": "own"},
            level="warning", fingerprint=["own"],
        )  # fmt: skip

    def say_event(self, _):
        own = {"tags": {"own": "1"}, "extra": {"e": 1}, "user": {"id": "ev"}, "contexts": {"own": {"z": 1}}}
        sentry_sdk.capture_event({"message": self.word(), "level": "info", "transaction": "given", **own})

    def say_error(self, _):
        try:
            self.fail()
        except Exception as error:
            sentry_sdk.capture_exception(self.choose((error, None)), tags={"own": "2"}, level="fatal")

    def say_log(self, _):
        self.choose((LOG.error, LOG.warning))("said %s", self.word(), extra={"more": 1})

    def say_logged_error(self, _):
        try:
            self.fail()
        except Exception:
            LOG.exception("failed %s", self.word())

    def say_data_of_span(self, _):
        if span := sentry_sdk.get_current_span():
            span.set_data(self.choose(KEYS), self.choose((1, "t", True, 2.5)))

    def say_status_of_span(self, _):
        if span := sentry_sdk.get_current_span():
            span.set_status(self.choose(STATUSES))

    def say_tag_of_span(self, _):
        if span := sentry_sdk.get_current_span():
            span.set_tag(self.choose(KEYS), self.choose("uvw"))

    def say_span_without_a_block(self, _):
        span = self.begin("early")
        span.set_data("a", 1)
        span.finish()

    def say_part_of_nothing(self, _):
        if not sentry_sdk.get_current_span():
            with sentry_sdk.start_span(op="part", name=self.word()):
                sentry_sdk.capture_message(self.word())

    # -- calls within ------------------------------------------------------------------------------------------

    def in_new_scope(self, depth):
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("inner", self.word())
            self.run(depth)

    def in_isolation_scope(self, depth):
        with sentry_sdk.isolation_scope() as scope:
            scope.set_tag("isolated", self.word())
            self.run(depth)

    def in_forked_scope(self, depth):
        scope = sentry_sdk.get_current_scope().fork()
        scope.set_tag("forked", "1")
        with sentry_sdk.scope.use_scope(scope):
            self.run(depth)

    def in_span(self, depth):
        with self.begin(self.choose(("a.op", "http.client", "db"))):
            self.run(depth)

    def in_transaction(self, depth):
        if sentry_sdk.get_current_span():
            return
        source = self.choose(("custom", "task", "route"))
        with sentry_sdk.start_transaction(name=self.word(), op="task", source=source) as span:
            span.set_context("said", {"a": self.choose((1, 2))})
            self.run(depth)

    def in_child(self, depth):
        if span := sentry_sdk.get_current_span():
            with span.start_child(op="child", name=self.word()):
                self.run(depth)

    def in_child_without_a_block(self, depth):
        if span := sentry_sdk.get_current_span():
            child = span.start_child(op="manual", name=self.word())
            self.run(depth)
            child.finish()

    def in_traced_function(self, depth):
        if sentry_sdk.get_current_span():
            sentry_sdk.trace(self.run)(depth)

    def in_callers_trace(self, depth):
        if sentry_sdk.get_current_span():
            return
        trace_id = f"{self.random.getrandbits(128):032x}"
        headers = {
            "sentry-trace": f"{trace_id}-{self.random.getrandbits(64):016x}-1",
            "baggage": f"sentry-trace_id={trace_id},sentry-environment=up,sentry-public_key=k,sentry-release=r0",
        }
        with sentry_sdk.start_transaction(sentry_sdk.continue_trace(headers, op="called", name=self.word())):
            self.run(depth)

    def in_thread(self, depth):
        thread = threading.Thread(target=self.run, args=(depth,))
        thread.start()
        thread.join()

    def in_thread_with_context(self, depth):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(self.run, depth))
        thread.start()
        thread.join()

    def in_pool(self, depth):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self.run, depth).result()

    def in_task(self, depth):
        async def tasks():
            async def task():
                self.run(depth)

            await asyncio.create_task(task())

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(tasks())
        else:
            self.run(depth)

    def in_failing_span(self, depth):
        try:
            with self.begin("fails"):
                self.run(depth)
                self.fail()
        except Exception:
            LOG.info("failed")


def run(number):
    sentry_sdk.get_isolation_scope().set_tag("program", str(number))
    Program(number).run()
    if WHERE != "script" and number % 3 == 0:
        raise ValueError(f"escapes {number}")
    return "ok"


def scripts():
    for number in NUMBERS:
        with sentry_sdk.isolation_scope() as scope, sentry_sdk.new_scope():
            scope.clear_breadcrumbs()
            scope.generate_propagation_context()
            run(number)
            sentry_sdk.flush(10)  # sentry-sdk's own queue has 100 places


def flask_requests():
    from flask import Flask

    app = Flask("app")
    app.get("/run/<int:number>")(run)
    client = app.test_client()
    for number in NUMBERS:
        client.get(f"/run/{number}")
        sentry_sdk.flush(10)


def django_requests():
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path
    from werkzeug.test import Client

    settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="k", ALLOWED_HOSTS=["*"])
    globals()["urlpatterns"] = [path("run/<int:number>", lambda _request, number: HttpResponse(run(number)))]
    django.setup()
    client = Client(get_wsgi_application())
    for number in NUMBERS:
        client.get(f"/run/{number}")
        sentry_sdk.flush(10)


def fastapi_requests(view):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI()
    app.get("/run/{number}")(view)
    client = TestClient(app, raise_server_exceptions=False)
    for number in NUMBERS:
        client.get(f"/run/{number}")
        sentry_sdk.flush(10)


def view(number: int):
    return run(number)


async def awaited_view(number: int):
    return run(number)


if WHERE == "script":
    scripts()
elif WHERE == "flask":
    flask_requests()
elif WHERE == "django":
    django_requests()
else:
    fastapi_requests(awaited_view if WHERE == "fastapi awaited" else view)
sentry_sdk.flush(20)
