"""A TLS connection that behaves like a plain non-blocking socket: what is not there yet is a BlockingIOError."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

_RECORD: Final = 16_384
"""Bytes of one record."""


class TlsPeer:
    """The server's side of one connection; the handshake is done on the way to the first request."""

    def __init__(self, context: ssl.SSLContext, peer: socket.socket) -> None:
        self._peer = context.wrap_socket(
            peer, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
        self._peer.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._peer.fileno()

    def recv(self, size: int) -> bytes:
        """Return received bytes; b"" at the end, and for a peer that does not speak TLS.

        Raises:
            BlockingIOError: nothing is there yet.
        """
        try:
            return self._peer.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def sendmsg(self, pieces: Sequence[memoryview]) -> int:
        """Send one record; return how many bytes of the pieces it took.

        Raises:
            BlockingIOError: the peer takes nothing now. The same bytes must be sent again.
        """
        data, size = bytearray(), 0
        for piece in pieces:
            data += piece[: _RECORD - size]
            size = len(data)
            if size == _RECORD:
                break
        try:
            return self._peer.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def shutdown(self, how: int) -> None:
        """Say that nothing more is sent."""
        with suppress(OSError, ValueError):
            self._peer.unwrap()
        with suppress(OSError):
            self._peer.shutdown(how)

    def close(self) -> None:
        """Close the connection."""
        self._peer.close()

    def detach(self) -> int:
        """Release the descriptor without closing it."""
        return self._peer.detach()
