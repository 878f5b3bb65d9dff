"""The clients of the requests matrix: one asks, one leaves, one gives up, one keeps its connection, one opens a socket."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
from collections.abc import Iterator

LARGE = b"x" * 200_000


def ask(port: int, path: str, client: str) -> object:  # noqa: PLR0911 one for each client
    """Send what a client sends; return what it saw.

    Args:
        path: its query goes with each request of the client.
        client: see `Case`.
    """
    query = path[len(path.partition("?")[0]) :]
    try:
        with _connected(port) as connection:
            if client == "leaves":
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read(100_000)
                return answer.status
            if client == "gives up":
                connection.putrequest("POST", path)
                connection.putheader("Content-Length", "1000000")
                connection.endheaders()
                connection.send(b"x" * 1000)
                return "left"
            if client == "large upload, then more requests":
                return _several(
                    connection, [("POST", f"/upload{query}", LARGE), ("GET", path, None), ("GET", path, None)]
                )
            if client == "after another's marks":
                return _several(connection, [("GET", f"/marks{query}", None), ("GET", path, None)])
            if client == "pipelines":
                return _pipelined(connection, port, path, 3)
            if client.startswith("socket"):
                return _talk(connection, port, path, client)
            method = client.partition(" ")[2] if client.startswith("asks ") else "GET"
            connection.request(method, path, headers={"Connection": "close"})
            answer = connection.getresponse()
            try:
                answer.read()
            except (http.client.IncompleteRead, OSError):
                return f"{answer.status}, cut off"
            return answer.status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__


@contextlib.contextmanager
def _connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        yield connection
    finally:
        with contextlib.suppress(OSError):
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()


def _several(connection: http.client.HTTPConnection, requests: list[tuple[str, str, bytes | None]]) -> object:
    seen = []
    for method, path, body in requests:
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        seen.append(answer.status)
    return seen


def _pipelined(connection: http.client.HTTPConnection, port: int, path: str, requests: int) -> object:
    """Send requests without waiting for answers; return how many came."""
    connection.connect()
    one = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    connection.sock.sendall((f"{one}\r\n" * (requests - 1) + f"{one}Connection: close\r\n\r\n").encode())
    with connection.sock.makefile("rb") as received:
        return len(re.findall(rb"HTTP/1\.[01] 200", received.read()))


def _talk(connection: http.client.HTTPConnection, port: int, path: str, client: str) -> object:
    """Open a websocket, send a text, and end as the client does; return the status, and what the server closed with."""
    connection.connect()
    wire: socket.socket = connection.sock
    wire.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    with wire.makefile("rb") as received:
        status = int(received.readline().split()[1])
        while received.readline().strip():
            pass
        if status != http.client.SWITCHING_PROTOCOLS:
            return status
        if client == "socket waits":
            return status, _close_code(received)
        wire.sendall(_frame(1, b"hello"))
        received.read(7)
        if client == "socket vanishes":
            return status
        wire.sendall(_frame(8, struct.pack("!H", int(client.rpartition(" ")[2]))))
        return status, _close_code(received)


def _frame(opcode: int, payload: bytes) -> bytes:
    """Return a short masked frame; the mask is zero. Source: RFC 6455, section 5.2."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


def _close_code(received: object) -> int | None:
    """Read frames until the server closes; None if it only hangs up."""
    read = received.read  # type: ignore[attr-defined]
    while len(head := read(2)) == 2:
        payload = read(head[1] & 0x7F)
        if head[0] & 0x0F == 8:
            return struct.unpack("!H", payload[:2])[0] if payload else None
    return None
