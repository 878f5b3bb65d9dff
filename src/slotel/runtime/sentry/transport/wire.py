"""HTTP/1.1 on one kept-open connection: requests out, answers in, in order; decides nothing about them.

Several requests may leave before their answers come: with a busy main thread each wait for the network costs up
to 5 ms until the interpreter's lock is back. That is done only after a first answer showed that the server keeps
the connection, and not through a proxy.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

_MOST_HEAD: Final = 65_536
_MOST_BODY: Final = 10_000_000
_CHUNK: Final = 65_536
_BODYLESS: Final = (204, 304)
_INFORMATIONAL: Final = 200


class WireError(OSError):
    """The peer spoke no HTTP, or too slowly."""


class Answer(NamedTuple):
    """One answer; its body is read and thrown away.

    Args:
        limits, retry_after: `X-Sentry-Rate-Limits` and `Retry-After`, as sent; None if absent.
        keeps: another request may be sent on the connection.
    """

    status: int
    limits: str | None
    retry_after: str | None
    keeps: bool


class HttpWire:
    """A connection that is open.

    Attributes:
        patience: seconds for an answer to be complete.
        answered: answers read so far.
    """

    def __init__(self, stream: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._buffer = b""
        self._deadline = 0.0
        self.patience = 10.0
        self.answered = 0

    def send(self, requests: Iterable[tuple[bytes, bytes]]) -> None:
        """Send requests, each a head up to the value of Content-Length and a body.

        Raises:
            OSError: the connection broke, or took no more for `patience` seconds.
        """
        self._stream.settimeout(self.patience)
        self._stream.sendall(b"".join(b"%s%d\r\n\r\n%s" % (head, len(body), body) for head, body in requests))

    def receive(self) -> Answer:
        """Return the next answer.

        Raises:
            OSError: the connection broke, or the answer was not complete within `patience` seconds.
        """
        self._deadline = self._clock() + self.patience
        while True:
            answer = self._answer()
            if answer.status >= _INFORMATIONAL:
                self.answered += 1
                return answer

    def close(self) -> None:
        """Close the connection; this never fails."""
        with contextlib.suppress(OSError):
            self._stream.close()

    def _answer(self) -> Answer:
        # lines may end with a bare LF (RFC 9112, 2.2)
        first, *lines = self._until(b"\n\r\n", b"\n\n").decode("latin-1").split("\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise WireError("the answer is no HTTP/1.x")
        status = int(rest[:3])
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            # a header that is sent twice means a list (RFC 9110, 5.3)
            headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
        connection = headers.get("connection", "").lower()
        keeps = "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
        if status >= _INFORMATIONAL and status not in _BODYLESS:
            keeps = self._skip_body(headers) and keeps
        return Answer(status, headers.get("x-sentry-rate-limits"), headers.get("retry-after"), keeps)

    def _skip_body(self, headers: dict[str, str]) -> bool:
        """Read the body; return whether it had an end, so that the connection can be kept."""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            while size := self._chunk_size():
                self._exactly(size + 2)
            while self._until(b"\r\n"):
                pass  # trailers
            return True
        length = headers.get("content-length", "")
        if length.isdigit():
            self._exactly(int(length))
            return True
        return False

    def _chunk_size(self) -> int:
        text = self._until(b"\r\n").partition(b";")[0].strip()
        try:
            return int(text, 16)
        except ValueError as error:
            raise WireError("a chunk without a size") from error

    def _until(self, *marks: bytes) -> bytes:
        """Take what stands before the first of the marks, and the mark off."""
        while not (found := [(at, mark) for mark in marks if (at := self._buffer.find(mark)) >= 0]):
            if len(self._buffer) > _MOST_HEAD:
                raise WireError("the head of an answer without an end")
            self._more()
        at, mark = min(found)
        taken, self._buffer = self._buffer[:at], self._buffer[at + len(mark) :]
        return taken

    def _exactly(self, length: int) -> None:
        if length > _MOST_BODY:
            raise WireError(f"an answer of {length} bytes")
        while len(self._buffer) < length:
            self._more()
        self._buffer = self._buffer[length:]

    def _more(self) -> None:
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError("no complete answer in time")
        self._stream.settimeout(left)
        data = self._stream.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("the server closed the connection before its answer")
        self._buffer += data
