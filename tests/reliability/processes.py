"""Counts a request in this process and ten in each of four others, made in the way that is named; then it serves /metrics.

`processes.py WAY`: fork, threads, spawn, forkserver, os._exit, execv, double fork.
"""

import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

from opentelemetry import trace

CHILDREN, TIMES = 4, 10


def work(times=TIMES):
    for _ in range(times):
        with trace.get_tracer("shop").start_as_current_span("job", kind=trace.SpanKind.SERVER):
            pass


def forked(then=lambda: None):
    child = os.fork()
    if child == 0:
        work()
        then()
        os._exit(0)
    os.waitpid(child, 0)


def again():
    """Become another program, which counts, too."""
    launcher = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    os.execv(launcher, [launcher, sys.executable, __file__, "leaf"])


def by_multiprocessing(method):
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=work) for _ in range(CHILDREN)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def main(way):
    if way == "leaf":
        work(1)
        return
    work(1)
    if way in {"fork", "spawn", "forkserver"}:
        by_multiprocessing(way)
    elif way == "threads":
        threads = [threading.Thread(target=forked) for _ in range(CHILDREN)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        then = {"os._exit": lambda: None, "execv": again, "double fork": forked}[way]
        for _ in range(CHILDREN):
            forked(then)
    print("done", flush=True)
    time.sleep(3600)


EXPECTED = {"execv": 1 + CHILDREN * (TIMES + 1), "double fork": 1 + CHILDREN * 2 * TIMES}
"""What is counted in the end, where it is not 1 + CHILDREN * TIMES."""

if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
