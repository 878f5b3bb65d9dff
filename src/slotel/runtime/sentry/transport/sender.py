"""The thread that posts queued envelopes: retries, waits, counts each loss; builds nothing."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from slotel.runtime.process.threads import start_daemon
from slotel.runtime.sentry.client.protocols import Dropped
from slotel.runtime.sentry.transport.encode import is_gzip, sent_later
from slotel.runtime.sentry.transport.envelope_queue import EnvelopeQueue, QueuedEnvelope
from slotel.runtime.sentry.transport.rate_limits import RateLimits
from slotel.runtime.sentry.transport.route import Route
from slotel.runtime.sentry.transport.wire import Answer, HttpWire

LOG: Final = logging.getLogger("slotel")
PATIENCE: Final = 10.0
"""Seconds for a connection to open, and for an answer to be complete."""
MAX_ATTEMPTS: Final = 3
"""How often an envelope is sent while the server answers 5xx, or cuts the connection."""
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 30.0
"""Seconds between two attempts while the server is down: doubled from the first to the longest."""
TELL_AFTER: Final = 3
"""Failures one after another until the log says why nothing leaves: a cut connection alone is nothing to tell."""
STALE: Final = 30.0
"""Seconds after which an envelope's time of sending is written anew."""
BURST: Final = 32
BURST_BYTES: Final = 256 * 1024
"""Requests that leave before their answers come."""
GATHER: Final = 0.0005
LONGEST_GATHER: Final = 0.02
"""Seconds to let the answers to a burst gather, for each and in all: to read them one by one costs a wait each."""
_MULTIPLE_CHOICES: Final = 300
_TOO_LARGE: Final = 413
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500


