"""A POST on a connection that urllib3 has opened and keeps alive: one write, and mostly one read of a short response.

urllib3 opens connections, with proxies and TLS. On an open one it would take nine tenths of the CPU of a small request,
and http.client three quarters of the rest, so http.client reads only responses that are chunked or need several reads.
"""

from __future__ import annotations

import io
import re
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from queue import Empty
from typing import Any, Final, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.util import wait_for_read

_FINAL: Final = 200
_MOST: Final = 4096
"""Bytes of a response that are read at once; Sentry's responses have about 500."""
_REQUEST: Final = HTTPConnection.request
_WHOLE_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [^\r\n]*)?\r\n((?:[!-9;-~]+:[^\r\n]*\r\n)+)\r\n"
)
"""Status and headers of a response; each header on one line."""
_LENGTH: Final = re.compile(rb"^content-length:[ \t]*([^\r]*)\r$", re.MULTILINE)
_SAYS_MORE: Final = re.compile(
    rb"^(?:transfer-encoding|x-sentry-rate-limits|retry-after|connection:(?![ \t]*keep-alive[ \t]*\r$))", re.MULTILINE
)  # fmt: skip


class Answer(NamedTuple):
    """One response of the server; `limits` and `retry_after` are header values as sent, None if absent."""

    status: int
    limits: str | None
    retry_after: str | None


class KeptAlive:
    """The open connection of a pool, taken out of it. For one thread at a time."""

    def __init__(self, pool: urllib3.HTTPConnectionPool) -> None:
        self._pool = pool
        self._connection: Any = None

    def post(self, head: bytes, body: bytes, timeout: float) -> Answer | None:
        """Send one request; return None if no connection is open, or it is of an unknown kind.

        Args:
            head: request line and headers up to the length of the body.
            timeout: seconds for each read of the response.

        Raises:
            urllib3.exceptions.HTTPError, OSError: there was no response.
        """
        connection = self._connection or self._take()
        if connection is None:
            return None
        sock = connection.sock
        if wait_for_read(sock, timeout=0.0):  # the server has hung up
            self.close()
            return None
        is_reusable = False
        try:
            if sock.gettimeout() != timeout:
                sock.settimeout(timeout)
            try:  # noqa: SIM105 it would be three calls more
                sock.sendall(b"%b%d\r\n\r\n%b" % (head, len(body), body))
            except BrokenPipeError:
                pass  # a server that refuses a body has answered all the same
            received = sock.recv(_MOST)
            status = _short_answer(received)
            if status:
                is_reusable = True
                return Answer(status, None, None)
            answer, is_reusable = _any_answer(received, sock)
        except TimeoutError as error:
            raise ReadTimeoutError(self._pool, "", f"Read timed out. (read timeout={timeout})") from error
        except (HTTPException, ConnectionError) as error:
            raise ProtocolError(f"Connection aborted: {error}", error) from error
        finally:
            if not is_reusable:
                self.close()
        return answer

    def close(self) -> None:
        """Close the connection, if there is one; urllib3 opens another with the next request."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _take(self) -> Any:
        """Take an open connection out of the pool; None if there is none."""
        connections: Any = getattr(self._pool, "pool", None)
        try:
            connection = connections.get_nowait()
        except (AttributeError, Empty):
            return None
        is_known = getattr(type(connection), "request", None) is _REQUEST
        if is_known and connection.sock is not None:
            self._connection = connection
            return connection
        connections.put_nowait(connection)
        return None


def _short_answer(received: bytes) -> int:
    """Return the status of a complete response after which the connection stays open; 0 for any other."""
    head = _WHOLE_HEAD.match(received)
    if head is None:
        return 0
    told = head[2].lower()
    lengths = _LENGTH.findall(told)
    is_whole = len(lengths) == 1 and lengths[0] == b"%d" % (len(received) - head.end())
    return int(head[1]) if is_whole and _SAYS_MORE.search(told) is None else 0


def _any_answer(received: bytes, sock: Any) -> tuple[Answer, bool]:
    """Read the rest of a response; return it, and whether the connection can be used again."""
    is_reusable = False
    with HTTPResponse(_Begun(received, sock), method="POST") as response:  # type: ignore[arg-type]  # all that it asks for
        response.begin()
        if response.status >= _FINAL and not response.will_close:
            with suppress(HTTPException, OSError):  # the response is valid all the same
                response.read()
                is_reusable = True
        limits, retry_after = (response.getheader(name) for name in ("x-sentry-rate-limits", "retry-after"))
    return Answer(response.status, limits, retry_after), is_reusable


class _Begun(io.RawIOBase):
    """A socket whose first bytes have been read already."""

    def __init__(self, received: bytes, sock: Any) -> None:
        self._received = received
        self._sock = sock

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._received:
            return int(self._sock.recv_into(buffer))
        count = min(len(buffer), len(self._received))
        buffer[:count] = self._received[:count]
        self._received = self._received[count:]
        return count
