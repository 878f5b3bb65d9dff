"""Counts a request in this process and ten in each of four others, made in the way that is named; then it serves /metrics.

`processes.py WAY`: see WAYS of faults.py. Says `done N`: so many must be counted.
"""

import concurrent.futures
import gc
import multiprocessing
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path

from opentelemetry import trace

CHILDREN, TIMES = 4, 10
LAUNCHER = str(Path(sys.executable).with_name("opentelemetry-instrument"))
LEAF = [LAUNCHER, sys.executable, __file__, "leaf"]
"""A program that counts one request."""


def work(times=TIMES):
    for _ in range(times):
        with trace.get_tracer("shop").start_as_current_span("job", kind=trace.SpanKind.SERVER):
            pass


def forked(then=lambda: None, times=TIMES):
    child = os.fork()
    if child == 0:
        work(times)
        then()
        os._exit(0)
    os.waitpid(child, 0)


def daemon():
    """Fork twice, leave the session, close every descriptor; the first child is gone by then."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            keep = os.dup2(tell, 300)
            os.closerange(0, 256)
            work()
            os.write(keep, b".")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(tell)
    os.read(told, 1)
    os.close(told)


def by_multiprocessing(method):
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=work) for _ in range(CHILDREN)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def by_pool():
    with concurrent.futures.ProcessPoolExecutor(CHILDREN) as pool:
        list(pool.map(work, [TIMES] * CHILDREN))


def by_short_lived_workers():
    with multiprocessing.get_context("fork").Pool(CHILDREN, maxtasksperchild=2) as pool:
        pool.map(work, [TIMES // 2] * CHILDREN * 2, chunksize=1)
        pool.close()
        pool.join()


def on_terminals():
    for _ in range(CHILDREN):
        child, terminal = pty.fork()
        if child == 0:
            work()
            os._exit(0)
        os.waitpid(child, 0)
        os.close(terminal)


def by_threads():
    threads = [threading.Thread(target=forked) for _ in range(CHILDREN)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def with_each_lock_held():
    """Fork while another thread holds a lock of slotel's, each in turn; return how many there are."""
    kind = type(threading.RLock())
    locks = {
        id(value): value
        for each in gc.get_objects()
        if str(type(each).__module__).startswith("slotel.")
        for name in (*getattr(each, "__dict__", ()), *getattr(type(each), "__slots__", ()))
        if isinstance(value := getattr(each, name, None), kind)
    }
    for lock in locks.values():
        is_held = threading.Event()

        def hold(lock=lock, is_held=is_held):
            with lock:
                is_held.set()
                time.sleep(0.2)

        holder = threading.Thread(target=hold)
        holder.start()
        is_held.wait()
        forked(times=1)
        holder.join()
    return len(locks)


def again():
    os.execv(LAUNCHER, LEAF)


def main(way):
    if way == "leaf":
        work(1)
        return
    work(1)
    counted = CHILDREN * TIMES
    if way in {"fork", "spawn", "forkserver"}:
        by_multiprocessing(way)
    elif way == "threads":
        by_threads()
    elif way == "ProcessPoolExecutor":
        by_pool()
    elif way == "Pool with maxtasksperchild":
        by_short_lived_workers()
    elif way == "pty.fork":
        on_terminals()
    elif way == "fork with each lock held":
        counted = with_each_lock_held()
    elif way == "posix_spawn":
        for _ in range(CHILDREN):
            os.waitpid(os.posix_spawn(LAUNCHER, LEAF, os.environ), 0)
        counted = CHILDREN
    elif way == "subprocess with preexec_fn":
        for _ in range(CHILDREN):
            subprocess.run(LEAF, preexec_fn=os.getpid, check=True)
        counted = CHILDREN
    elif way == "daemon":
        for _ in range(CHILDREN):
            daemon()
    else:
        then = {"os._exit": lambda: None, "execv": again, "double fork": forked}[way]
        for _ in range(CHILDREN):
            forked(then)
        counted += {"os._exit": 0, "execv": CHILDREN, "double fork": counted}[way]
    print(f"done {1 + counted}", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
