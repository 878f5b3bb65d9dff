"""A service that goes on: memory, threads and descriptors of a process after many requests with names that grow.

`SOAK_REQUESTS` sets how many; `make reliability` runs a million.
"""

import json
import os
import subprocess
import sys
import textwrap

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "8000"))

SOAK = """
import gc, json, os, sys, threading
os.environ.update(OTEL_SERVICE_NAME="soak", OTEL_EXPORTER_PROMETHEUS_PORT="0", SENTRY_DSN="http://k@127.0.0.1:9/1",
                  SENTRY_TRACES_SAMPLE_RATE="0.01", SLOTEL_MAX_SERIES="500", OTEL_TRACES_EXPORTER="none")
from slotel.runtime.bootstrap import start
from slotel.runtime.metrics import span_metrics
if int(sys.argv[1]) < 100_000:
    span_metrics._MAX_KNOWN = 500                                    # else the short form ends before it is full
runtime = start(os.environ)
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
tracer, requests = trace.get_tracer("soak"), int(sys.argv[1])

def seen():
    gc.collect()
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {"kB": int(status["VmRSS"].split()[0]), "threads": threading.active_count(),
            "descriptors": len(os.listdir("/proc/self/fd"))}

found = []
for number in range(requests):
    with tracer.start_as_current_span(f"GET /{number % 5000}", kind=SpanKind.SERVER) as span:
        span.set_attribute("http.route", f"/{number}")               # a route that is none, as a broken app sends
        span.set_attribute("team", str(number % 1000))
        with tracer.start_as_current_span("query"): pass
        if number % 50 == 0:
            span.set_status(StatusCode.ERROR, f"error {number}")
    if number % 1000 == 0: runtime.endpoint.render()
    if number == requests // 2 or number == requests - 1: found.append(seen())
calls = next(f for f in runtime.store.snapshot() if f.name == "traces_span_metrics_calls")
print(json.dumps({"half": found[0], "end": found[1], "counted": sum(row[0] for row in calls.series.values())}), flush=True)
os._exit(0)
"""


def test_memory_threads_and_descriptors_stay_while_names_grow():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SOAK), str(REQUESTS)],
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["counted"] == 2 * REQUESTS
    assert found["end"]["threads"] == found["half"]["threads"]
    assert found["end"]["descriptors"] <= found["half"]["descriptors"] + 1  # an attempt to reach Sentry
    assert found["end"]["kB"] - found["half"]["kB"] < 2048
    print(found)
