"""Mode `transactions`: groups spans by their local root on the request thread; a worker builds and sends.

On the request thread a span costs one append. Nothing is built, enforced or sent there.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

import sentry_sdk
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanKind, StatusCode
from sentry_sdk.scope import Scope

from slotel.runtime.logs import LOG
from slotel.runtime.metrics.self_metrics import UNSENT
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.process.shutdown import EXIT, flush_time
from slotel.runtime.requests.decision import REQUEST_KINDS, row_of
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.flushing import flush_first
from slotel.runtime.sentry.propagation import request_of
from slotel.runtime.sentry.protocols import Dropped, SentryClientLike
from slotel.runtime.sentry.transactions.keep_policy import KeepPolicy
from slotel.runtime.sentry.transactions.names import TransactionStyles, framework_of, name_of_code
from slotel.runtime.sentry.transactions.payload import PART
from slotel.runtime.sentry.transactions.processors import note_processors
from slotel.runtime.sentry.transactions.traces import EndedTrace, LateSpan, PartialTrace, Said, Scopes, Trace
from slotel.runtime.sentry.transactions.worker import Worker
from slotel.runtime.tracing.sink import Sink
from slotel.runtime.upstream.otel.context import flags_of, span_id_of
from slotel.runtime.upstream.otel.reading import UNSET, add_missing, attributes_of
from slotel.runtime.upstream.sentry.profiles import TransactionProfile, is_continuous, is_of_one
from slotel.runtime.upstream.sentry.scope import CURRENT, ISOLATION
from slotel.runtime.upstream.sentry.spans import add_source

if TYPE_CHECKING:
    from slotel.runtime.sentry.transactions.assembly import Assembly
    from slotel.runtime.sentry.transport.app_transport import TransactionSender

MAX_PENDING: Final = 50_000
"""Spans held in all: in open traces, and ended but not yet built."""
DRAIN_ABOVE: Final = 2_000
"""Spans held in all, above which what has ended is built without waiting for more."""
MAX_OPEN: Final = 50_000
"""Most open roots: beyond this the oldest is forgotten, so that roots that never end do not fill the memory."""
MAX_UNSAMPLED: Final = 20_000
"""Spans held in all, above which a trace that was sampled out holds no more."""
MAX_SPANS: Final = 1000
"""Spans of one open trace: a sampled one then sends a part, another one keeps no more."""
_tuple: Final = tuple.__new__  # a named tuple's own is a call more
_ERROR: Final = StatusCode.ERROR
_CLIENT: Final = SpanKind.CLIENT
_CALLS: Final = (SpanKind.CLIENT, SpanKind.PRODUCER)
_CAPTURED: Final = frozenset({"CONNECT", "DELETE", "GET", "PATCH", "POST", "PUT", "TRACE"})
"""Source: sentry-sdk, `DEFAULT_HTTP_METHODS_TO_CAPTURE`."""
_OF_DATABASES: Final = frozenset({"db.system", "db.system.name"})
_OF_NO_ROOT: Final = _OF_DATABASES | {"jinja2.template_name", PART}
"""Attributes of spans, of any kind, that instrumentations make for a call of a library; and of a part."""


class TransactionsSink(Sink):
    """The request thread's side: every call is O(1), but for the few spans that fill a trace.

    Args:
        flush_time: seconds that `shutdown` may take.
        calls_are_roots: a call to a database, a queue or another service that no request or job makes is a
            transaction: a driver's ping, a broker's poll. So is a request of a method that sentry-sdk leaves out, and
            a span of sentry-sdk's `start_span` outside of a transaction.
        native_names: transactions are named as sentry-sdk's integrations name them by default.
        make: gives the builder and the sender for a client that comes later.
        client: whose options say what is profiled.
    """

    starts = "local_roots"

    def __init__(
        self,
        keeper: KeepPolicy,
        worker: Worker,
        dropped: Dropped,
        *,
        flush_time: float = 2.0,
        calls_are_roots: bool = True,
        native_names: bool = False,
        make: Callable[[SentryClientLike], tuple[Assembly, TransactionSender]] | None = None,
        client: SentryClientLike | None = None,
    ) -> None:
        self._make = make
        self._calls_are_roots = calls_are_roots
        self._native_names = native_names
        self._keeper = keeper
        self._keeps = keeper.keeps
        self._worker = worker
        self._dropped = dropped
        self._flush_time = flush_time
        self._open: dict[int, LocalRoot] = {}
        self._closed = False
        self._use_options(client)
        self._begin()
        worker.bind(self._release, self._long_open)
        PROCESS.register("sentry_spans", after_fork_in_child=self._after_fork)

    # -- the request thread ----------------------------------------------------------------------------------

    def on_start(self, span: Span, local_root: LocalRoot, parent_context: Context | None) -> None:
        """Note a root that starts; its context holds what a caller sent along."""
        if local_root.span is not span:
            return
        sampled = bool(flags_of(span.context) & 1)
        if sampled or self._keeps:
            sent_along = None
            if span.parent is not None:
                # without an explicit context the SDK passes none, and the parent's is still the current one
                sent_along = parent_context if parent_context is not None else get_current()
            # a span may take another one's place
            trace: Trace = local_root.state or Trace(sampled, sent_along)
            local_root.state = trace
            if span.kind in REQUEST_KINDS:
                # the linker, an earlier sink, has given it its own
                isolation = ISOLATION.get() or Scope.get_isolation_scope()
                trace.scopes = _tuple(Scopes, (isolation, CURRENT.get() or Scope.get_current_scope()))
                trace.carrier = request_of(parent_context)
                if self._native_names:  # Flask's endpoint is gone when the span ends
                    trace.name_of_code = name_of_code(span, None, self._styles)
            if sampled and self._profiles and span.kind not in _CALLS and trace.profile is None:
                trace.profile = TransactionProfile.begin(span.name, self._options)
            self._open[local_root.root_id] = local_root
            if len(self._open) > MAX_OPEN:
                self._forget_oldest()

    def on_end(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        """Append a span to its trace; with the root's the trace is decided."""
        if local_root is None:
            self._without_local_root(span)
            return
        trace: Trace | None = local_root.state
        if trace is None:
            return  # sampled out, and nothing is kept
        if local_root.ended or trace.inherited:
            if span.context is not None and span_id_of(span.context) == local_root.root_id:
                self._end(span, local_root, trace)
            elif trace.is_sent:
                self._late(span, local_root)
            return
        status = span.status
        if status is not UNSET and not trace.sampled and status.status_code is _ERROR:
            trace.error = True
        if trace.sampled and span.kind is _CLIENT and _took(span) > self._slow:
            self._add_source(span)
        spans = local_root.spans
        if next(self._added) - self._released > (MAX_PENDING if trace.sampled else MAX_UNSAMPLED):
            trace.lost += 1
            self._release(1)
        else:
            spans.append(span)
            if len(spans) >= MAX_SPANS:
                self._full(local_root, trace, spans)

    def _add_source(self, span: ReadableSpan) -> None:
        """Say which line of the app made a call that took long."""
        is_query = not _OF_DATABASES.isdisjoint(attributes_of(span))
        after = self._slow_queries if is_query else self._slow_requests
        if after is not None and _took(span) > after:
            add_source(partial(add_missing, span), self._options)

    def _end(self, root: ReadableSpan, local_root: LocalRoot, trace: Trace) -> None:
        self._open.pop(local_root.root_id, None)
        scopes, trace.scopes = trace.scopes, None  # they hold the local root: no cycle may be left
        carrier, trace.carrier = trace.carrier, None
        if trace.profile is not None:
            trace.profile.stop()
        if trace.inherited:
            return  # the process that it began in sends it
        reason = None
        if not trace.sampled:
            decision = local_root.decision
            row = row_of(root) if decision is None else decision.row
            reason = self._keeper.reason(root, error=trace.error or row.kept)
            if reason is None:
                self._let_go(local_root)
                return
        if not self._calls_are_roots and _is_no_root(root):
            self._let_go(local_root)
            trace.is_sent = False
            return
        if reason is not None:
            if not self._keeper.take():
                self._let_go(local_root)
                self._dropped("traces", "keep_rate_limited", 1)
                return
            trace.kept = reason
            trace.is_sent = True
            trace.thread = threading.current_thread()
            LOG.debug("kept although not sampled: %s (%s)", root.name, reason)
        self._hand_over(root, local_root, trace, scopes, carrier)

    def _hand_over(
        self,
        root: ReadableSpan,
        local_root: LocalRoot,
        trace: Trace,
        scopes: Scopes | None,
        carrier: Mapping[str, Any] | None,
    ) -> None:
        """Give a trace that is sent to the worker."""
        held = next(self._added) - self._released
        if self._closed or held > MAX_PENDING:
            self._lose(local_root, trace)
            return
        now = time.monotonic()
        if scopes is not None:
            note_processors(scopes)
        said = Said.until_now() if scopes is None else scopes.at_end()
        if root.kind is SpanKind.SERVER:
            found = name_of_code(root, carrier, self._styles)
            trace.name_of_code = found or trace.name_of_code
        UNSENT.add("traces", 1)
        self._worker.ended.append(EndedTrace(local_root, root, now, said))
        self._worker.wake(soon=held > DRAIN_ABOVE)

    def _lose(self, local_root: LocalRoot, trace: Trace) -> None:
        self._dropped("traces", "shutdown" if self._closed else "overloaded", 1)
        trace.count_lost(self._dropped)
        self._let_go(local_root)
        if not self._closed:
            self._release(1)
        trace.is_sent = False

    def _let_go(self, local_root: LocalRoot) -> int:
        """Forget the pending spans of a root; return their number."""
        count = len(local_root.spans)
        if count:
            local_root.spans = []
            self._release(count)
        return count

    def _late(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        if self._closed:
            self._dropped("spans", "shutdown", 1)
            return
        if next(self._added) - self._released > MAX_PENDING:
            self._dropped("spans", "overloaded", 1)
            self._release(1)
            return
        self._worker.late.append(LateSpan(local_root, span, Said.until_now()))
        self._worker.wake()

    def _without_local_root(self, span: ReadableSpan) -> None:
        """A span whose start was not seen, or was forgotten: sent with a root that is known here, or by itself."""
        if span.context is None:
            return
        local_root = self._open.get(span.context.span_id)
        if local_root is not None:
            local_root.ended = True
            self._end(span, local_root, local_root.state)
        elif span.context.trace_flags.sampled:
            self._late(span, None)

    def _forget_oldest(self) -> None:
        local_root = self._open.pop(next(iter(list(self._open)[:1]), 0), None)
        if local_root is not None and (count := self._let_go(local_root)):
            self._dropped("spans", "forgotten", count)

    def _full(self, local_root: LocalRoot, trace: Trace, spans: list[ReadableSpan]) -> None:
        rest: list[ReadableSpan] = [] if trace.sampled else spans[: MAX_SPANS - 1]
        with self._leaf_lock:
            is_first = local_root.spans is spans
            if is_first:
                local_root.spans = rest
        if not is_first:
            return  # another thread was here
        if not trace.sampled:
            trace.lost += 1
            self._release(1)
            return
        self._worker.parts.append(_part(local_root, spans, trace))
        self._worker.wake(soon=True)

    def _release(self, count: int) -> None:
        with self._leaf_lock:
            self._released += count

    # -- another client, flush, exit, fork ---------------------------------------------------------------------------

    def use_client(self, client: SentryClientLike) -> None:
        """Send by another client from now on: its DSN, its options and hooks."""
        if self._make is not None and not self._closed:
            self._worker.use(*self._make(client))
            self._flush_time = flush_time(client.options)
            self._use_options(client)
            flush_first(client, self.flush)

    def _use_options(self, client: SentryClientLike | None) -> None:
        self._options: Mapping[str, Any] = {} if client is None else client.options
        styling = sentry_sdk.get_client() if client is None else client
        self._styles = TransactionStyles(styling, self._native_names)
        self._slow_queries = _threshold(self._options, "db_query")
        self._slow_requests = _threshold(self._options, "http_request")
        self._slow = min(
            (each for each in (self._slow_queries, self._slow_requests) if each is not None), default=inf
        )
        self._profiles = is_of_one(self._options) or is_continuous(self._options)

    def flush(self, timeout: float) -> bool:
        """Build and send what has ended, without waiting for late children."""
        return self._worker.flush(time.monotonic() + timeout)

    def shutdown(self) -> None:
        """Send what is there, also of roots that are still open; what cannot go in time is counted as lost."""
        if self._closed:
            return
        self._closed = True
        for local_root in list(self._open.values()):
            trace: Trace = local_root.state
            spans, local_root.spans = local_root.spans, []
            if trace.is_sent:
                trace.count_lost(self._dropped)
                if spans:
                    self._worker.parts.append(_part(local_root, spans, trace))
        self._worker.flush(EXIT.deadline(self._flush_time))
        self._worker.stop()

    def _begin(self) -> None:
        self._leaf_lock = threading.RLock()
        self._added = itertools.count(1)
        self._released = 0

    def _after_fork(self) -> None:
        """Forget what was open or waiting, which is the parent's; spans that end here below its roots are late ones."""
        self._begin()
        for local_root in self._open.values():
            local_root.spans = []
            local_root.state.inherited = True
        self._worker.after_fork()

    def _long_open(self, before: int) -> list[PartialTrace]:
        """Take the ended spans of sampled roots that started before a time (in ns) and are still open."""
        parts = []
        for local_root in list(self._open.values()):
            trace: Trace = local_root.state
            if trace.sampled and local_root.spans and (local_root.span.start_time or 0) < before:
                rest: list[ReadableSpan] = []
                with self._leaf_lock:
                    spans = local_root.spans
                    local_root.spans = rest
                parts.append(_part(local_root, spans, trace))
        return parts


def _part(local_root: LocalRoot, spans: list[ReadableSpan], trace: Trace) -> PartialTrace:
    said = Said.until_now() if trace.scopes is None else Said(*trace.scopes, copy_context())
    return PartialTrace(local_root, spans, said)


def _is_no_root(span: ReadableSpan) -> bool:
    """Whether a span is a call to something else, a part, or a request of a method that sentry-sdk leaves out."""
    attributes = attributes_of(span)
    if span.kind in _CALLS or not _OF_NO_ROOT.isdisjoint(attributes):
        return True
    if span.kind is not SpanKind.SERVER:
        return False
    method = attributes.get("http.request.method") or attributes.get("http.method")
    integration = sentry_sdk.get_client().get_integration(framework_of(span))
    named = getattr(integration, "http_methods_to_capture", None)
    return method is not None and method not in (_CAPTURED if named is None else named)


def _took(span: ReadableSpan) -> int:
    return (span.end_time or 0) - (span.start_time or 0)


def _threshold(options: Mapping[str, Any], kind: str) -> float | None:
    """Return the ns from which on a call says which line made it; None for never."""
    after = options.get(f"{kind}_source_threshold_ms", 100)
    if not options.get(f"enable_{kind}_source", True) or not isinstance(after, (int, float)):
        return None
    return after * 1e6
