"""Makes entry spans to order: /spans?name=…&count=…&error=1, and /many?series=… for as many operations."""

import os
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, make_server

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

tracer = trace.get_tracer("spans")


class Silent(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def span(name, *, error=False):
    with tracer.start_as_current_span(name, kind=SpanKind.SERVER) as made:
        if error:
            made.set_status(Status(StatusCode.ERROR))


def app(environ, start_response):
    asked = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    if environ["PATH_INFO"] == "/spans":
        for _ in range(int(asked.get("count", "1"))):
            span(asked["name"], error=asked.get("error") == "1")
    if environ["PATH_INFO"] == "/many":
        for number in range(int(asked["series"])):
            span(f"GET /things/{number:05}", error=number % 50 == 0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


if __name__ == "__main__":
    make_server("127.0.0.1", int(os.environ["PORT"]), app, handler_class=Silent).serve_forever()
