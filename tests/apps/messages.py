"""Drives a small ASGI app in this process, `fastapi` or `starlette`, and prints what was recorded as JSON."""

import json
import re
import sys

from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))


async def ok(request):
    await request.body()
    return PlainTextResponse("ok")


async def stream(request):
    del request

    async def parts():
        for number in range(3):
            trace.get_current_span().add_event(f"part {number}")
            yield str(number)

    return StreamingResponse(parts())


async def error(request):
    raise ValueError(request.url.path)


async def chat(websocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


if sys.argv[1] == "fastapi":
    from fastapi import FastAPI as App
else:
    from starlette.applications import Starlette as App

from starlette.responses import PlainTextResponse, StreamingResponse  # noqa: E402 - after the instrumented class
from starlette.routing import Route, WebSocketRoute  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

app = App(
    routes=[
        Route("/ok", ok),
        Route("/stream", stream),
        Route("/error", error),
        WebSocketRoute("/chat", chat),
    ]
)
client = TestClient(app, raise_server_exceptions=False)
answers = [[found.status_code, found.text] for found in map(client.get, ("/ok", "/stream", "/error", "/no"))]
with client.websocket_connect("/chat") as session:
    session.send_text("hello")
    answers.append(session.receive_text())

from slotel.runtime.state import current  # noqa: E402 - what opentelemetry-instrument started

METRIC = re.compile(
    r"(http_server_(?:active_requests|\w+_count|\w+_bytes_sum)|traces_span_metrics_calls_total)\{"
)
server, rest = [], []
for span in exporter.get_finished_spans():
    if span.kind is trace.SpanKind.SERVER:
        keep = {key: value for key, value in span.attributes.items() if key != "client.port"}
        events = [event.name for event in span.events]
        server.append([span.name, span.status.status_code.name, keep, events])
    else:
        rest.append(span.name)
endpoint = current().endpoint
shown = "".join(endpoint._exposition.render(endpoint.families()))
metrics = [line for line in shown.splitlines() if METRIC.match(line)]
print(json.dumps({"answers": answers, "server": server, "rest": rest, "metrics": sorted(metrics)}))
