"""A script without a handler for SIGTERM: makes spans and one error, says `ready`, and goes on as its argument says."""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time

import sentry_sdk
from opentelemetry import metrics, trace

from slotel import ErrorTracker
from slotel.runtime import state

WAY = sys.argv[1] if len(sys.argv) > 1 else "sleep"
tracker = trace.get_tracer("nightly")


def work(name):
    for number in range(20):
        with tracker.start_as_current_span(f"{name} {number}"):
            pass
    with tracker.start_as_current_span(f"{name} fails"):
        ErrorTracker().capture_exception(ValueError(name))


def ready():
    print("ready", flush=True)


def sleep():
    ready()
    for _ in range(600):  # a signal that comes just before a sleep begins is handled after it
        time.sleep(0.1)


def ending():
    """End by itself; Sentry has four times as long as usual."""
    sentry_sdk.init(os.environ["SENTRY_DSN"], shutdown_timeout=8)
    ready()
    sys.stdin.readline()
    sentry_sdk.capture_message("last")


def open_root():
    with tracker.start_as_current_span("open root"):
        tracker.start_span("ended child").end()
        sleep()


def instrument():
    metrics.get_meter("shop").create_counter("orders").add(3)
    sleep()


def own_handler():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    sleep()


def holding_locks():
    """Be interrupted at the worst moment: with every lock held that sending might want."""
    runtime = state.current()
    transport = sentry_sdk.get_client().transport
    logging._acquireLock() if hasattr(logging, "_acquireLock") else logging._lock.acquire()
    with runtime.store.lock, transport.sender._sending, threading._active_limbo_lock:
        sleep()


def in_asyncio():
    async def main():
        with tracker.start_as_current_span("in asyncio"):
            pass
        ready()
        await asyncio.sleep(60)

    asyncio.run(main())


def child_work(stay):
    work("child")
    if stay:
        sleep()


def terminated_child():
    child = multiprocessing.get_context("fork").Process(target=child_work, args=(True,))
    child.start()
    sys.stdin.readline()
    begun = time.monotonic()
    child.terminate()
    child.join()
    print(child.exitcode, f"{time.monotonic() - begun:.3f}", flush=True)


def ending_child():
    child = multiprocessing.get_context("fork").Process(target=child_work, args=(False,))
    child.start()
    child.join()
    print(child.exitcode, flush=True)


def disposition():
    print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)


def in_a_thread():
    """slotel starts on a thread, where no handler can be installed."""
    thread = threading.Thread(target=lambda: ErrorTracker().init())
    thread.start()
    thread.join()
    disposition()


def first_process():
    print(os.getpid(), flush=True)
    while True:
        time.sleep(0.1)
        sys.stdin.readline()
        with tracker.start_as_current_span("still here"):
            pass
        print("still here", flush=True)


if __name__ == "__main__":
    if WAY not in ("disposition", "in_a_thread"):
        work("job")
    globals()[WAY]()
