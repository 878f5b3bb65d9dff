"""Uses sentry-sdk's span API as an app does that was written for it; `plain` calls sentry_sdk.init."""

import asyncio
import json
import os
import sys
from wsgiref.util import setup_testing_defaults

import sentry_sdk
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

if sys.argv[1] == "plain":
    sentry_sdk.init(os.environ["SENTRY_DSN"], traces_sample_rate=1.0, environment="production", release="r")

found = {}


@sentry_sdk.trace
def traced():
    with sentry_sdk.start_span(op="db.query", name="SELECT 1") as span:
        span.set_data("rows", 3)
        span.set_tag("shard", "a")
        span.set_status("ok")


with sentry_sdk.start_transaction(op="task", name="nightly") as transaction:
    traced()
    with sentry_sdk.start_span(op="outer", name="outer") as outer:
        with outer.start_child(op="inner", name="inner"):
            found["current"] = sentry_sdk.get_current_span().op
        found["transaction"] = sentry_sdk.get_current_scope().transaction.name
    found["same trace"] = sentry_sdk.get_traceparent().split("-")[0] == transaction.trace_id
    found["baggage"] = sorted(
        item.split("=")[0]
        for item in sentry_sdk.get_baggage().split(",")
        if not item.startswith("sentry-org")
    )
    found["meta"] = "sentry-trace" in sentry_sdk.get_current_scope().trace_propagation_meta()
    headers = dict(sentry_sdk.get_current_scope().iter_trace_propagation_headers())
    found["headers"] = sorted(headers), headers["sentry-trace"].startswith(transaction.trace_id)
    sentry_sdk.set_tag("job", "yes")
    try:
        with sentry_sdk.start_span(op="fails", name="fails"):
            raise ValueError("inside a span")
    except ValueError:
        sentry_sdk.capture_exception()

headers = {
    "sentry-trace": f"{'a' * 32}-{'b' * 16}-1",
    "baggage": f"sentry-trace_id={'a' * 32},sentry-sample_rate=0.5",
}
continued = sentry_sdk.continue_trace(headers, op="queue", name="continued")
continued.set_tag("early", "yes")
found["continues"] = continued.trace_id == "a" * 32
found["parent"] = continued.parent_span_id, continued.parent_sampled
with sentry_sdk.start_transaction(continued) as begun:
    begun.set_measurement("rows", 3, "none")

with sentry_sdk.start_transaction(sentry_sdk.continue_trace(headers, op="queue", name="head's")) as begun:
    found["told on"] = sorted(item for item in sentry_sdk.get_baggage().split(",") if "trace_id" in item)
    found["of the caller"] = begun.parent_sampled
    found["meta of both"] = sentry_sdk.get_current_scope().trace_propagation_meta().count("<meta")
ids = {"trace_id": "c" * 32, "parent_span_id": "d" * 16}
described = sentry_sdk.tracing.Transaction(name="described", op="task", **ids)
described.set_tag("early", "yes")
described.set_data("cart", [1])
described.set_status("aborted")
for asked in ({"transaction": described}, {"name": "named", "op": "task", **ids}):
    with sentry_sdk.start_transaction(**asked) as begun:
        found[f"caller of {begun.name}"] = begun.trace_id, begun.parent_span_id
with sentry_sdk.start_transaction(op="task", name="answers") as begun:
    begun.set_http_status(404)
    begun.set_status("aborted")
    begun.set_http_status(503)
    begun.description = "what it does"
    found["status"] = begun.status, begun.name, begun.description
    found["is equal"] = sentry_sdk.get_current_span() == begun
try:
    with sentry_sdk.start_transaction(op="task", name="fails late") as begun:
        begun.set_status("ok")
        raise ValueError
except ValueError:
    pass
with sentry_sdk.start_transaction(op="task", name="ended twice") as begun:
    begun.finish()
    begun.finish()
found["times"] = begun.start_timestamp <= begun.timestamp
told = begun.to_json()
found["json"] = {name: told.get(name) for name in ("name", "op", "sampled", "same_process_as_parent")}
found["after it"] = sentry_sdk.get_current_span() is None

with (
    sentry_sdk.start_span(op="outer", name="in no transaction"),
    sentry_sdk.start_transaction(op="task", name="within a span of no transaction"),
    sentry_sdk.start_span(op="inner", name="of this one"),
):
    pass

with sentry_sdk.start_transaction(op="task", name="before"):
    sentry_sdk.set_transaction_name("renamed", source="component")

with sentry_sdk.start_transaction(op="task") as unnamed:
    unnamed.sampled = True
with (
    sentry_sdk.start_transaction(op="task", name="of the app's own origin", origin="mine"),
    sentry_sdk.start_span(op="own", name="own", origin="mine.too"),
):
    pass
with sentry_sdk.start_transaction(op="task", name="talk"):
    if hasattr(sentry_sdk.get_isolation_scope(), "set_conversation_id"):
        sentry_sdk.get_isolation_scope().set_conversation_id("of the scope")
    with sentry_sdk.start_span(op="gen_ai.chat", name="chat"):
        pass

if sys.argv[1] != "plain":
    from opentelemetry import trace

    with (
        trace.get_tracer("t").start_as_current_span("otel"),
        sentry_sdk.start_span(op="below", name="below otel"),
    ):
        pass

sentry_sdk.capture_message("after talk")
with sentry_sdk.new_scope():
    with (
        sentry_sdk.start_transaction(op="task", name="in a scope", source="component"),
        sentry_sdk.continue_trace(headers, op="queue", name="inside"),
    ):
        pass
    sentry_sdk.capture_message("after it, in the scope")
sentry_sdk.capture_message("after the scope")
sentry_sdk.start_transaction(name="never entered").finish()
with sentry_sdk.start_span(name="no transaction"):
    pass
sentry_sdk.capture_message("after what names nothing")
with sentry_sdk.continue_trace(headers, op="queue", name="continued again"):
    pass
sentry_sdk.capture_message("after a continued one")


async def asgi_app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def wsgi_app(environ, start_response):
    start_response("200 OK", [])
    return [b""]


async def ask(app):
    told = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        told.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/by-hand",
        "raw_path": b"/by-hand", "query_string": b"", "root_path": "", "headers": [], "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    return told[0]["status"]


answers = found["answers of middlewares"] = {"asgi": asyncio.run(ask(SentryAsgiMiddleware(asgi_app)))}
environ = {}
setup_testing_defaults(environ)
list(SentryWsgiMiddleware(wsgi_app)(environ, lambda status, headers, info=None: answers.update(wsgi=status)))
sentry_sdk.flush(60)
print(json.dumps(found))
