"""Counts the error events that a client hands to its transport, and those that are lost on the way. Sends nothing.

It also keeps the transport's own requests out of the app's telemetry: they are no work of the app.
"""

from __future__ import annotations

import codecs
import contextlib
import threading
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.sentry.errors.linker import DUPLICATE
from slotel.runtime.sentry.transport.route import host_of


def watch_delivery(
    transport: Any, *, handed: Callable[[str | None], None], lost: Callable[[str, int], None]
) -> None:
    """Count on this transport from now on; a second call does nothing.

    The transport may be the app's own, so it is watched in place and not replaced.

    Args:
        handed: called with the event's environment.
        lost: called with sentry-sdk's reason and how many.
    """
    if transport is None or getattr(transport, "_slotel_watched", False):
        return
    send, record = transport.capture_envelope, transport.record_lost_event

    def capture_envelope(envelope: Any) -> None:
        for item in envelope.items:
            if item.headers.get("type") == "event":
                event = item.get_event()
                handed((event or {}).get("environment"))
        send(envelope)

    def record_lost_event(
        reason: str, data_category: Any = None, item: Any = None, *, quantity: int = 1
    ) -> None:
        category = item.data_category if item is not None else data_category
        if category == "error":
            if DUPLICATE.get():
                DUPLICATE.set(False)
                return  # one exception, reported twice: nothing is lost, and Sentry need not be told
            lost(reason, 1 if item is not None else quantity)
        record(reason, data_category, item, quantity=quantity)

    transport.capture_envelope = capture_envelope
    transport.record_lost_event = record_lost_event
    _count_refused(transport, lost)
    _keep_untraced(transport)
    _put_brackets(transport)
    transport._slotel_watched = True  # noqa: SLF001 our own mark


def _count_refused(transport: Any, lost: Callable[[str, int], None]) -> None:
    """Count what the server refuses with 429: sentry-sdk leaves that to the server's own statistics.

    It tells `on_dropped_event` of the refusal, but not of what: so what is being sent is noted before.
    """
    send, dropped = getattr(transport, "_send_envelope", None), getattr(transport, "on_dropped_event", None)
    if send is None or dropped is None or iscoroutinefunction(send):
        return
    sending: list[int] = [0]  # error events; the transport sends on one thread

    def send_envelope(envelope: Any) -> Any:
        sending[0] = sum(item.headers.get("type") == "event" for item in envelope.items)
        return send(envelope)

    def on_dropped_event(reason: str) -> Any:
        if reason == "status_429" and sending[0]:
            lost("rate_limited", sending[0])
        return dropped(reason)

    transport._send_envelope = send_envelope  # noqa: SLF001 sentry-sdk offers no public place around one envelope
    transport.on_dropped_event = on_dropped_event


def _keep_untraced(transport: Any) -> None:
    """Send without instrumentation: a span for each POST to Sentry would be sent to Sentry, and counted."""
    request = getattr(transport, "_request", None)
    if request is None or iscoroutinefunction(request):
        return

    def untraced(*args: Any, **kwargs: Any) -> Any:
        with suppress_instrumentation():
            return request(*args, **kwargs)

    transport._request = untraced  # noqa: SLF001 sentry-sdk offers no public place around its requests


def _put_brackets(transport: Any) -> None:
    """Name an IPv6 address of the DSN as URLs want it: without the brackets sentry-sdk can send nothing."""
    auth, dsn = getattr(transport, "_auth", None), getattr(transport, "parsed_dsn", None)
    if auth is not None and dsn is not None and ":" in dsn.host and getattr(auth, "host", "")[:1] != "[":
        auth.host = host_of(dsn)


def import_what_sending_needs() -> None:
    """Import now what opening a connection would import on the sender's thread at its first time: the codec of hosts.

    Python holds a lock for each module that is being imported, and a fork copies it held: in the child nobody would
    ever let go of it, and every connection there would wait for good.
    """
    codecs.lookup("idna")


def start_empty_after_fork(transport: Callable[[], Any]) -> None:
    """Leave what waits to be sent to the process in which it was captured: fork copies sentry-sdk's queue.

    So it does with its connections, over which two processes must not talk. Both are private parts of sentry-sdk;
    where a release has none of these names, nothing is done.

    Args:
        transport: gives the transport in use when the fork happens.
    """

    def empty() -> None:
        standing = transport()
        worker = getattr(standing, "_worker", None)
        queue = getattr(worker, "_queue", None)
        if worker is None or queue is None:
            return
        worker._queue = type(queue)(queue.maxsize)  # noqa: SLF001 see above
        worker._lock = threading.Lock()  # noqa: SLF001 it may have been held at the fork
        with contextlib.suppress(Exception):  # another release makes its connections in another way
            standing._pool = standing._make_pool()  # noqa: SLF001 see above

    PROCESS.register("sentry_errors", after_fork_in_child=empty)
