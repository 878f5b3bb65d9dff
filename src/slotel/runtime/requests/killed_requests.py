"""Counts the requests of killed processes: of a worker that is over its server's timeout, or out of memory.

Their client gets a reset or a proxy's 502, and their spans never end. A long request is listed in a file of its
process, until it ends or its answer begins.
"""

from __future__ import annotations

from time import time_ns
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from slotel.runtime.requests.in_progress import InProgress
from slotel.runtime.requests.local_roots import LocalRoot, OpenSpans
from slotel.runtime.upstream.otel.reading import attributes_of

LONG: Final = 2_000_000_000
"""Nanoseconds after which a request is listed. Each costs two small files in memory; timeouts of servers are longer."""
MOST: Final = 100
"""Most requests in the list of a process: the whole list is written when one of them ends."""
_METHODS: Final = frozenset({"http.request.method", "http.method"})
_KEPT: Final = (*_METHODS, "http.route", "url.scheme", "http.scheme")
"""Attributes in the list: none of them holds a secret."""
_SOCKETS: Final = frozenset({"ws", "wss"})
_TRACER: Final = "slotel.server"


class KilledRequests:
    """Lists long requests, and counts those of dead processes.

    Args:
        open_spans: has the requests that run.
        in_progress: the list for the other processes of the service.
    """

    def __init__(self, open_spans: OpenSpans, in_progress: InProgress) -> None:
        self._open_spans, self._in_progress = open_spans, in_progress

    def note(self) -> None:
        """Add the requests that have run for long."""
        listed, began = self._open_spans.told, time_ns() - LONG
        found = {}
        for local_root in self._open_spans.local_roots():
            if len(listed) >= MOST:
                break
            if local_root.root_id not in listed and (entry := _entry(local_root, began)) is not None:
                listed[local_root.root_id] = self._in_progress.remove
                found[local_root.root_id] = local_root, entry
        if found:
            self._in_progress.add({key: entry for key, (_, entry) in found.items()})
        for key, (local_root, _) in found.items():
            if local_root.ended:  # meanwhile
                self._in_progress.remove(key)

    @staticmethod
    def count(name: str, attributes: dict[str, Any], carrier: dict[str, str], started: int) -> None:
        """Count a request that a dead process has not answered."""
        parent = propagate.extract(carrier, Context())
        span = trace.get_tracer(_TRACER).start_span(
            name, parent, SpanKind.SERVER, attributes, start_time=started
        )
        span.set_status(StatusCode.ERROR, "its process ended before it answered")
        span.end()


def _entry(local_root: LocalRoot, began: int) -> tuple[object, ...] | None:
    """Return the list's entry of a request without an answer; None for anything else, and for one that began later."""
    span, served = local_root.span, local_root.served
    if span.kind is not SpanKind.SERVER or local_root.ended or (span.start_time or began) >= began:
        return None
    attributes = attributes_of(span)
    kept = {name: attributes[name] for name in _KEPT if name in attributes}
    if _METHODS.isdisjoint(kept) or not _SOCKETS.isdisjoint(kept.values()):
        return None
    if served is not None and (served.status is not None or served.client_left or served.socket_scheme):
        return None
    carrier: dict[str, str] = {}
    propagate.inject(carrier, trace.set_span_in_context(span, Context()))
    return "request", span.name, kept, carrier, span.start_time
