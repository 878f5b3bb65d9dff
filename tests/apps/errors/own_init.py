"""A FastAPI service that calls sentry_sdk.init itself: `before` slotel, `after` it, `late` (only it has a DSN), or at `/init`.

`bound`: after slotel, by an `init` that it imported before. `by-hand`: it makes a client and sets it.
"""

import os
import sys

import requests
import sentry_sdk
import uvicorn
from fastapi import FastAPI, Request
from opentelemetry import trace
from sentry_sdk import init as init_of_old

PORT = int(os.environ["PORT"])
WAY = sys.argv[1]
WITHOUT_LAUNCHER = ("before", "bound", "by-hand")
OPTIONS = {"traces_sample_rate": 1.0, "release": "app-1", "environment": "live"}


def before_send_transaction(event, hint):
    event["tags"]["seen"] = "by the app"
    return None if "unwanted" in event["transaction"] else event


if "before_send_transaction" in sentry_sdk.consts.DEFAULT_OPTIONS:  # sentry-sdk 3 has none
    OPTIONS["before_send_transaction"] = before_send_transaction


def before_send(event, hint):
    event["tags"]["seen"] = "by the app"
    return None if "unwanted" in event.get("request", {}).get("url", "") else event


if WAY in WITHOUT_LAUNCHER:
    from slotel import ErrorTracker

    given = {"dsn": os.environ["SENTRY_DSN"], "before_send": before_send, **OPTIONS}
    if WAY == "before":
        sentry_sdk.init(**given)
    ErrorTracker().init()
    if WAY == "bound":
        init_of_old(**given)
    elif WAY == "by-hand":
        sentry_sdk.get_global_scope().set_client(sentry_sdk.Client(**given))
elif WAY == "after":
    sentry_sdk.init(before_send=before_send, **OPTIONS)
elif WAY == "late":
    sentry_sdk.init(os.environ["APP_DSN"], before_send=before_send, **OPTIONS)

app = FastAPI()
if WAY in WITHOUT_LAUNCHER:
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    FastAPIInstrumentor.instrument_app(app)
    RequestsInstrumentor().instrument()


@app.get("/healthz")
async def healthz():
    return "ok"


@app.get("/error")
@app.get("/unwanted")
async def error():
    context = trace.get_current_span().get_span_context()
    raise ValueError(f"{context.trace_id:032x}-{context.span_id:016x}")


@app.get("/plain")
async def plain():
    raise ValueError("plain")


@app.get("/init")
def init():
    sentry_sdk.init(os.environ["APP_DSN"], before_send=before_send, **OPTIONS)
    return "ok"


@app.get("/out")
def out():
    trace_id = f"{trace.get_current_span().get_span_context().trace_id:032x}"
    return {"trace": trace_id, "headers": requests.get(f"http://127.0.0.1:{PORT}/headers", timeout=10).json()}


@app.get("/headers")
async def headers(request: Request):
    return [[name.decode(), value.decode()] for name, value in request.headers.raw]


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
