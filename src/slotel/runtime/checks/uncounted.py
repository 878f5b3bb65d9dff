"""Tells of a port that is served while no request is counted, and of a process that works while no job is counted.

No list of frameworks, servers and libraries of jobs can be complete. Three things are evidence without such a list: a
process listens on a port that is meant for others, and nothing that slotel counts at was imported; the clients of a
port got answers; or a process has run for a while, listens nowhere, and no library that slotel knows runs its jobs.
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
from typing import Final, NamedTuple

from slotel.config import names
from slotel.config.slo import ENTRY_KIND_LABELS
from slotel.runtime.finding import Finding, Status, log
from slotel.runtime.metrics.store.family import Labels, Shape
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.upstream.stdlib import bare_socket, modules_in_main_thread

_DESCRIPTORS: Final = Path("/proc/self/fd")
_BYTES: Final = struct.Struct("=120xQQ")
"""Bytes that the peer has acknowledged, and bytes received, in Linux' `struct tcp_info` (since Linux 4.1)."""
_LEAST: Final = 16
"""Bytes in each direction that a request and its answer have at least: more than a probe that connects and leaves."""
_EPHEMERAL: Final = 32768
"""From here on the kernel gives ports to those who ask for any: debuggers, pools. Source: ip_local_port_range."""


TICKS: Final = 12
"""Ticks, of five seconds each, after which a process that has counted nothing is checked."""


class Connection(NamedTuple):
    """A socket of this process.

    Args:
        port: the local one of TCP or UDP, else 0.
        is_listening: others can connect to it, or send to its port of UDP.
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
    """

    def __init__(
        self,
        counts: Callable[[bool], bool],
        is_known: Callable[[], bool],
        others: Callable[[], Iterable[int | None]],
    ) -> None:
        self._counts = counts
        self._is_known = is_known
        self._others = others
        self._is_over = not sys.platform.startswith("linux")
        self._before: set[int] = set()

    def tick(self) -> None:
        """Look once. A port must stand out twice: its server may just start, its first request just run."""
        self._is_over = self._is_over or self._counts(False)
        if self._is_over:
            return
        found, others = tuple(connections()), set(self._others())
        listening = {each.port for each in found if each.is_listening} - others
        answered = {each.port for each in found if each.is_answered} & listening
        public = {each.port for each in found if each.is_public} & listening
        suspects = answered if self._is_known() else answered | public
        if suspects and self._counts(True):
            self._is_over = True
        elif again := suspects & self._before:
            self._is_over = True
            port = min(again)
            log([_uncounted(port, is_answered=port in answered)])
        self._before = suspects


class UncountedWork:
    """Looks once, when the process has run for a minute, whether it is a worker whose jobs nothing counts.

    A process that has started others of its kind is none: they may do the work, and tell it themselves.

    Args:
        counts: whether any process of the service has counted a request or a job.
        is_known: whether this process has imported what runs jobs that slotel counts.
        others: ports that serve telemetry.
    """

    def __init__(
        self,
        counts: Callable[[], bool],
        is_known: Callable[[], bool],
        others: Callable[[], Iterable[int | None]],
    ) -> None:
        self._counts, self._is_known, self._others = counts, is_known, others
        self._ticks = 0
        self._is_over = not sys.platform.startswith("linux")

    def end(self) -> None:
        """Look no more."""
        self._is_over = True

    def tick(self) -> None:
        """Count a tick, and look at the last one."""
        self._ticks += 1
        if self._is_over or self._ticks < TICKS:
            return
        self._is_over = True
        if not (self._is_known() or _is_watched() or self._counts() or _serves(self._others())):
            text = (
                "this process has run for a minute, listens on no port, and nothing that it does is counted"
            )
            fix = "put @PerformanceTracker().track_request on what runs its jobs"
            log([Finding("instrumentation", "warn", text, fix, "SLO138")])


def _is_watched() -> bool:
    """Whether somebody sits before it: at a prompt, or at the output of tests."""
    return bool(
        sys.flags.interactive
        or hasattr(sys, "ps1")
        or "_pytest" in sys.modules
        or "unittest.main" in modules_in_main_thread()  # unittest.mock imports it in services, too
    )


def _serves(others: Iterable[int | None]) -> bool:
    """Whether it listens on another port, or has started processes of its interpreter."""
    return any(each.is_listening and each.port not in others for each in connections()) or _has_children()


def _has_children() -> bool:
    """Whether it has started a process that may do the work: one of the same interpreter, but multiprocessing's own."""
    parent, program = str(os.getpid()), Path("/proc/self/exe").resolve()
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):  # it has just ended
            if each.read_text(errors="replace").rpartition(")")[2].split()[1] != parent:
                continue
            helps = b"multiprocessing.resource_tracker" in each.with_name("cmdline").read_bytes()
            if each.with_name("exe").resolve() == program and not helps:
                return True
    return False


def counts_requests(store: Store, *, everywhere: bool) -> bool:
    """Whether a span of a request is among the metrics of this process, or of any process of the service."""
    tables: Iterable[tuple[Shape, Mapping[Labels, int]]] = (
        (each.shape, each.slots) for each in tuple(store.tables)
    )
    if everywhere:
        tables = chain(tables, *(part.tables for part in store.others(0.0)))
    for shape, rows in tables:
        if shape.name == names.SPAN_DURATION:
            at = shape.label_names.index(names.LABEL_SPAN_KIND)
            if any(labels[at] in ENTRY_KIND_LABELS for labels in tuple(rows) if labels):
                return True
    return False


def connections() -> Iterator[Connection]:
    """Yield this process's sockets (Linux)."""
    try:
        descriptors = tuple(_DESCRIPTORS.iterdir())
    except OSError:
        return
    for each in descriptors:
        with contextlib.suppress(OSError):  # the descriptor is the app's, and may be closed at any time
            if str(each.readlink()).startswith("socket:"):
                yield from _looked_at(os.dup(int(each.name)))


def _looked_at(descriptor: int) -> Iterator[Connection]:
    found = bare_socket(descriptor)
    if found is None:
        os.close(descriptor)
        return
    with contextlib.closing(found):
        is_internet = found.family in (socket.AF_INET, socket.AF_INET6)
        address, port, *_ = found.getsockname() if is_internet else ("", 0)
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM:
            yield Connection(port, is_listening=0 < port < _EPHEMERAL)
        elif found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            is_public = is_internet and (port < _EPHEMERAL or not ip_address(address).is_loopback)
            yield Connection(port, is_listening=True, is_public=is_public)
        else:
            size = _BYTES.size
            told = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size) if is_internet else b""
            yield Connection(port, is_answered=len(told) == size and min(_BYTES.unpack(told)) >= _LEAST)


def _uncounted(port: int, *, is_answered: bool) -> Finding:
    if is_answered:
        text = f"port {port} answers connections, but no request has been counted: its server is not instrumented"
    else:
        text = f"port {port} is open, but its requests are not counted: neither server nor framework is instrumented"
    status: Status = "fail" if is_answered else "warn"
    return Finding("instrumentation", status, text, "run: slotel doctor -- COMMAND", "SLO136")
