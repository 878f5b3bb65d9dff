"""What slotel adds to `os.fork()` in the parent, against the same process with the libraries loaded and not started.

Both processes fork in turns, so that what else runs on the machine slows both; of each the fastest tenth is read, which
other work on the machine moves least.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from micro import main

ALLOWED_MS = 2.0
CHILD = """
import os, sys, time
os.environ.update(
    OTEL_SERVICE_NAME="fork", OTEL_EXPORTER_PROMETHEUS_PORT="0", OTEL_METRICS_EXPORTER=sys.argv[1],
    SENTRY_DSN="http://k@127.0.0.1:9/1",
)
if sys.argv[2] == "slotel":
    from slotel.runtime.bootstrap import start
    start(os.environ)
    from opentelemetry import trace
    trace.get_tracer("bench").start_span("x").end()
else:
    import opentelemetry.sdk.metrics, opentelemetry.sdk.trace, sentry_sdk
    import slotel.runtime.bootstrap
print("ready", flush=True)
for _ in sys.stdin:
    begun = time.perf_counter()
    child = os.fork()
    if child == 0:
        os._exit(0)
    taken = time.perf_counter() - begun
    os.waitpid(child, 0)
    print(taken, flush=True)
os._exit(0)
"""


def rows(quick: bool) -> list[dict]:
    return [_row(exporter, 100 if quick else 400) for exporter in ("prometheus", "none")]


def _row(exporter: str, forks: int) -> dict:
    both = {who: _started(exporter, who) for who in ("bare", "slotel")}
    taken: dict[str, list[float]] = {who: [] for who in both}
    for _ in range(forks):
        for who, process in both.items():
            process.stdin.write("\n")
            process.stdin.flush()
            taken[who].append(float(process.stdout.readline()) * 1000)
    for process in both.values():
        process.stdin.close()
        process.wait()
    bare, with_slotel = (statistics.quantiles(taken[who], n=10)[0] for who in ("bare", "slotel"))
    added = with_slotel - bare
    return {
        "what": f"added to os.fork(), metrics exporter {exporter} (bare {bare:.2f} ms)",
        "value": added,
        "unit": "ms",
        "baseline": "what is allowed",
        "baseline_value": ALLOWED_MS,
        "ratio": added / ALLOWED_MS,
        "target": 1.0,
    }


def _started(exporter: str, who: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, exporter, who],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


if __name__ == "__main__":
    main(__doc__, rows)
