"""How Sentry's server is reached: DSN, proxy, TLS, headers; opens a connection, speaks no HTTP on it.

http.client connects (HTTP proxies, CONNECT, certificates; `proxies.py` the rest); requests go over its socket without
it: that is where the CPU of a transaction went.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, Final

from sentry_sdk.utils import Dsn

from slotel.runtime.sentry.proxies import Proxy, find_proxy, reach, secured, tunnel
from slotel.version import __version__

CLIENT: Final = f"slotel/{__version__}"


class Route:
    """The way to one DSN.

    Args:
        options: of the Sentry client: http_proxy, https_proxy, ca_certs, cert_file, key_file.
    """

    def __init__(self, dsn: str, options: Mapping[str, Any]) -> None:
        self._dsn = Dsn(dsn)
        self._options = options
        self.proxy = find_proxy(self._dsn.scheme, self._dsn.host, options)
        self._tls: ssl.SSLContext | None = None
        self._head = self._common_head()

    def head(self, *, gzipped: bool) -> bytes:
        """Return a request up to the value of Content-Length; that, and the body, follow."""
        return self._head + (b"Content-Encoding: gzip\r\n" if gzipped else b"") + b"Content-Length: "

    @property
    def public_key(self) -> str:
        """The DSN's key; it identifies the project, and is sent with every request."""
        return str(self._dsn.public_key)

    @property
    def org_id(self) -> str | None:
        """The organization that the DSN's host names, if it does."""
        return self._dsn.org_id or self._options.get("org_id")

    def connect(self, timeout: float) -> socket.socket:
        """Open a connection.

        Raises:
            OSError: no connection within `timeout` seconds, or its certificate is not trusted.
        """
        if self.proxy is not None and self.proxy.scheme != "http":
            return self._through(self.proxy, timeout)
        connection = self._connection(timeout)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        opened: socket.socket = connection.sock
        connection.sock = None  # it is ours now: closing http.client's object must not close it
        return opened

    def _through(self, proxy: Proxy, timeout: float) -> socket.socket:
        """Open a connection through a proxy that http.client cannot use."""
        dsn = self._dsn
        is_tls = dsn.scheme == "https"
        tls = None if proxy.is_socks and not is_tls else self._trust()
        stream = reach(proxy, dsn.host, dsn.port, tls=tls, timeout=timeout)
        try:
            if is_tls and not proxy.is_socks:
                tunnel(stream, proxy, dsn.host, dsn.port, timeout)
            if is_tls:
                return secured(stream, self._trust(), dsn.host)  # type: ignore[no-any-return]  # speaks as a socket does
        except BaseException:
            stream.close()
            raise
        return stream

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = tls_context(self._options)
        return self._tls

    def _connection(self, timeout: float) -> HTTPConnection:
        dsn, proxy = self._dsn, self.proxy
        host, port = (proxy.host, proxy.port) if proxy else (dsn.host, dsn.port)
        if dsn.scheme != "https":
            return HTTPConnection(host, port, timeout=timeout)
        connection = HTTPSConnection(host, port, timeout=timeout, context=self._trust())
        if proxy:
            headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
            connection.set_tunnel(dsn.host, dsn.port, headers)
        return connection

    def _common_head(self) -> bytes:
        """Everything of a request that is the same each time."""
        dsn = self._dsn
        host = f"[{dsn.host}]" if ":" in dsn.host else dsn.host
        if (dsn.scheme, dsn.port) not in (("http", 80), ("https", 443)):
            host = f"{host}:{dsn.port}"
        target = f"{dsn.path}api/{dsn.project_id}/envelope/"
        auth = f"Sentry sentry_version=7, sentry_key={dsn.public_key}, sentry_client={CLIENT}"
        if dsn.secret_key:
            auth = f"{auth}, sentry_secret={dsn.secret_key}"
        lines = []
        if self.proxy and not self.proxy.is_socks and dsn.scheme != "https":
            target = f"http://{host}{target}"
            if self.proxy.authorization:
                lines.append(f"Proxy-Authorization: {self.proxy.authorization}")
        lines = [
            f"POST {target} HTTP/1.1",
            f"Host: {host}",
            f"User-Agent: {CLIENT}",
            f"X-Sentry-Auth: {auth}",
            "Content-Type: application/x-sentry-envelope",
            *lines,
            "",
        ]
        return "\r\n".join(lines).encode("latin-1")


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return what a certificate is judged by: ca_certs, SSL_CERT_FILE, REQUESTS_CA_BUNDLE, else the system's CAs.

    Raises:
        OSError: a named file is not there or holds no certificate.
    """
    named = options.get("ca_certs") or os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    context = ssl.create_default_context(cafile=named or None)
    if not named and not _system_has_certificates():
        import certifi  # a dependency of sentry-sdk

        context.load_verify_locations(certifi.where())
    certificate = options.get("cert_file") or os.environ.get("CLIENT_CERT_FILE")
    if certificate:
        context.load_cert_chain(certificate, options.get("key_file") or os.environ.get("CLIENT_KEY_FILE"))
    return context


def _system_has_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return True
    try:
        return bool(paths.capath) and bool(os.listdir(paths.capath))  # noqa: PTH208 a name is enough
    except OSError:
        return False
