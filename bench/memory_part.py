"""Memory: one server process for each variant, many requests to /work, samples at every tenth."""

from __future__ import annotations

import time

from server import Server, Sink, memory_kib
from variants import Variant

TENTHS = 10


def measure(app: str, variant: Variant, requests: int, rate: float, sink: Sink) -> dict:
    """Return samples of rss and pss in KiB: after the first request, then after each tenth of the requests."""
    before = sink.transactions()
    server = Server(app, variant, sink.dsn)
    try:
        server.get("/ok")
        samples = [{"requests": 1, **memory_kib(server.pid)}]
        for tenth in range(1, TENTHS + 1):
            server.load("/work", requests // TENTHS, rate)
            time.sleep(0.2)
            samples.append({"requests": 1 + tenth * (requests // TENTHS), **memory_kib(server.pid)})
    finally:
        stopped = server.stop()
    return {
        "samples": samples,
        "transactions": sink.transactions() - before,
        "cpu": stopped.cpu,
        "faults": [f"exit status {stopped.status}"] if stopped.status else [],
    }
