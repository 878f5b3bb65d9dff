"""What a request waits for the interpreter while the worker builds transactions, against a worker that never lets go.

The request thread sleeps for half a millisecond, as one that waits for a database does, and notes by how much longer
it took. Wall clock, so judge the ratio; the two ways take turns. Convention: bench/README.md.
"""

from __future__ import annotations

import statistics
import threading
import time

import sentry_sdk
from micro import main
from micro_sentry import DSN, Through, provider, requests, slotel_sink

PAUSE = 0.0005
TRACES = 60
CHILDREN = 10


def waits(sink, tracer) -> list[float]:
    """Return the waits of a request thread, in seconds, while another builds what ended."""
    requests(tracer, TRACES, CHILDREN)
    found = []
    builder = threading.Thread(target=sink.flush, args=(30.0,))
    builder.start()
    while builder.is_alive():
        begun = time.perf_counter()
        time.sleep(PAUSE)
        found.append(time.perf_counter() - begun - PAUSE)
    return found


def rows(quick: bool) -> list[dict]:
    sentry_sdk.init(dsn=DSN, traces_sample_rate=1.0)
    sink = slotel_sink()
    tracer = provider(1.0, Through(sink), record=True).get_tracer("bench")
    gil_yielder = sink._worker._gil_yielder
    yield_gil = gil_yielder.yield_gil
    found: dict[bool, list[float]] = {True: [], False: []}
    for number in range(100 if quick else 400):
        lets_go = number % 2 == 0
        gil_yielder.yield_gil = yield_gil if lets_go else lambda: None
        gil_yielder.contended = False
        found[lets_go] += waits(sink, tracer)
    ours, theirs = ([1e3 * wait for wait in found[lets_go]] for lets_go in (True, False))
    value, base = (statistics.quantiles(each, n=100)[98] for each in (ours, theirs))
    return [
        {
            "what": (
                f"wait of a request thread while {TRACES} transactions of {CHILDREN + 1} spans are built, p99, wall "
                f"(median {statistics.median(ours):.2f} ms)"
            ),
            "baseline": f"the same worker without a rest (median {statistics.median(theirs):.2f} ms)",
            "value": round(value, 3),
            "baseline_value": round(base, 3),
            "unit": "ms",
            "ratio": round(value / base, 3),
            "target": 0.5,
        }
    ]


if __name__ == "__main__":
    main(__doc__, rows)
