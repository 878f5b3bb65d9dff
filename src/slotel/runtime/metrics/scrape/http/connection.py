"""One non-blocking HTTP connection: reads a request, writes a response, ends. Knows nothing of metrics.

Every state has a deadline and a bound, so that a slow, silent or talkative peer costs one small buffer for seconds.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from slotel.runtime.process.descriptors import close_own, identity_of

if TYPE_CHECKING:
    from slotel.runtime.metrics.scrape.http.tls import TlsPeer

REQUEST_SECONDS: Final = 5.0
"""A request must be here whole within this time."""
ANSWER_SECONDS: Final = 60.0
"""An answer that is not taken whole within this time is given up, however steadily it is read."""
STALL_SECONDS: Final = 10.0
"""An answer of which nothing is taken for this long is given up."""
LINGER_SECONDS: Final = 1.0
"""After the answer: until the peer closes, so that it is not reset before it has read."""
MAX_REQUEST: Final = 16_384
_READ: Final = 65_536
_REQUEST: Final = re.compile(r"([A-Z]+) ([!-~]+) HTTP/1\.[0-9]")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no header may contain: some proxies read a bare CR or LF as a new header. Source: RFC 9110, 5.5."""

State = Literal["reading", "asking", "writing", "lingering", "done"]


class Request(NamedTuple):
    """A request. Header names are in lower case; the query is cut off."""

    method: str
    path: str
    headers: Mapping[str, str]


class Answer(NamedTuple):
    """A response; connections share the body, and do not copy it."""

    status: str
    content_type: str
    body: bytes | bytearray
    headers: Sequence[tuple[str, str]] = ()

    def head(self) -> bytes:
        """Return the status line and the headers."""
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return (
            f"HTTP/1.1 {self.status}\r\nDate: {formatdate(usegmt=True)}\r\nContent-Type: {self.content_type}\r\n"
            f"{more}Vary: Accept, Accept-Encoding\r\nX-Content-Type-Options: nosniff\r\n"
            f"Content-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        ).encode("latin-1")


def plain(status: str, text: str = "", *headers: tuple[str, str]) -> Answer:
    """Return an answer in plain text; without one it says its status."""
    return Answer(status, "text/plain; charset=utf-8", f"{text or status}\n".encode(), headers=headers)


class Connection:
    """A connection on a non-blocking socket or its TLS, in one of its states; `now` is always in monotonic seconds."""

    __slots__ = (
        "_buffer", "_identity", "_left", "_until", "body", "deadline", "peer", "request", "since", "state",
    )  # fmt: skip

    def __init__(self, peer: socket.socket | TlsPeer, now: float) -> None:
        self.peer = peer
        self._identity = identity_of(peer.fileno())
        self.since = now
        self.deadline = now + REQUEST_SECONDS
        self.state: State = "reading"
        self.request: Request | None = None
        self._buffer = b""
        self._left: list[memoryview] = []
        self._until = 0.0
        self.body: bytes | bytearray = b""
        """The body that is being written; requests that came together share it."""

    def readable(self, now: float) -> None:
        """Read received bytes."""
        try:
            data = self.peer.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.state = "done"
        elif self.state == "reading":
            self._buffer += data
            self._read_request(now)

    def answer(self, answer: Answer, now: float) -> None:
        """Begin to write an answer."""
        is_whole = self.request is None or self.request.method != "HEAD"
        self.body = answer.body if is_whole else b""
        self._left = [memoryview(part) for part in (answer.head(), self.body) if part]
        self.state, self.deadline, self._until = "writing", now + STALL_SECONDS, now + ANSWER_SECONDS
        self.writable(now)

    def writable(self, now: float) -> None:
        """Write as much as the peer accepts."""
        try:
            while self._left:
                self._left[0] = self._left[0][self.peer.send(self._left[0]) :]
                self.deadline = min(now + STALL_SECONDS, self._until)
                if not self._left[0]:
                    del self._left[0]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.state = "done"
            return
        self.state, self.deadline, self.body = "lingering", now + LINGER_SECONDS, b""
        with suppress(OSError):
            self.peer.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket, unless the app has closed its descriptor and uses the number for something else."""
        self.state, self.body = "done", b""
        self._left.clear()
        close_own(self.peer, self._identity)

    @property
    def is_lost(self) -> bool:
        """Return whether the app has closed the descriptor."""
        return identity_of(self.peer.fileno()) != self._identity

    def _read_request(self, now: float) -> None:
        head, end, _ = self._buffer.partition(b"\r\n\r\n")
        if len(head) > MAX_REQUEST:
            self.answer(plain("431 Request Header Fields Too Large"), now)
            return
        if not end:
            return
        self._buffer = b""
        request = parse(head)
        if request is None:
            self.answer(plain("400 Bad Request"), now)
            return
        self.request, self.state = request, "asking"


def parse(head: bytes) -> Request | None:
    r"""Return the request, or None if it is invalid.

    >>> parse(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nACCEPT: text/plain").path
    '/metrics'
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    words = _REQUEST.fullmatch(first)
    if words is None:
        return None
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or _NAME.fullmatch(name) is None or _CONTROL.search(value) is not None:
            return None
        if name.lower() == "host" and "host" in headers:
            return None
        headers[name.lower()] = value.strip()
    return Request(words[1], words[2].partition("?")[0], headers)
