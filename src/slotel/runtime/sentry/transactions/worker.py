"""The thread that takes ended traces, has them built and hands them to the sender: one soon, a stream in batches.

It waits a little for late children, and sleeps when nothing is pending. It does not decide what is sent.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from _thread import LockType, allocate_lock
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan

from slotel.runtime.logs import LOG
from slotel.runtime.metrics.self_metrics import UNSENT
from slotel.runtime.process.gil_yielder import GilYielder
from slotel.runtime.process.threads import start_daemon, tokens_for
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.protocols import Dropped
from slotel.runtime.sentry.transactions.traces import EndedTrace, LateSpan, PartialTrace, Said, Trace
from slotel.runtime.sentry.transport.app_transport import TransactionSender
from slotel.runtime.sentry.transport.encode import compress
from slotel.runtime.sentry.transport.envelope_queue import QueuedEnvelope
from slotel.runtime.upstream.otel.context import suppress_instrumentation

if TYPE_CHECKING:
    from slotel.runtime.sentry.transactions.assembly import Assembly

DRAIN_INTERVAL: Final = 0.2
"""Seconds between two drains: waking the thread for each trace costs more than building and sending it."""
BATCH_DELAY: Final = 0.8
"""Further seconds while traces keep coming: in a row each takes half the time that it takes alone, because code and
data are in the processor's caches."""
LATE_WAIT: Final = 0.2
"""Seconds after the root's end in which its late children still join its transaction."""
LONG_OPEN: Final = 300.0
"""Seconds after which the ended spans of a root that is still open are sent."""
LOOK_FOR_LONG_OPEN: Final = 30.0
MAX_BUILT_PENDING: Final = 8
"""Built traces that are remembered while the thread sleeps, in case one of their spans is slightly late."""
MAX_FORMER_SENDERS: Final = 8
"""Most senders of replaced clients that are kept to send their queues: the app may call `init` again and again."""
WAKE_SENDER_EVERY: Final = 50
"""Built traces after which the sender is woken while the worker goes on building."""


