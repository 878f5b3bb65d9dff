"""Children of multiprocessing, for the tests: `processes_app.py fork|spawn CHILDREN TIMES`, then it waits to be ended."""

import multiprocessing
import sys
import time

from opentelemetry import metrics, trace


def work(times):
    orders = metrics.get_meter("shop").create_counter("orders", description="Orders taken.")
    for _ in range(times):
        with trace.get_tracer("shop").start_as_current_span("order", kind=trace.SpanKind.SERVER):
            orders.add(1)


def main():
    method, children, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    context = multiprocessing.get_context(method)
    work(1)
    processes = [context.Process(target=work, args=(times,)) for _ in range(children)]
    for process in processes:
        process.start()
    work(1)
    for process in processes:
        process.join()
    print("all done", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main()
