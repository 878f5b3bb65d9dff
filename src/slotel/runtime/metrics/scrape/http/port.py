"""The port of the endpoint, and binding it. One process of a service serves it, the others are on standby."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from slotel.config.problem import Problem, variable
from slotel.runtime.finding import Finding

HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"
DEFAULT_HOST: Final = "localhost"
DEFAULT_PORT: Final = 9464
_AFTER: Final = "everything else works, and slotel tries again every second"
_MAX_PORT: Final = 65_535
_MAX_DIGITS: Final = 9
"""Most digits of a port that are read; Python refuses numbers of more than 4,300."""
_BACKLOG: Final = 128
_NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""An address that the name has, and this machine has not (::1 without IPv6)."""


def read_address(environ: Mapping[str, str]) -> tuple[str, int, list[Problem]]:
    """Return host and port from the environment; what is wrong is a problem and the default stands.

    >>> read_address({"OTEL_EXPORTER_PROMETHEUS_PORT": "http"})[1]
    9464
    """
    host = environ.get(HOST, "").strip().strip("[]") or DEFAULT_HOST
    text = environ.get(PORT, "").strip() or str(DEFAULT_PORT)
    port = port_number(text)
    if port is not None:
        return host, port, []
    problem = Problem(
        variable(PORT, text),
        "write a port number, 0 to 65535",
        f"using the default, {DEFAULT_PORT}",
        "SLO150",
    )
    return host, DEFAULT_PORT, [problem]


def port_number(text: str) -> int | None:
    """Return the port number in a text; None if it is not one.

    >>> port_number("9464"), port_number("65536"), port_number("²")
    (9464, None, None)
    """
    is_number = text.isdecimal() and len(text) <= _MAX_DIGITS
    return int(text) if is_number and int(text) <= _MAX_PORT else None


def take(host: str, port: int) -> list[socket.socket]:
    """Return listening, non-blocking sockets on every address of a host.

    Args:
        port: 0 lets the system choose; all sockets then share the number.

    Raises:
        OSError: the port is taken on one of them, may not be used, or the host has no address here.
    """
    flags = socket.AI_PASSIVE
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    taken: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(addresses):
        is_dual = address[0] == "::" and socket.has_dualstack_ipv6()
        bound: Any = (address[0], port, *address[2:])
        try:
            listener = socket.create_server(bound, family=family, backlog=_BACKLOG, dualstack_ipv6=is_dual)
        except OSError as error:
            # without the address: the caller names it
            plain = OSError(error.errno, os.strerror(error.errno or 0))
            if error.errno in _NOT_HERE:
                missing = plain
                continue
            release(taken)
            raise plain from None
        listener.setblocking(False)
        taken.append(listener)
        port = listener.getsockname()[1]
    if not taken:
        raise missing or OSError(errno.EADDRNOTAVAIL, f"{host} has no address")
    return taken


def release(listeners: list[socket.socket]) -> None:
    """Close listeners."""
    for listener in listeners:
        with suppress(OSError):
            listener.close()
    listeners.clear()


def explain(error: OSError, host: str, port: int) -> Finding:
    """Return why the port could not be bound, and what helps."""
    if error.errno == errno.EADDRINUSE:
        text = f"{PORT}={port}: another process has port {port} on {host}"
        fix = f"set {PORT} to a free port, or, if it is another worker, start the service with opentelemetry-instrument"
        return Finding("metrics", "fail", text, f"{fix} ({_AFTER})", "SLO151")
    if error.errno == errno.EACCES:
        text = f"{PORT}={port}: this user may not open port {port}"
        return Finding("metrics", "fail", text, f"set {PORT} to one above 1023 ({_AFTER})", "SLO152")
    text = f"{HOST}={host!r}: no metrics there: {error}"
    return Finding("metrics", "fail", text, f"set {HOST} to an address of this machine ({_AFTER})", "SLO153")
