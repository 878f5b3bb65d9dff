"""A TLS connection that behaves like a plain non-blocking socket: what is not there yet is a BlockingIOError."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Final

_RECORD: Final = 16_384
"""Bytes of one record."""
_NOT_YET: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TlsPeer:
    """The server's side of one connection; the handshake is done on the way to the first request.

    Around an `SSLSocket`, and none itself: gevent and eventlet put their own in its place.
    """

    def __init__(self, context: ssl.SSLContext, peer: socket.socket) -> None:
        self._peer = made = context.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
        made.setblocking(False)
        self.fileno, self.close, self.detach = made.fileno, made.close, made.detach

    def recv(self, size: int) -> bytes:
        """Return received bytes; b"" at the end."""
        try:
            return self._peer.recv(size)
        except _NOT_YET:
            raise BlockingIOError from None

    def send(self, data: memoryview) -> int:
        """Send one record; return how many bytes it took. After a BlockingIOError the same bytes must be sent again."""
        try:
            return self._peer.send(data[:_RECORD])
        except _NOT_YET:
            raise BlockingIOError from None

    def shutdown(self, how: int) -> None:
        """Say that nothing more is sent."""
        with suppress(OSError, ValueError):
            self._peer.unwrap()
        self._peer.shutdown(how)
