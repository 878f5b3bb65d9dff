"""The thread that sends queued envelopes to one DSN: retries, backs off, counts each loss. It builds nothing."""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import time
from _thread import LockType, allocate_lock
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from math import inf
from typing import Final

from opentelemetry import context as otel_context
from urllib3.exceptions import HTTPError, ReadTimeoutError, SSLError

from slotel.runtime.logs import LOG
from slotel.runtime.metrics.self_metrics import UNSENT
from slotel.runtime.process.gil_yielder import GilYielder
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.process.shutdown import EXIT
from slotel.runtime.process.threads import start_daemon, tokens_for
from slotel.runtime.sentry.protocols import Dropped
from slotel.runtime.sentry.transport.client_report import ClientReport
from slotel.runtime.sentry.transport.encode import is_gzip, sent_later
from slotel.runtime.sentry.transport.endpoint import Endpoint, was_sent
from slotel.runtime.sentry.transport.envelope_queue import MAX_ENVELOPES, EnvelopeQueue, QueuedEnvelope
from slotel.runtime.sentry.transport.kept_alive import Answer
from slotel.runtime.sentry.transport.rate_limits import RateLimits
from slotel.runtime.upstream.otel.context import suppress_instrumentation

TIMEOUT: Final = 10.0
"""Seconds for connecting, and again for the response."""
MAX_ATTEMPTS: Final = 3
"""Attempts per envelope while the server responds with an error, cuts the connection or does not respond."""
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 30.0
"""Seconds between two attempts while the server is unreachable: doubled from FIRST_WAIT up to LONGEST_WAIT."""
_MOST_DOUBLINGS: Final = 30
"""Enough for the longest wait; an outage of a night has more failures than a float has powers of two."""
LOG_AFTER: Final = 3
"""Failures in a row until one is logged: a single cut connection is not."""
MAX_SENT_AT_AGE: Final = 30.0
"""Seconds after which an envelope's `sent_at` is updated before it is sent."""
BATCH_DELAY: Final = 0.05
"""Seconds from the first envelope to the first request: waking the thread for each one costs more than its work."""
DEFERRED_DELAY: Final = 0.5
"""Seconds that envelopes without urgency wait for more. A thread that wakes for a single one has none of its code and
data in the processor's caches, and takes more than twice as long."""
MAX_DEFERRED: Final = 30
"""Queued envelopes at which they are sent without waiting for more."""
EXIT_ENCODING_TIME: Final = 10.0
"""Seconds for encoding the queued envelopes at exit, before the flush time begins: a busy machine takes long."""
MAX_UNENCODED: Final = 1000
"""Most envelopes that wait to be encoded; the thread encodes them also while the server is unreachable."""
_FLUSH_RETRY: Final = 0.1
"""Seconds between two attempts during a flush."""
_COMPUTE_TIME: Final = 0.0001
"""Seconds of computing after which the GIL is released: after each error event."""
_OK: Final = 200
_MULTIPLE_CHOICES: Final = 300
_REFUSED_KEY: Final = (401, 403)
_REFUSED_BY_PROXY: Final = 407
_TOO_LARGE: Final = 413
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_OBJECT: Final = re.compile(r"<urllib3[^>]*>: |^HTTPS?Connection(Pool)?\([^)]*\): ")
_UNAVAILABLE: Final = (_REFUSED_BY_PROXY, 502, 503, 504)
"""Statuses of a proxy or load balancer that reaches no Sentry: the envelope is not the cause, so it is kept."""


