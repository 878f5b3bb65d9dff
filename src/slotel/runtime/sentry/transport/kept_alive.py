"""A POST on a connection that urllib3 has opened and keeps alive: one write, and an answer that http.client reads.

urllib3 opens connections, with proxies and TLS; of what a small request costs on an open one, it is nine tenths.
"""

from __future__ import annotations

import contextlib
from http.client import HTTPException, HTTPResponse
from queue import Empty
from typing import Any, Final, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.util import is_connection_dropped

_FINAL: Final = 200
_REQUEST: Final = HTTPConnection.request


class Answer(NamedTuple):
    """One answer of the server; `limits` and `retry_after` are header values as sent, None if absent."""

    status: int
    limits: str | None
    retry_after: str | None


def post(pool: urllib3.HTTPConnectionPool, head: bytes, body: bytes, timeout: float) -> Answer | None:
    """Send one request; None if no connection is open, or it is of a kind that is not known here.

    Args:
        head: request line and headers up to the length of the body.
        timeout: seconds for each read of the answer.

    Raises:
        urllib3.exceptions.HTTPError, OSError: no answer.
    """
    connections: Any = getattr(pool, "pool", None)
    connection = _open_connection(connections)
    if connection is None:
        return None
    is_reusable = False
    try:
        connection.sock.settimeout(timeout)
        with contextlib.suppress(BrokenPipeError):  # a server that refuses a body has answered all the same
            connection.sock.sendall(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        response = HTTPResponse(connection.sock, method="POST")
        with response:
            response.begin()
            if response.status >= _FINAL and not response.will_close:
                is_reusable = _is_read(response)
    except TimeoutError as error:
        raise ReadTimeoutError(pool, "", f"Read timed out. (read timeout={timeout})") from error
    except (HTTPException, ConnectionError) as error:
        raise ProtocolError(f"Connection aborted: {error}", error) from error
    finally:
        if not is_reusable:
            connection.close()
        connections.put_nowait(connection)
    return Answer(
        response.status, response.getheader("x-sentry-rate-limits"), response.getheader("retry-after")
    )


def _open_connection(connections: Any) -> Any:
    """Take a connection that is open out of the pool's; None if there is none."""
    try:
        connection = connections.get_nowait()
    except (AttributeError, Empty):
        return None
    is_known = getattr(type(connection), "request", None) is _REQUEST
    if is_known and connection.sock is not None and not is_connection_dropped(connection):
        return connection
    connections.put_nowait(connection)
    return None


def _is_read(response: HTTPResponse) -> bool:
    """Read the answer's body; one that breaks costs the connection, the answer stands."""
    try:
        response.read()
    except (HTTPException, OSError):
        return False
    return True
