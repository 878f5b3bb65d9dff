"""A service that goes on: memory, threads and descriptors after many requests with names that grow.

`SOAK_REQUESTS` sets how many in one process, `SOAK_GUNICORN` how many through gunicorn; `make soak` runs a million and a
hundred thousand.
"""

import json
import os
import subprocess
import sys
import textwrap
import threading

import psutil

from slotel.cli.sink.server import SentrySink
from support.launch import Launched, wait_until

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "8000"))
GUNICORN = int(os.environ.get("SOAK_GUNICORN", "1500"))
ALLOWED_KB = 2048

SOAK = """
import ctypes, gc, json, os, sys, threading
os.environ.update(OTEL_SERVICE_NAME="soak", OTEL_EXPORTER_PROMETHEUS_PORT="0", SENTRY_DSN=sys.argv[2],
                  SENTRY_TRACES_SAMPLE_RATE="0.01", SLOTEL_MAX_SERIES="500", OTEL_TRACES_EXPORTER="none")
from slotel.runtime.bootstrap import start
from slotel.runtime.metrics import span_metrics
if int(sys.argv[1]) < 100_000:
    span_metrics._MAX_KNOWN = int(sys.argv[1]) // 16               # else it is full only after the first tenth
runtime = start(os.environ)
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
tracer, requests = trace.get_tracer("soak"), int(sys.argv[1])

def seen():
    trace.get_tracer_provider().force_flush()
    gc.collect()
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
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
    if number % 1000 == 0: list(runtime.endpoint._exposition.render(runtime.endpoint.families()))
    if number % (requests // 10) == requests // 10 - 1: found.append(seen())
calls = next(f for f in runtime.store.snapshot() if f.name == "traces_span_metrics_calls")
print(json.dumps({"found": found, "counted": sum(row[0] for row in calls.series.values())}), flush=True)
os._exit(0)
"""


def test_memory_threads_and_descriptors_stay_while_names_grow():
    with SentrySink(keep=10) as sentry:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SOAK), str(REQUESTS), sentry.dsn()],
            capture_output=True,
            text=True,
            timeout=7200,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout)
    first, last = seen["found"][0 if REQUESTS >= 100_000 else 2], seen["found"][-1]  # caches fill first
    print(f"{REQUESTS:,} requests, by tenths:", [tenth["kB"] for tenth in seen["found"]], "kB", last)
    assert seen["counted"] == 2 * REQUESTS
    assert last["threads"] == first["threads"]
    assert last["descriptors"] <= first["descriptors"] + 1  # the connection to Sentry
    assert last["kB"] - first["kB"] < ALLOWED_KB


def test_memory_threads_and_descriptors_of_gunicorns_workers_stay(tmp_path):
    gunicorn = (
        "gunicorn",
        "-w",
        "2",
        "-k",
        "gthread",
        "--threads",
        "4",
        "-b",
        "127.0.0.1:{port}",
        "flask_app:app",
    )
    config = tmp_path / "gunicorn.conf.py"  # what a worker knows by heart is full after the first tenth
    known = f"from slotel.runtime.metrics import span_metrics\nspan_metrics._MAX_KNOWN = {GUNICORN // 40}\n"
    config.write_text(known)
    with SentrySink(keep=10) as sentry:
        variables = {
            "SENTRY_DSN": sentry.dsn(), "XDG_RUNTIME_DIR": str(tmp_path), "SENTRY_TRACES_SAMPLE_RATE": "0.01",
            "OTEL_TRACES_EXPORTER": "none", "SLOTEL_MAX_SERIES": "300",
            "GUNICORN_CMD_ARGS": f"--config {config}",
        }  # fmt: skip
        with Launched(*gunicorn, env=variables) as launched:
            launched.wait_ready()
            before, found = _counted(launched), []
            for tenth in range(10):
                _ask(launched, tenth * GUNICORN // 10, (tenth + 1) * GUNICORN // 10)
                launched.scrape()
                found.append(_seen(launched))
            first, last = found[0], found[-1]
            print(f"{GUNICORN:,} through gunicorn, by tenths:", [tenth[0] for tenth in found], "kB", last)
            wait_until(lambda: _counted(launched) - before >= GUNICORN, "every request is counted")
            assert _counted(launched) - before == GUNICORN
    is_long = (
        GUNICORN >= 20_000
    )  # else gunicorn's pool and the sender's threads may start after the first tenth
    assert last[1] <= first[1] + (0 if is_long else 12), "threads"
    assert last[2] <= first[2] + (0 if is_long else 8), "descriptors"
    if is_long:
        assert last[0] - first[0] < 2 * ALLOWED_KB, "of two workers"


def _ask(launched, first, last):
    """Ask by four clients at once: routes that are none, tags that grow, errors."""

    def client(number):
        for each in range(first + number, last, 4):
            if each % 50 == 0:
                launched.get("/error")
            else:
                launched.get(f"/nowhere/{each}" if each % 2 else f"/tags/{each}")

    clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()


def _counted(launched):
    return launched.sample("traces_span_metrics_calls_total", span_kind="SPAN_KIND_SERVER")


def _seen(launched):
    """Return kB of private memory, threads and descriptors of master and workers together."""
    processes = psutil.Process(launched.pid)
    everyone = [processes, *processes.children()]
    return (
        sum(each.memory_full_info().uss for each in everyone) // 1024,
        sum(each.num_threads() for each in everyone),
        sum(each.num_fds() for each in everyone),
    )
