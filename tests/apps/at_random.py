"""Requests in threads, a signal handler every 5 ms, forks of three threads and, from Python 3.12, finalizers: all of them use telemetry.

Before Python 3.12 a collection runs inside of `ContextVar.set`, and a finalizer that sets one there ends any process.
Prints what it has done and what `/metrics` has counted, as JSON. Usage: at_random.py SECONDS
"""

import faulthandler
import gc
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.request
import warnings

import sentry_sdk
from flask import Flask
from opentelemetry import metrics, trace

SECONDS = float(sys.argv[1])
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
app = Flask(__name__)
tracer, meter = trace.get_tracer("random"), metrics.get_meter("random")
counter, histogram = meter.create_counter("random.count"), meter.create_histogram("random.sizes")
handled: list[int] = []
forked: list[int] = []
sent: list[int] = []


def work() -> None:
    chance = random.random()
    with tracer.start_as_current_span(f"work {random.randrange(3)}") as span:
        span.add_event("begun", {"chance": chance})
        counter.add(1, {"kind": random.randrange(4)})
        histogram.record(chance)
        if chance < 0.3:
            try:
                raise ValueError(f"password=hunter{random.randrange(9)}")
            except ValueError as error:
                sentry_sdk.capture_exception(error) if chance < 0.15 else span.record_exception(error)
        elif chance < 0.5:
            sentry_sdk.capture_message("said")
        elif chance < 0.6:
            sentry_sdk.add_breadcrumb(message="crumb")
            sentry_sdk.set_tag("of", "request")
        elif chance < 0.7:
            with sentry_sdk.start_span(op="part", name="of work"), sentry_sdk.new_scope() as scope:
                scope.set_tag("of", "part")


class Abandoned:
    """Ends a span when it is collected, on whatever thread, in the middle of anything."""

    def __init__(self) -> None:
        self.itself, self.span = self, tracer.start_span("abandoned")

    def __del__(self) -> None:
        self.span.end()
        counter.add(1)
        histogram.record(1.5)
        if random.random() < 0.05:
            sentry_sdk.capture_message("collected")


@app.get("/<int:number>")
def view(number: int) -> str:
    if sys.version_info >= (3, 12):
        Abandoned()
    work()
    if number % 7 == 0:
        raise RuntimeError("boom")
    return "fine"


def handle(*_: object) -> None:
    handled.append(1)
    work()
    if len(handled) % 100 == 0:
        sentry_sdk.flush(0.01)


def request_often(until: float) -> None:
    client = app.test_client()
    while time.monotonic() < until:
        sent.append(1)
        client.get(f"/{len(sent)}")


def fork_often(until: float) -> None:
    while time.monotonic() < until:
        child = os.fork()
        if child == 0:
            try:
                work()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        forked.append(1)
        time.sleep(0.01)


def main() -> None:
    faulthandler.dump_traceback_later(SECONDS + 60, exit=True)
    gc.set_threshold(50, 3, 3)
    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    until = time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=each, args=(until,)) for each in (*[request_often] * 3, *[fork_often] * 3)
    ]
    for thread in threads:
        thread.start()
    request_often(until)
    for thread in threads:
        thread.join()
    signal.setitimer(signal.ITIMER_REAL, 0)
    from slotel.runtime.state import RUNNING

    with urllib.request.urlopen(RUNNING[0].endpoint.address, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    counted = [line for line in lines if line.startswith("http_server_request_duration_seconds_count")]
    report = {
        "handled": len(handled),
        "forked": len(forked),
        "sent": len(sent),
        "counted": sum(float(line.rpartition(" ")[2]) for line in counted),
        "faults": [line for line in lines if line.startswith("slotel_stage_errors_total")],
    }
    print(json.dumps(report), flush=True)


main()
