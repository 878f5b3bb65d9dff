"""The little HTTP/1.1 that a loopback server needs: bytes to requests, answers to bytes; no routing."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

_MOST_HEAD = 65_536
_MOST_BODY = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are lower case, the target is as sent (absolute when through a proxy)."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool


class HttpWire:
    """Reads one request after another from a connection."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._buffer = bytearray()

    def read(self) -> Request | None:
        """Return the next request, or None when the peer hung up between two.

        Raises:
            ValueError: this is no HTTP/1.x, or it is larger than 64 KiB of head or 200 MiB of body.
            OSError: the connection broke.
        """
        head = self._until(b"\r\n\r\n", _MOST_HEAD)
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
            raise ValueError(f"no HTTP request: {first[:80]!r}")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        if headers.get("expect", "").lower() == "100-continue":
            self._stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        default = "keep-alive" if parts[2] == "HTTP/1.1" else "close"
        return Request(
            method=parts[0],
            target=parts[1],
            headers=headers,
            body=self._body(headers),
            keep_alive=headers.get("connection", default).lower() != "close",
        )

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= _MOST_BODY:
            raise ValueError(f"a body of {length} bytes")
        return self._exactly(length)

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            line = self._until(b"\r\n", _MOST_HEAD)
            if line is None:
                raise ValueError("the peer hung up within a chunked body")
            size = int(line.split(b";")[0], 16)
            if size < 0 or len(body) + size > _MOST_BODY:
                raise ValueError(f"a chunk of {size} bytes")
            body += self._exactly(size)
            self._exactly(2)
            if size == 0:
                return bytes(body)

    def _until(self, mark: bytes, most: int) -> bytes | None:
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
            if len(self._buffer) > most:
                raise ValueError(f"more than {most} bytes without an end")
            start = max(0, len(self._buffer) - len(mark))
            if not self._more():
                if self._buffer:
                    raise ValueError("the peer hung up within a request")
                return None
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(mark)]
        return found

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            if not self._more():
                raise ValueError("the peer hung up within a request")
        found = bytes(self._buffer[:length])
        del self._buffer[:length]
        return found

    def _more(self) -> bool:
        data = self._stream.recv(65_536)
        self._buffer += data
        return bool(data)


def answer_bytes(
    status: int,
    body: bytes,
    extra: Mapping[str, str] | None = None,
    *,
    keep_alive: bool = True,
    chunked: bool = False,
) -> bytes:
    """Return a whole answer as it goes over the wire; JSON, unless `extra` names another Content-Type."""
    headers = {"Content-Type": "application/json", **(extra or {})}
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{name}: {headers[name]}" for name in headers),
    ]
    head.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
    if not keep_alive:
        head.append("Connection: close")
    if chunked and body:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    elif chunked:
        body = b"0\r\n\r\n"
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body
