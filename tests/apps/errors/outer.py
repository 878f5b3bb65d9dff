"""Requests around which code stands that no instrumentation knows: it says something, makes a span, reports, and asks.

Usage: outer.py plain|slotel flask|django|given
"""

import json
import sys
import threading
import urllib.request
from contextlib import suppress
from wsgiref.simple_server import WSGIRequestHandler, make_server

import sentry_sdk

HOW, SCENE = sys.argv[1:]
REQUESTS = 5
if HOW == "plain" or SCENE == "given":
    integrations = []
    if SCENE == "given":
        from sentry_sdk.integrations.django import DjangoIntegration

        integrations = [DjangoIntegration()]
    sentry_sdk.init(traces_sample_rate=1.0, send_default_pii=True, integrations=integrations)


def note(event, hint):
    event.setdefault("extra", {})["noted"] = True
    return event


def outer(application):
    def middleware(environ, start_response):
        number = environ["QUERY_STRING"]
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

    @app.get("/<any(asks, plain):what>")
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

    urls = [path("asks", lambda _: HttpResponse("asks")), path("fails", fails)]
    settings.configure(
        ROOT_URLCONF=type("Urls", (), {"urlpatterns": urls}), ALLOWED_HOSTS=["*"], SECRET_KEY="x"
    )
    django.setup()
    from django.core.wsgi import get_wsgi_application

    return outer(get_wsgi_application())


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


application = (flask if SCENE == "flask" else django)()
server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
paths = ["asks"] * REQUESTS + (["fails"] if SCENE != "flask" else [])
for number, path in enumerate(paths):
    address = f"http://127.0.0.1:{server.server_port}/{path}?{number}"
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(address, headers={"Cookie": "foo=bar"})).close()
server.shutdown()
sentry_sdk.flush(60)
if HOW == "slotel":
    from slotel.runtime.state import RUNNING

    RUNNING[0].flush(60)
    open_roots = [len(sink._open) for sink in RUNNING[0].pipeline.sinks if hasattr(sink, "_open")]
    print(json.dumps(open_roots))
