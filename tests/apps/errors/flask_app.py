"""A Flask service that fails: the message of each error names the span that it happened in."""

import logging
import os
import threading

import sentry_sdk
from flask import Flask
from opentelemetry import trace
from waitress import serve
from ways import WAYS

from slotel import set_custom_tags

app = Flask(__name__)


def here():
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


@app.get("/healthz")
def healthz():
    return "ok"


@app.route("/error/<team>", methods=["GET", "POST"])
def error(team):
    set_custom_tags(team=team)
    sentry_sdk.set_user({"id": team})
    raise ValueError(here())


@app.get("/plain")
def plain():
    raise ValueError(here())


@app.get("/way/<name>")
def way(name):
    WAYS[name]()


@app.get("/inner")
def inner():
    with trace.get_tracer("shop").start_as_current_span("load"):
        raise ValueError(here())


@app.get("/handled")
def handled():
    try:
        plain()
    except ValueError:
        logging.getLogger("shop").exception("could not load")
    return "ok"


@app.get("/thread")
def thread():
    set_custom_tags(team="blue")
    where = here()

    def work():
        raise ValueError(where)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    return "ok"


@app.get("/secret")
def secret():
    password = "hunter2"  # noqa: F841
    sentry_sdk.set_extra("client_secret", "hunter2")
    raise ValueError(here())


@app.get("/abort")
def abort():
    from flask import abort

    abort(503)


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=int(os.environ["PORT"]), threads=2, _quiet=True)
