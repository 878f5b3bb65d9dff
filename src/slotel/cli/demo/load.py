"""The load: a bounded, paced, repeating mix of requests over one connection, counted as they are sent."""

from __future__ import annotations

import http.client
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

MIX: Final = (
    "/products/1", "/products/2", "/checkout/free", "/products/3", "/search", "/products/4", "/checkout/pro",
    "/products/5", "/healthz", "/products/6", "/checkout/free", "/products/7", "/products/8", "/checkout/pro",
    "/products/9", "/search", "/checkout/pro", "/products/10", "/no-such-page", "/products/11",
)  # fmt: skip
"""Requests while all is well: none of them fails."""
BROKEN: Final = "/checkout/broken"
RATE: Final = 40.0
"""Requests a second."""


class Phase(NamedTuple):
    """A part of the demo.

    Args:
        until: share of the demo's time at which it ends.
        failing: one request of so many fails; 0: none.
        look: what to look at meanwhile.
    """

    name: str
    until: float
    failing: int
    look: str


PHASES: Final = (
    Phase("normal load", 0.25, 100, "rate, errors and latency draw themselves; the budget is whole"),
    Phase(
        "incident: the payment provider is down", 0.38, 2, "errors rise, the budget burns, the alert fires"
    ),
    Phase("recovery", 1.0, 0, "no error any more: the alert ends when the burn rate is below 1×"),
)
"""At 60 s: of the first 23 s half of the last 8 fail, 17 %; 20 s later that is less than the 10 % that are allowed."""


class Load:
    """Sends requests to a loopback port until it is stopped or `seconds` are over."""

    def __init__(
        self, port: int, seconds: float, rate: float = RATE, phases: Sequence[Phase] = PHASES
    ) -> None:
        self.port, self._phases = port, phases
        self._began = time.monotonic()
        self._seconds = seconds
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
    def phase(self) -> Phase:
        """The current phase."""
        share = (time.monotonic() - self._began) / self._seconds
        return next((phase for phase in self._phases if share < phase.until), self._phases[-1])

    @property
    def running(self) -> bool:
        """Whether requests are still being sent."""
        return self._thread.is_alive()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        due = time.monotonic()
        while not self._stop.is_set() and time.monotonic() < self._began + self._seconds:
            started = time.monotonic()
            failing = self.phase.failing
            fails = failing and self.sent % failing == failing - 1
            connection.request("GET", BROKEN if fails else MIX[self.sent % len(MIX)])
            self.sent += 1
            answer = connection.getresponse()
            answer.read()
            if self.sent == 1:  # the service's first answer may take seconds: they are not the demo's
                self._began = due = time.monotonic()
            self.latencies.append(time.monotonic() - started)
            self.failed += answer.status >= http.client.INTERNAL_SERVER_ERROR
            due += self._pause
            self._stop.wait(max(due - time.monotonic(), 0))
        connection.close()
