"""Tells of a port that is served while no request is counted: nothing instruments its server.

No list of frameworks and servers can be complete. Two things are evidence without such a list: a process listens on a
port that is meant for others, and nothing that slotel counts at was imported; or the clients of a port got answers.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from slotel.config import names
from slotel.config.slo import ENTRY_KIND_LABELS
from slotel.runtime.finding import Finding, log
from slotel.runtime.metrics.store.family import Labels, Shape
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.upstream.stdlib import bare_socket

_DESCRIPTORS: Final = Path("/proc/self/fd")
_BYTES: Final = struct.Struct("=120xQQ")
"""Bytes that the peer has acknowledged, and bytes received, in Linux' `struct tcp_info` (since Linux 4.1)."""
_LEAST: Final = 16
"""Bytes in each direction that a request and its answer have at least: more than a probe that connects and leaves."""
_EPHEMERAL: Final = 32768
"""From here on the kernel gives ports to those who ask for any: debuggers, pools. Source: ip_local_port_range."""


class Connection(NamedTuple):
    """A TCP socket of this process.

    Args:
        port: the local one.
        is_listening: it accepts connections.
        is_answered: bytes went both ways.
        is_public: it listens on more than loopback, or on a port that somebody chose.
    """

    port: int
    is_listening: bool = False
    is_answered: bool = False
    is_public: bool = False


class UncountedTraffic:
    """Looks at every tick, until a request was counted or the line was written.

    Args:
        counts: whether this process has counted a request, or, told True, any process of the service; the second is
            asked only when there is traffic.
        is_known: whether this process has imported a server or framework that slotel counts at.
        others: ports that serve telemetry, slotel's own among them.
        connections: this process's TCP sockets.
    """

    def __init__(
        self,
        counts: Callable[[bool], bool],
        is_known: Callable[[], bool],
        others: Callable[[], Iterable[int | None]],
        connections: Callable[[], Iterable[Connection]] | None = None,
    ) -> None:
        self._counts = counts
        self._is_known = is_known
        self._others = others
        self._connections = connections or tcp_connections
        self._is_over = connections is None and not sys.platform.startswith("linux")
        self._before: set[int] = set()

    def tick(self) -> None:
        """Look once. A port must stand out twice: its server may just start, its first request just run."""
        self._is_over = self._is_over or self._counts(False)
        if self._is_over:
            return
        found = tuple(self._connections())
        listening = {each.port: each.is_public for each in found if each.is_listening}
        others = set(self._others())
        answered = ({each.port for each in found if each.is_answered} & listening.keys()) - others
        public = {port for port, is_public in listening.items() if is_public} - others
        suspects = answered if self._is_known() else answered | public
        if suspects and self._counts(True):
            self._is_over = True
        elif again := suspects & self._before:
            self._is_over = True
            port = min(again)
            log([_answered(port) if port in answered else _open(port)])
        self._before = suspects


def counts_requests(store: Store, *, everywhere: bool) -> bool:
    """Whether a span of a request is among the metrics of this process, or of any process of the service."""
    tables: Iterable[tuple[Shape, Mapping[Labels, int]]] = (
        (each.shape, each.slots) for each in tuple(store.tables)
    )
    if everywhere:
        tables = chain(tables, *(part.tables for part in store.others(0.0, lambda: None)))
    for shape, rows in tables:
        if shape.name == names.SPAN_DURATION:
            at = shape.label_names.index(names.LABEL_SPAN_KIND)
            if any(labels[at] in ENTRY_KIND_LABELS for labels in tuple(rows) if labels):
                return True
    return False


def tcp_connections() -> Iterator[Connection]:
    """Yield this process's TCP sockets (Linux)."""
    try:
        descriptors = tuple(_DESCRIPTORS.iterdir())
    except OSError:
        return
    for each in descriptors:
        with contextlib.suppress(OSError):  # the descriptor is the app's, and may be closed at any time
            if str(each.readlink()).startswith("socket:"):
                yield from _connection(os.dup(int(each.name)))


def _connection(descriptor: int) -> Iterator[Connection]:
    found = bare_socket(descriptor)
    if found is None:
        os.close(descriptor)
        return
    try:
        kind = found.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        if found.family in (socket.AF_INET, socket.AF_INET6) and kind == socket.SOCK_STREAM:
            address, port, *_ = found.getsockname()
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                is_public = port < _EPHEMERAL or not ip_address(address).is_loopback
                yield Connection(port, is_listening=True, is_public=is_public)
            else:
                yield Connection(port, is_answered=_is_answered(found))
    finally:
        found.close()


def _is_answered(connection: Any) -> bool:
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES.size)
    return len(told) == _BYTES.size and min(_BYTES.unpack(told)) >= _LEAST


def _answered(port: int) -> Finding:
    text = f"port {port} answers connections, and no request has been counted: nothing instruments its server"
    return Finding("instrumentation", "fail", text, "run: slotel doctor -- COMMAND", "SLO136")


def _open(port: int) -> Finding:
    text = f"port {port} is open, and nothing counts requests to it: neither server nor framework is instrumented"
    return Finding("instrumentation", "warn", text, "run: slotel doctor -- COMMAND", "SLO136")
