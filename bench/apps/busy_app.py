"""A process whose main thread computes all the time, and makes transactions (10 children) at a given rate."""

import json
import sys
import time

import wiring

wiring.install()

from opentelemetry import trace  # noqa: E402

rate, seconds = float(sys.argv[1]), float(sys.argv[2])
tracer = trace.get_tracer("bench")
child = wiring.child_maker()
ATTRIBUTES = {"http.method": "GET", "http.route": "/busy", "http.status_code": 200, "http.scheme": "http"}

emitted, number = 0, 0
start = time.perf_counter()
while (now := time.perf_counter() - start) < seconds:
    if now * rate >= emitted:
        with tracer.start_as_current_span("GET /busy", kind=trace.SpanKind.SERVER, attributes=ATTRIBUTES):
            for step in range(wiring.CHILDREN):
                with child(step):
                    pass
        emitted += 1
    for _ in range(200):
        number = (number * 31 + 7) % 1_000_003
print(json.dumps({"emitted": emitted, "seconds": now}), flush=True)
sys.stdin.readline()  # the harness reads the sink first; the exit flushes
