"""A Flask service for the tests: waitress on PORT."""

import os
import time

from flask import Flask, abort
from opentelemetry import metrics, trace
from waitress import serve

app = Flask(__name__)
orders = metrics.get_meter("shop").create_counter("orders", description="Orders taken.")
metrics.get_meter("shop").create_counter("loads", description="Imports of this module.").add(1)


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/ok")
def ok():
    orders.add(1)
    return "ok"


@app.get("/items/<int:number>")
def item(number):
    with trace.get_tracer("shop").start_as_current_span("load item") as span:
        span.set_attribute("item.number", number)
    return f"item {number}"


@app.get("/slow")
def slow():
    time.sleep(0.35)
    return "slow"


@app.get("/missing")
def missing():
    abort(404)


@app.get("/error")
def error():
    raise ValueError("no such order")


@app.get("/tags/<team>")
def tags(team):
    from slotel import ErrorTracker

    ErrorTracker().set_custom_tags(team=team)
    return team


@app.get("/tagged-error/<team>")
def tagged_error(team):
    from slotel import ErrorTracker

    ErrorTracker().set_custom_tags(team=team)
    raise RuntimeError("failed for a team")


@app.get("/secret")
def secret():
    trace.get_current_span().set_attribute("user.password", "hunter" + str(1 + 1))
    raise RuntimeError("with a secret beside it")


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=int(os.environ["PORT"]), threads=4, _quiet=True)
