"""A TLS connection that behaves like a plain non-blocking socket: what is not there yet is a BlockingIOError."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any, Final

_RECORD: Final = 16_384
"""Bytes of one record."""
_NOT_YET: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TlsSocket(ssl.SSLSocket):
    """The server's side of one connection; the handshake is done on the way to the first request."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return received bytes; b"" at the end."""
        try:
            return super().recv(buflen, flags)
        except _NOT_YET:
            raise BlockingIOError from None

    def send(self, data: Any, flags: int = 0) -> int:
        """Send one record; return how many bytes it took. After a BlockingIOError the same bytes must be sent again."""
        try:
            return super().send(data[:_RECORD], flags)
        except _NOT_YET:
            raise BlockingIOError from None

    def shutdown(self, how: int) -> None:
        """Say that nothing more is sent."""
        with suppress(OSError, ValueError):
            self.unwrap()
        super().shutdown(how)
