"""Lists the unfinished jobs and requests of a process: another process of its service counts them if it is killed.

A worker that is over its server's timeout, or out of memory, is killed. The client of its request gets a reset or a
proxy's 502, and the span never ends. A long request is listed until it ends or its answer begins.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.requests.local_roots import LocalRoot, OpenSpans
from slotel.runtime.upstream.otel.reading import attributes_of

SUFFIX: Final = "progress"
"""Suffix of the file with the list."""
LONG: Final = 2_000_000_000
"""Nanoseconds after which a request is listed. Each costs two small files in memory; timeouts of servers are longer."""
MOST: Final = 100
"""Most requests in the list of a process: the whole list is written when one of them ends."""
_METHODS: Final = frozenset({"http.request.method", "http.method"})
_KEPT: Final = (*_METHODS, "http.route", "url.scheme", "http.scheme")
"""Attributes in the list: none of them holds a secret."""
_SOCKETS: Final = frozenset({"ws", "wss"})
_TRACER: Final = "slotel.server"


class InProgress:
    """The jobs and requests that this process has begun, as a list that outlives it.

    An entry is a list that JSON can hold. The code that adds it also reads it, in another process.

    Args:
        share: shares the list with the other processes of the service; returns False where there are none.
        redact: returns nested data without secrets; the list is a file.
    """

    def __init__(self, share: Callable[[bytes], bool], redact: Callable[[Any], Any]) -> None:
        self._share, self._redact = share, redact
        self._dead: list[bytes] = []
        self._begin()
        PROCESS.register("in_progress", after_fork_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[int, Sequence[Any]] = {}
        self._is_shared = False

    def add(self, entries: Mapping[int, Sequence[Any]]) -> None:
        """Add entries that have begun, by a key of this process."""
        with self._lock:
            self._open.update({key: self._redact(entry) for key, entry in entries.items()})
            self._is_shared = self._share(self._list())

    def remove(self, key: int) -> None:
        """Remove an entry that has ended; a key that was never added is ignored."""
        with self._lock:
            if self._open.pop(key, None) is not None and self._is_shared:
                self._share(self._list())

    def _list(self) -> bytes:
        return json.dumps([*self._open.values()], default=str).encode()

    def absorb(self, lists: Sequence[bytes]) -> bytes:
        """Take the lists of dead processes; return the empty list that replaces them."""
        self._dead.extend(lists)
        return b"[]"

    def take(self) -> list[list[Any]]:
        """Return the entries of processes that have died since the last call."""
        dead, self._dead = self._dead, []
        return [entry for entries in map(json.loads, dead) for entry in entries]


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