class Sender:
    """Posts envelopes on one daemon thread, which starts with the first.

    Args:
        patience: seconds for a connection and for an answer.
        wait: seconds after a first failure.
    """

    def __init__(
        self,
        route: Route,
        dropped: Dropped,
        *,
        patience: float = PATIENCE,
        wait: float = FIRST_WAIT,
        limits: RateLimits | None = None,
    ) -> None:
        self.limits = limits or RateLimits()
        self._route = route
        self._dropped = dropped
        self._patience = patience
        self._first_wait = wait
        self._queue = EnvelopeQueue()
        self._failures = 0
        self._depth = BURST
        self._wire: HttpWire | None = None
        self._stopped = self._told = False
        self._in_hand = 0
        self._thread: threading.Thread | None = None
        self._new_locks()

    def _new_locks(self) -> None:
        self._posting = threading.Lock()  # held by who uses the wire
        self._wake = threading.Event()
        self._halt = threading.Event()

    def __len__(self) -> int:
        """Return how many envelopes wait."""
        return len(self._queue)

    def offer(self, body: bytes, now: float) -> None:
        """Queue an envelope; the oldest gives way when the queue is full. Posted after `wake`."""
        lost = self._queue.put(QueuedEnvelope(body, now))
        if lost:
            self._dropped("traces", "queue_full", lost)

    def wake(self) -> None:
        """Have the thread post what is queued."""
        if not self._queue or self._stopped:
            return
        if self._thread is None:
            self._thread = start_daemon("slotel-sentry-send", self._run, self._wake, self._halt)
        self._wake.set()

    def flush(self, deadline: float) -> bool:
        """Post what is queued on the calling thread, until the monotonic `deadline`; return whether all went."""
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not self._posting.acquire(timeout=left):
                return False
            try:
                if not self._queue:
                    return True
                limited = self.limits.pause() > 0
                well = self._post_some(min(self._patience, left))
            finally:
                self._posting.release()
            if limited:
                return False
            if not well:
                time.sleep(max(0.0, min(0.1, deadline - time.monotonic())))

    def stop(self, reason: str) -> None:
        """Send no more; what still waits is counted as lost for that reason."""
        self._stopped = True
        self._halt.set()
        self._wake.set()
        lost = self._queue.clear() + self._in_hand
        if lost:
            self._dropped("traces", reason, lost)
        if self._posting.acquire(blocking=False):
            self._hang_up()
            self._posting.release()

    def after_fork(self) -> None:
        """Begin anew in a forked child: queue, thread and connection are the parent's."""
        self._new_locks()
        self._queue = EnvelopeQueue()
        self._thread = None
        self._failures = self._in_hand = 0
        self._hang_up()  # closes this process's copy; the parent's connection stays open

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self, wake: threading.Event, halt: threading.Event) -> None:
        otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while not halt.is_set():
            wake.wait()
            wake.clear()
            while self._queue and not halt.is_set():
                with self._posting:
                    well = self._post_some(self._patience)
                if not well:
                    halt.wait(self._pause())
        if halt is self._halt:
            with self._posting:
                self._hang_up()

    def _pause(self) -> float:
        """Seconds until the next attempt; none while the server only limits: the queue is empty then."""
        if not self._queue:
            return 0.0
        limited = self.limits.pause()
        backoff = self._first_wait * 2.0 ** (self._failures - 1) if self._failures else 0.0
        return max(limited, min(backoff, LONGEST_WAIT))

    def _post_some(self, patience: float) -> bool:
        """Post one burst; return whether the next may follow at once."""
        if self.limits.pause():
            lost = self._queue.clear()
            if lost:
                self._dropped("traces", "rate_limited", lost)
            return False
        try:
            letters = self._take()
            self._in_hand = len(letters)
            if letters:
                self._post(letters, patience)
        except Exception as error:  # noqa: BLE001 the thread must live on
            self._failures += 1
            self._tell(error)
            return False
        finally:
            self._in_hand = 0
        return self._failures == 0

    def _tell(self, error: Exception) -> None:
        """Say once why nothing leaves; no part of the DSN or of a proxy's password stands in such an error."""
        if self._failures >= TELL_AFTER and not self._told:
            self._told = True
            LOG.warning("traces wait, for Sentry cannot be reached: %s: %s", type(error).__name__, error)

    def _take(self) -> list[QueuedEnvelope]:
        """Take a burst off the queue: one letter on a new connection, more when it is known to be kept."""
        wire = self._wire
        keeps = wire is not None and wire.answered and self._route.proxy is None
        return self._queue.take(self._depth if keeps else 1, BURST_BYTES)

    # -- one burst -------------------------------------------------------------------------------------------

    def _post(self, letters: list[QueuedEnvelope], patience: float) -> None:
        """Send the letters and judge each answer; what was not answered goes back into the queue.

        Raises:
            OSError: the connection failed; the letters are back in the queue, or counted as lost.
        """
        try:
            wire = self._connected(patience)
        except OSError:
            self._queue.put_back(letters)  # never sent: no attempt
            raise
        before, failures = wire.answered, self._failures
        answered = 0
        try:
            now = time.time()
            for envelope in letters:
                if now - envelope.made > STALE:
                    envelope.body, envelope.made = sent_later(envelope.body, now), now
            wire.send(
                (self._route.head(gzipped=is_gzip(envelope.body)), envelope.body) for envelope in letters
            )
            if len(letters) > 1:
                time.sleep(min(GATHER * len(letters), LONGEST_GATHER))
            while answered < len(letters):
                answer = wire.receive()
                answered += 1
                self._judge(letters[answered - 1], answer, failures)
                if not answer.keeps:
                    break
        except OSError as error:
            self._hang_up()
            self._unanswered(letters[answered:], error, was_idle=before > 0 and answered == 0)
            return
        if not answer.keeps:
            self._hang_up()
            if answered < len(letters):
                self._depth = 1  # this server closes: what came after its last answer was not read by it
                self._queue.put_back(letters[answered:])

    def _connected(self, patience: float) -> HttpWire:
        if self._wire is None:
            stream = self._route.connect(patience)
            self._wire = HttpWire(stream)
        self._wire.patience = patience
        return self._wire

    def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _unanswered(self, letters: list[QueuedEnvelope], error: OSError, *, was_idle: bool) -> None:
        """Keep letters whose connection broke: an idle one that the server had closed is no failure."""
        stale = was_idle and isinstance(error, ConnectionError) and not letters[0].attempts
        letters[0].attempts += 1
        if isinstance(error, TimeoutError):
            letters = letters[
                1:
            ]  # the server has it, and may have taken it: twice would be worse than not at all
            self._lose("timeout")
        elif not stale and letters[0].attempts >= MAX_ATTEMPTS:
            letters = letters[1:]
            self._lose("network")
        self._queue.put_back(letters)
        if not stale:
            raise error

    def _judge(self, envelope: QueuedEnvelope, answer: Answer, before: int) -> None:
        """Act on one answer; `before` counts the failures before its burst: a burst counts once."""
        self.limits.learn(answer.status, answer.limits, answer.retry_after)
        status = answer.status
        if self._told:
            self._told = False
            LOG.info("Sentry is reached again, what waited is sent")
        if status < _MULTIPLE_CHOICES:
            self._failures = 0
        elif status == _TOO_MANY:
            self._lose("rate_limited")
        elif status >= _SERVER_ERROR:
            self._failures = before + 1
            envelope.attempts += 1
            if envelope.attempts >= MAX_ATTEMPTS:
                self._lose("server_error")
            else:
                self._queue.put_back([envelope])
        else:
            self._failures = 0
            self._lose("too_large" if status == _TOO_LARGE else f"status_{status}")

    def _lose(self, reason: str) -> None:
        self._dropped("traces", reason, 1)
