"""The load: a bounded, paced, repeating mix of requests over one connection, counted as they are sent."""

from __future__ import annotations

import http.client
import threading
import time
from collections import deque
from typing import Final

MIX: Final = (
    "/products/1", "/products/2", "/checkout/free", "/products/3", "/search", "/products/4", "/checkout/pro",
    "/products/5", "/healthz", "/products/6", "/checkout/free", "/products/7", "/products/8", "/checkout/broken",
    "/products/9", "/search", "/checkout/pro", "/products/10", "/no-such-page", "/products/11",
)  # fmt: skip
"""One request in twenty fails: 5 %."""
RATE: Final = 40.0
"""Requests a second."""


class Load:
    """Sends requests to a loopback port until it is stopped or `seconds` are over."""

    def __init__(self, port: int, seconds: float, rate: float = RATE) -> None:
        self._port = port
        self._until = time.monotonic() + seconds
        self._pause = 1 / rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-load", daemon=True)
        self.sent = 0
        self.failed = 0
        """Answers with a 5xx status."""
        self.latencies: deque[float] = deque(maxlen=400)
        """Seconds, as the client saw them."""

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sending, and wait for the last answer."""
        self._stop.set()
        self._thread.join(15)

    def join(self) -> None:
        """Wait until the last request is answered."""
        self._thread.join()

    @property
    def running(self) -> bool:
        """Whether requests are still being sent."""
        return self._thread.is_alive()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        due = time.monotonic()
        while not self._stop.is_set() and time.monotonic() < self._until:
            started = time.monotonic()
            connection.request("GET", MIX[self.sent % len(MIX)])
            self.sent += 1
            answer = connection.getresponse()
            answer.read()
            self.latencies.append(time.monotonic() - started)
            self.failed += answer.status >= http.client.INTERNAL_SERVER_ERROR
            due += self._pause
            self._stop.wait(max(due - time.monotonic(), 0))
        connection.close()