class Sender:
    """Sends envelopes on one daemon thread, which starts with the first."""

    timeout, first_wait = TIMEOUT, FIRST_WAIT

    def __init__(self, endpoint: Endpoint, dropped: Dropped, limits: RateLimits | None = None) -> None:
        self.limits = limits or RateLimits()
        self.endpoint = endpoint
        self.report = ClientReport(dropped)
        """Counts each loss, for the server too."""
        self.delivered: float | None = None
        """Unix seconds of the last envelope that was accepted."""
        self._stopped = self._retired = False
        self._begin()
        PROCESS.register("sentry_sender", after_fork_in_child=self.after_fork)
        EXIT.compute_first(self.encode_at_exit)

    def _begin(self) -> None:
        self._queue = EnvelopeQueue()
        self._unencoded = EnvelopeQueue(MAX_UNENCODED)
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()  # re-entrant, which an Event is not
        self._sending = threading.RLock()  # held by the thread that talks to the server
        self._elected = allocate_lock()
        """Held by the running thread. Of several that start at once one gets it, and the others end."""
        self._thread: threading.Thread | None = None
        self._idle = True
        self._defers = False
        """No queued envelope is urgent."""
        self._failures = 0
        self._told: str | None = None
        self._in_hand: QueuedEnvelope | None = None

    def __len__(self) -> int:
        """Return how many envelopes are queued."""
        return len(self._queue) + len(self._unencoded)

    @property
    def pending(self) -> int:
        """Number of envelopes that are queued or being sent."""
        return len(self) + (self._in_hand is not None)

    def offer(self, envelope: QueuedEnvelope) -> None:
        """Queue an envelope; of a full queue what is least needed gives way. It is sent after `wake`."""
        UNSENT.add(envelope.signal, envelope.count)
        lost = self._queue.put(envelope)
        if lost:
            self._lose("queue_full", lost)

    def offer_unencoded(
        self, signal: str, encode: Callable[[], QueuedEnvelope | None], kind: Hashable = None, count: int = 1
    ) -> None:
        """Queue an envelope that the sender's thread encodes: see `QueuedEnvelope`. It is sent after `wake`."""
        if self._stopped:
            self.lost(signal, "exit", count)
            return
        UNSENT.add(signal, count)
        lost = self._unencoded.put(QueuedEnvelope(b"", 0.0, "", signal, kind, count, encode=encode))
        if lost:
            self._lose("queue_full", lost)

    def lost(self, signal: str, reason: str, count: int) -> None:
        """Count what was lost before it could be offered."""
        self.report(signal, reason, count)

    def wake(self, *, soon: bool = True) -> None:
        """Have the thread send what is queued. If no thread can start, it stays queued for the next call or `flush`.

        Args:
            soon: False if it may wait a moment for more envelopes.
        """
        soon = soon or len(self) >= MAX_DEFERRED
        if (not self._idle and not (soon and self._defers)) or self._stopped or not len(self):
            return
        if self._thread is None:
            self._tokens = tokens_for(self._tokens)
            try:
                self._thread = start_daemon("slotel-sentry-send", self._run, self._tokens, self._elected)
            except RuntimeError:  # the system has none left, or the interpreter ends
                return
        self._defers = not soon
        self._idle = False
        self._tokens.put(None)

    def flush(self, deadline: float) -> bool:
        """Send what is queued until the monotonic `deadline`; return whether the queue is empty."""
        self.wake()
        # an envelope that is being encoded is in no queue: the thread is idle only when nothing is under way
        ask = 0.0
        while (len(self) or not self._idle) and time.monotonic() < deadline and not self._stopped:
            thread = self._thread
            if thread is None or not thread.is_alive():
                return self._send_here(deadline)
            now = time.monotonic()
            if now >= ask:
                ask = now + _FLUSH_RETRY
                self._tokens.put(None)  # ends a wait between two attempts
            time.sleep(max(0.0, min(0.01, deadline - now)))
        if len(self) or not self._idle:
            return False
        if self.report and not self._failures:
            with self._talking(deadline - time.monotonic()) as may:
                if may:
                    self._send_report(min(self.timeout, max(0.01, deadline - time.monotonic())), now=True)
        return True

    def stop(self, reason: str) -> None:
        """Stop sending; what is still queued is counted as dropped for that reason."""
        self._stopped = True
        self._tokens.put(None)
        in_hand = self._in_hand
        self._lose(reason, [*self._queue.clear(), *([in_hand] if in_hand is not None else ())])
        self._lose(reason, self._unencoded.clear())
        if self._sending.acquire(blocking=False):
            self.endpoint.close()
            self._sending.release()

    def retire(self) -> None:
        """End the thread as soon as the queue is empty: its client was closed."""
        self._retired = True
        self._tokens.put(None)

    def after_fork(self) -> None:
        """Start empty in a forked child: queue, thread and connections belong to the parent."""
        self._begin()
        self.report.forget()
        self.endpoint.after_fork()

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self, tokens: queue.SimpleQueue[None], elected: LockType) -> None:
        if not elected.acquire(blocking=False):
            return
        suppress_instrumentation()
        while not self._stopped:
            tokens.get()
            self._gather(tokens)
            self._idle = False
            while len(self) and not self._stopped:
                if not self._encode_and_send():
                    self._pause(tokens)
            self._idle = True
            if len(self):  # came between the last look and the line above
                tokens.put(None)
            elif self._retired:
                elected.release()
                self._thread = None
                if len(self):  # came meanwhile, and found a thread
                    self.wake()
                break
        if tokens is self._tokens:
            self.endpoint.close()

    def _gather(self, tokens: queue.SimpleQueue[None]) -> None:
        """Wait for more envelopes; a flush ends the wait."""
        is_deferred = self._defers and not self._retired  # what is to leave soon ends this wait, too
        for wait in (DEFERRED_DELAY, BATCH_DELAY) if is_deferred else (BATCH_DELAY,):
            with contextlib.suppress(queue.Empty):
                tokens.get(timeout=wait)
            self._defers = False

    def _encode_and_send(self) -> bool:
        """Encode what is pending, and send the oldest envelope; return whether the next may follow at once."""
        try:
            with self._sending:
                if len(self._unencoded):
                    self.encode_waiting()
                return self._send_next(self.timeout)
        except Exception as error:  # noqa: BLE001 no memory, say: the thread must live on
            self._failures += 1
            self._tell(f"{type(error).__name__}: {error}")
            return False

    def _pause(self, tokens: queue.SimpleQueue[None]) -> None:
        """Wait until the next attempt. Encode what arrives meanwhile, so that the queue can be bounded in bytes."""
        doubled = min(max(self._failures - 1, 0), _MOST_DOUBLINGS)
        wait = min(self.first_wait * 2.0**doubled, LONGEST_WAIT)
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0 and not self._stopped:
            try:
                tokens.get(timeout=min(left, 1.0))
            except queue.Empty:
                with contextlib.suppress(Exception):  # no memory, say: it is tried again
                    self.encode_waiting()
            else:
                return  # a flush asks for it now

    def encode_at_exit(self) -> None:
        """Encode what is pending, on the thread that ends the process, while the sender's thread may do the same."""
        self.encode_waiting(time.monotonic() + EXIT_ENCODING_TIME)

    def encode_waiting(self, until: float = inf) -> None:
        """Encode what is pending. One that cannot be encoded is counted as dropped; the others are not affected.

        Args:
            until: monotonic seconds.
        """
        gil = GilYielder(_COMPUTE_TIME)
        while not self._stopped and time.monotonic() < until:
            unencoded = self._unencoded.take()
            if unencoded is None:
                return
            try:
                envelope = unencoded.encode()
                if envelope is not None:
                    self.offer(envelope)
            except Exception as error:  # noqa: BLE001 the others are not affected
                self.lost(unencoded.signal, "build_error", unencoded.count)
                LOG.debug("an envelope could not be encoded: %s", error, exc_info=True)
            finally:
                UNSENT.add(unencoded.signal, -unencoded.count)
            gil.yield_gil()

    def _send_here(self, deadline: float) -> bool:
        """Send on the calling thread, when the interpreter is ending and starts no more threads."""
        while (left := deadline - time.monotonic()) > 0:
            with self._talking(left) as may:
                if not may:
                    return False
                self.encode_waiting()
                if not len(self):
                    return True
                well = self._send_next(min(self.timeout, left))
            if not well:
                time.sleep(max(0.0, min(_FLUSH_RETRY, deadline - time.monotonic())))
        return not len(self)

    @contextlib.contextmanager
    def _talking(self, timeout: float) -> Iterator[bool]:
        """Talk to the server on the calling thread; give False if another one still does after `timeout` seconds."""
        token, may = suppress_instrumentation(), False
        try:
            may = timeout > 0 and self._sending.acquire(timeout=timeout)
            yield may
        finally:
            if may:
                self._sending.release()
            otel_context.detach(token)

    # -- one envelope ----------------------------------------------------------------------------------------

    def _send_next(self, timeout: float) -> bool:
        """Send the oldest envelope; return whether the next may follow at once."""
        envelope = self._queue.take()
        if envelope is None:
            return True
        if self.limits.pause(envelope.category):
            self._lose("rate_limited", [envelope])
            return True
        self._in_hand = envelope
        try:
            now = time.time()
            if now - envelope.made > MAX_SENT_AT_AGE:
                envelope.body, envelope.made = sent_later(envelope.body, now), now
            answer = self.endpoint.post(envelope.body, gzipped=is_gzip(envelope.body), timeout=timeout)
            well = self._judge(envelope, answer)
        except (HTTPError, OSError) as error:
            self._not_answered(envelope, error)
        except Exception as error:  # noqa: BLE001 the thread must live on, and this envelope must not stop the others
            self._lose("send_error", [envelope])
            self._tell(f"{type(error).__name__}: {error}")
        else:
            self._in_hand = None
            if well and answer.status < _MULTIPLE_CHOICES:
                self._send_report(timeout)
            return well
        finally:
            self._in_hand = None
        return False

    def _send_report(self, timeout: float, *, now: bool = False) -> None:
        """Tell the server what was lost since it was told last. It is tried once: the counts are in `/metrics`, too."""
        body = None if self.limits.pause("client_report") else self.report.take(now=now)
        if body is None:
            return
        try:
            self.limits.learn(*self.endpoint.post(body, gzipped=False, timeout=timeout))
        except Exception as error:  # noqa: BLE001 the thread must live on
            LOG.debug("a report of what was lost could not be sent: %s", error)

    def _not_answered(self, envelope: QueuedEnvelope, error: Exception) -> None:
        """Keep an envelope that the server did not receive; retry one that it may have received only a few times.

        A retried event has the same event id, and the server keeps one.
        """
        self._failures += 1
        if was_sent(error):
            envelope.attempts += 1
        if envelope.attempts >= MAX_ATTEMPTS:
            self._lose("timeout" if isinstance(error, ReadTimeoutError) else "network", [envelope])
        else:
            self._keep(envelope, last=was_sent(error))
        self._tell(f"{type(error).__name__}: {_reason(error)}")
        if isinstance(getattr(error, "original_error", error), SSLError):
            self.endpoint.close()  # the next attempt reads the certificates again, which may be others by then

    def _judge(self, envelope: QueuedEnvelope, answer: Answer) -> bool:
        """Act on a response; return whether the next envelope may follow at once."""
        status = answer.status
        if status != _OK or answer.limits is not None:
            self.limits.learn(*answer)
        if status < _MULTIPLE_CHOICES:
            self._failures = 0
            self.delivered = time.time()
            UNSENT.add(envelope.signal, -envelope.count)
            if self._told is not None:
                self._told = None
                LOG.info("Sentry accepts data again: %d buffered envelopes are being sent", len(self))
            return True
        if status >= _SERVER_ERROR or status == _REFUSED_BY_PROXY:
            self._failures += 1
            if status not in _UNAVAILABLE:
                envelope.attempts += 1
            if envelope.attempts >= MAX_ATTEMPTS:
                self._lose("server_error", [envelope])
            else:
                self._keep(envelope, last=status not in _UNAVAILABLE)
            self._tell(f"{status} from {self.endpoint.answers_from}")
            return False
        self._failures = 0
        if status == _TOO_MANY:
            self._lose("rate_limited", [envelope], reported=False)  # the server has counted it
            return True
        self._lose("too_large" if status == _TOO_LARGE else f"status_{status}", [envelope])
        if status in _REFUSED_KEY and self._told != "key":
            self._told = "key"
            LOG.error("%d from %s: check the key in SENTRY_DSN", status, self.endpoint.answers_from)
        return True

    def _keep(self, envelope: QueuedEnvelope, *, last: bool) -> None:
        """Put an envelope back.

        Args:
            last: its attempts are counted. The next one is another envelope's: else those that have waited longest
                would use up their attempts one after the other while the server fails on all.
        """
        if self._stopped:
            return  # `stop` has counted it
        self._lose("queue_full", self._queue.put(envelope) if last else self._queue.put_back(envelope))

    def _tell(self, why: str) -> None:
        """Log once why nothing is sent. Such an error contains no part of the DSN or of a proxy's password."""
        if self._failures >= LOG_AFTER and self._told is None and self.endpoint.is_usable:
            self._told = "away"
            LOG.warning(
                "Sentry is unreachable (%s): up to %s transactions and errors are buffered and will be retried",
                why,
                f"{MAX_ENVELOPES:,}",
            )

    def _lose(self, reason: str, envelopes: Iterable[QueuedEnvelope], *, reported: bool = True) -> None:
        count_loss = self.report if reported else self.report.dropped
        lost: Counter[str] = Counter()
        for envelope in envelopes:
            lost[envelope.signal] += envelope.count
        for signal, count in lost.items():
            UNSENT.add(signal, -count)
            count_loss(signal, reason, count)


def _reason(error: Exception) -> str:
    """Return the text of an error of urllib3 without the names of its objects."""
    return _OBJECT.sub("", str(error))
