"""A script that fails in the way that its argument names; it prints the span of the failure first."""

import asyncio
import sys
import threading

from opentelemetry import trace
from ways import WAYS

from slotel import ErrorTracker

tracer = trace.get_tracer("shop")


def here():
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


def work():
    with tracer.start_as_current_span("nightly"), tracer.start_as_current_span("load"):
        raise ValueError(here())


async def in_a_task():
    async def fail():
        with tracer.start_as_current_span("nightly"):
            raise ValueError(here())

    running = asyncio.create_task(fail())
    await asyncio.sleep(0.05)
    del running


def two_reports():
    try:
        work()
    except ValueError as error:
        ErrorTracker().capture_exception(error)
        raise


way = sys.argv[1]
if way == "uncaught":
    work()
elif way == "thread":
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
elif way == "task":
    asyncio.run(in_a_task())
elif way == "twice":
    two_reports()
elif way in WAYS:
    with tracer.start_as_current_span("nightly"):
        WAYS[way]()
elif way == "no-span":
    raise ValueError("no span")
