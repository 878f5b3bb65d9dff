"""The little HTTP/1.1 that a loopback server needs: bytes to requests, answers to bytes; no routing."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, parse_headers

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
        self._file = stream.makefile("rb")

    def read(self) -> Request | None:
        """Return the next request, or None when the peer hung up between two.

        Raises:
            ValueError: this is no HTTP/1.x, or a line is longer than 64 KiB, or the body than 200 MiB.
            OSError: the connection broke.
        """
        first = self._file.readline(_MOST_HEAD)
        if not first:
            return None
        parts = first.decode("latin-1").split()
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
            raise ValueError(f"no HTTP request: {first[:80]!r}")
        try:
            headers = {name.lower(): value for name, value in parse_headers(self._file).items()}
        except HTTPException as error:
            raise ValueError(str(error)) from error
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
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self._exactly(int(headers.get("content-length", "0")))
        body = bytearray()
        while size := int(self._file.readline(_MOST_HEAD).split(b";")[0], 16):
            body += self._exactly(size, _MOST_BODY - len(body))
            self._file.readline(_MOST_HEAD)
        self._file.readline(_MOST_HEAD)
        return bytes(body)

    def _exactly(self, length: int, most: int = _MOST_BODY) -> bytes:
        if not 0 <= length <= most:
            raise ValueError(f"a body of {length} bytes")
        found = self._file.read(length)
        if len(found) < length:
            raise ValueError("the peer hung up within a request")
        return found


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
