"""What being ready for errors costs a request that has none: slotel's hooks against sentry-sdk's own integrations.

`.venv/bin/python bench/errors_cost.py`: CPU in µs for each request added over OpenTelemetry's instrumentation alone,
medians of interleaved rounds; and the CPU in ms of importing and setting up, each in a fresh interpreter.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time

ROUNDS, REQUESTS, STARTS = 15, 400, 7
DSN = "http://key@127.0.0.1:9/1"


def main():
    for framework in ("flask", "fastapi"):
        workers = {variant: worker(framework, variant) for variant in ("otel", "slotel", "sentry", "default")}
        rounds = [{variant: ask(process) for variant, process in workers.items()} for _ in range(ROUNDS)]
        for process in workers.values():
            process.stdin.close()
            process.wait()
        base = statistics.median(each["otel"] for each in rounds)
        print(f"{framework}: OpenTelemetry alone {base:.0f} µs a request")
        for variant, text in LABELS.items():
            added = sorted(each[variant] - each["otel"] for each in rounds)
            low, middle, high = added[ROUNDS // 4], added[ROUNDS // 2], added[-1 - ROUNDS // 4]
            print(f"  {text:<55} + {middle:5.1f} µs   (quartiles {low:.1f} … {high:.1f})")
    print(
        "set-up, ms of CPU in a fresh interpreter that has imported Flask and FastAPI with the OpenTelemetry SDK:"
    )
    found = {name: [] for name in STARTUPS}
    for _ in range(STARTS):
        for name, code in STARTUPS.items():
            found[name].append(
                float(run("import flask, fastapi, opentelemetry.sdk.trace\n" + TIMED.format(code=code)))
            )
    for name, values in found.items():
        print(f"  {name:<55} {statistics.median(values):5.0f} ms")


LABELS = {
    "slotel": "slotel's hooks and error trail",
    "sentry": "sentry-sdk, integrations as slotel disables them: none",
    "default": "sentry-sdk, all auto-enabled integrations, no tracing",
}
TIMED = "import time\nstart = time.process_time()\n{code}\nprint((time.process_time() - start) * 1e3)"
STARTUPS = {
    "import sentry_sdk": "import sentry_sdk",
    "slotel's client": "import sys; sys.path.insert(0, 'bench'); from errors_cost import slotel_client; slotel_client()",
    "sentry_sdk.init with defaults": f"import sentry_sdk; sentry_sdk.init('{DSN}')",
}


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()[-1]


def worker(framework, variant):
    command = [sys.executable, __file__, framework, variant]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


# -- in a worker -----------------------------------------------------------------------------------------------


def slotel_client(processor=None):
    from slotel.config.service import SentrySettings
    from slotel.runtime.requests.local_roots import OpenSpans
    from slotel.runtime.sentry import propagation
    from slotel.runtime.sentry.client.client import SentryDependencies, start_client

    open_spans = processor.open_spans if processor is not None else OpenSpans()
    parts = SentryDependencies(
        open_spans,
        tags=_no_tags,
        redact=lambda _, payload: payload,
        redact_headers=dict,
        counted=_ignore,
        expected=_ignore,
        dropped=_ignore,
    )
    connection = start_client(SentrySettings(dsn=DSN), {}, parts, _ignore)
    propagation.install("", 1.0, lambda _: {}, lambda: None)
    if processor is not None:
        processor.sinks.append(connection.error_linker)


def _ignore(*_):
    return None


async def _ignore_later(*_):
    return None


def _no_tags(*_):
    return {}


def provider():
    from opentelemetry import trace
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    from slotel.runtime.requests.local_roots import OpenSpans

    class Opening(SpanProcessor):
        open_spans, sinks = OpenSpans(), []

        def on_start(self, span, parent_context=None):
            local_root = self.open_spans.open(span)
            for sink in self.sinks:
                sink.on_start(span, local_root, parent_context)

        def on_end(self, span):
            local_root = self.open_spans.close(span.context.span_id)
            for sink in self.sinks:
                sink.on_end(span, local_root)

    made, processor = TracerProvider(), Opening()
    made.add_span_processor(processor)
    trace.set_tracer_provider(made)
    return processor


def serve(framework, variant):
    processor = provider()
    if variant == "slotel":
        slotel_client(processor)
    elif variant == "sentry":
        import sentry_sdk

        sentry_sdk.init(DSN, default_integrations=False, auto_enabling_integrations=False)
    elif variant == "default":
        import sentry_sdk

        sentry_sdk.init(DSN)
    request = {"flask": flask, "fastapi": fastapi}[framework]()
    request(200)
    for _ in sys.stdin:
        start = time.process_time()
        request(REQUESTS)
        print(json.dumps((time.process_time() - start) / REQUESTS * 1e6), flush=True)


def flask():
    from flask import Flask
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from werkzeug.test import EnvironBuilder

    app = Flask("bench")
    FlaskInstrumentor().instrument_app(app)

    @app.get("/items/<int:number>")
    def item(number):
        return str(number)

    environ = EnvironBuilder("/items/7", headers={"User-Agent": "bench", "Accept": "*/*"}).get_environ()

    def request(times):
        for _ in range(times):
            answer = app(dict(environ), _ignore)
            list(answer)
            answer.close()

    return request


def fastapi():
    from fastapi import FastAPI
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    app = FastAPI()
    FastAPIInstrumentor.instrument_app(app)

    @app.get("/items/{number}")
    async def item(number: int):
        return number

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/items/7", "raw_path": b"/items/7", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost"), (b"user-agent", b"bench"), (b"accept", b"*/*")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def requests(times):
        for _ in range(times):
            await asyncio.create_task(app(dict(scope), receive, _ignore_later))

    runner = asyncio.Runner() if sys.version_info >= (3, 11) else asyncio.new_event_loop()
    return lambda times: (
        runner.run(requests(times))
        if sys.version_info >= (3, 11)
        else runner.run_until_complete(requests(times))
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(*sys.argv[1:])
    else:
        main()