class Worker:
    """Drains `ended`, `parts` and `late`, to which request threads append; one daemon thread, started lazily."""

    interval, batch_delay, long_open = DRAIN_INTERVAL, BATCH_DELAY, LONG_OPEN

    def __init__(
        self,
        assembly: Assembly,
        sender: TransactionSender,
        dropped: Dropped,
        *,
        late_wait: float = LATE_WAIT,
    ) -> None:
        self.ended: deque[EndedTrace] = deque()
        self.parts: deque[PartialTrace] = deque()
        self.late: deque[LateSpan] = deque()
        self._assembly = assembly
        self._sender = sender
        self._former_senders: list[TransactionSender] = []
        self._dropped = dropped
        self._late_wait = late_wait
        self._release: Callable[[int], None] = lambda _: None
        self._long_open: Callable[[int], list[PartialTrace]] = lambda _: []
        self._stopped = False
        self._gil_yielder = GilYielder()
        self._begin()

    def bind(self, release: Callable[[int], None], long_open: Callable[[int], list[PartialTrace]]) -> None:
        """Set two callbacks: for the number of released spans, and to get the ended spans of long open roots."""
        self._release = release
        self._long_open = long_open

    def use(self, assembly: Assembly, sender: TransactionSender) -> None:
        """Use this builder and sender from now on; what has already ended still goes through the former ones."""
        with self._working:
            self._drain_safely(final=True)
            self._assembly = assembly
            if sender is self._sender:
                return
            if len(self._former_senders) == MAX_FORMER_SENDERS:
                self._former_senders.pop(0).stop("replaced")
            self._former_senders.append(self._sender)
            self._sender = sender

    def _senders(self) -> tuple[TransactionSender, ...]:
        return (self._sender, *self._former_senders)

    def _begin(self) -> None:
        self._working = threading.RLock()
        self._elected = allocate_lock()
        """Held by the running thread. Of several that start at once one gets it, and the others end."""
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()  # re-entrant, which an Event is not
        self._thread: threading.Thread | None = None
        self._idle = True
        self._batches = False
        self._looked = time.monotonic()
        self._settling: list[tuple[LocalRoot, list[ReadableSpan], int, Said]] = []

    def after_fork(self) -> None:
        """Start empty in a forked child: the parent sends what was pending."""
        for waiting in (self.ended, self.parts, self.late):
            waiting.clear()
        self._begin()

    def wake(self, *, soon: bool = False) -> None:
        """Make sure that the thread runs soon; it is woken only from a long sleep.

        Args:
            soon: much is pending: do not wait for a larger batch.
        """
        if not self._idle and not (soon and self._batches):
            return
        if self._thread is None and not self._stopped:
            self._tokens = tokens_for(self._tokens)
            # may fail; then the next trace tries again, and a flush needs no thread
            self._thread = start_daemon("slotel-sentry", self._run, self._tokens, self._elected)
        self._idle = self._batches = False
        self._tokens.put(None)

    def flush(self, deadline: float) -> bool:
        """Build and send ended traces, on the calling thread, until a monotonic deadline; return whether all went."""
        if not self._working.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return False
        try:
            self._drain(final=True)
            self._drain(final=True)  # spans that raced with the first
        finally:
            self._working.release()
        flushed = [
            sender.flush(deadline) for sender in self._senders()
        ]  # each, also after one that could not
        return all(flushed)

    def stop(self) -> None:
        """Stop the thread; what is still queued is counted as dropped."""
        self._stopped = True
        self._tokens.put(None)
        for sender in self._senders():
            sender.stop("exit")

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self, tokens: queue.SimpleQueue[None], elected: LockType) -> None:
        if not elected.acquire(blocking=False):
            return
        suppress_instrumentation()
        goes_on = False
        while not self._stopped:
            if not self._waits():
                self._idle = True
                if not self._waits():
                    with contextlib.suppress(queue.Empty):
                        tokens.get(timeout=LOOK_FOR_LONG_OPEN)
                    goes_on = False
                self._idle = False
            time.sleep(self.interval)
            if goes_on:
                self._batches = True
                with contextlib.suppress(queue.Empty):
                    tokens.get(timeout=self.batch_delay)
                self._batches = False
            if not self._stopped:
                goes_on = self._drain_safely()

    def _waits(self) -> bool:
        """Whether to run again soon; a few built traces may wait for late spans until the next trace ends."""
        return bool(self.ended or self.parts or self.late or len(self._settling) > MAX_BUILT_PENDING)

    def _drain_safely(self, *, final: bool = False) -> bool:
        try:
            with self._working:
                return self._drain(final=final)
        except Exception as error:  # noqa: BLE001 the thread must live on
            self._dropped("traces", "worker_error", 1)
            LOG.debug("a drain failed: %s", error, exc_info=True)
            return False

    def _drain(self, *, final: bool) -> bool:
        """Take what is ready, build it and queue it; return whether there was anything."""
        now = time.monotonic()
        if now - self._looked > LOOK_FOR_LONG_OPEN and not final:
            self._looked = now
            self.parts.extend(self._long_open(time.time_ns() - int(self.long_open * 1e9)))
        late = self._sort_late()
        settling, self._settling = self._settling, []
        for local_root, spans, count, said in settling:
            late += [LateSpan(local_root, span, said) for span in spans[count:]]
        ready = []
        while self.ended and (final or self.ended[0].at + self._late_wait <= now):
            ready.append(self.ended.popleft())
        parts = [self.parts.popleft() for _ in range(len(self.parts))]
        if self._sender.limits.pause("transaction"):
            self._refuse(ready, parts, late)
        else:
            self._gil_yielder.begin()
            self._build(ready, parts, late)
            self._gil_yielder.judge(len(ready))
        return bool(ready or parts or late)

    def _sort_late(self) -> list[LateSpan]:
        """Add late spans to their trace if it still waits for them; return the others."""
        late = []
        for _ in range(len(self.late)):
            each = self.late.popleft()
            trace: Trace | None = each.local_root.state if each.local_root is not None else None
            if each.local_root is None or trace is None or trace.built or trace.inherited:
                late.append(each)
            else:
                each.local_root.spans.append(each.span)
        return late

    def _refuse(self, ready: list[EndedTrace], parts: list[PartialTrace], late: list[LateSpan]) -> None:
        for each in ready:
            each.local_root.state.built = True
            each.local_root.state.count_lost(self._dropped)
            self._release(len(each.local_root.spans) + 1)
            each.local_root.spans = []
        if ready:
            UNSENT.add("traces", -len(ready))
            self._sender.lost("traces", "rate_limited", len(ready))
        spans = len(late) + sum(len(part.spans) for part in parts)
        if spans:
            self._release(spans)
            self._sender.lost("spans", "rate_limited", spans)

    def _build(self, ready: list[EndedTrace], parts: list[PartialTrace], late: list[LateSpan]) -> None:
        assembly = self._assembly
        for done, each in enumerate(ready, 1):
            each.local_root.state.built = True
            spans = each.local_root.spans
            count = len(spans)
            self._settling.append((each.local_root, spans, count, each.said))
            self._queue(assembly.whole(each, spans[:count]))
            self._release(count + 1)
            UNSENT.add("traces", -1)
            if done % WAKE_SENDER_EVERY == 0:
                self._sender.wake()
        for part in parts:
            count = len(part.spans)
            self._settling.append((part.local_root, part.spans, count, part.said))
            self._queue(assembly.part(part, part.spans[:count]))
            self._release(count)
        groups: dict[int, list[LateSpan]] = {}
        for one in late:
            groups.setdefault(id(one.local_root), []).append(one)
        for group in groups.values():
            self._queue(assembly.late(group))
            self._release(len(group))
        self._sender.wake()

    def _queue(self, bodies: Iterable[bytes]) -> None:
        """Build and queue envelopes, which are made when they are asked for."""
        try:
            for body in bodies:
                packed = body if self._gil_yielder.contended else compress(body)
                self._sender.offer(QueuedEnvelope(packed, time.time()))
        except Exception as error:  # noqa: BLE001 the others are not affected
            self._sender.lost("traces", "build_error", 1)
            LOG.debug("a transaction could not be built: %s", error, exc_info=True)
        self._gil_yielder.yield_gil()
