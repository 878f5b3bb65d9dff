"""How Sentry's server is reached: DSN, proxy, TLS, headers; opens a connection, speaks no HTTP on it.

Proxies: `proxies.py`. No HTTP library: that is where the CPU of a transaction went.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

from sentry_sdk.utils import Dsn

from slotel.runtime.sentry.transport.proxies import find_proxy, reach, secured, straight, tunnel
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
        dsn, proxy = self._dsn, self.proxy
        if proxy is None:
            stream = straight(dsn.host, dsn.port, timeout)
        else:
            stream = reach(proxy, dsn.host, dsn.port, trust=self._trust, timeout=timeout)
        if dsn.scheme != "https":
            return stream
        try:
            if proxy is not None and not proxy.is_socks:
                tunnel(stream, proxy, dsn.host, dsn.port, timeout)
            return secured(stream, self._trust(), dsn.host)  # type: ignore[no-any-return]  # speaks as a socket does
        except BaseException:
            stream.close()
            raise

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = tls_context(self._options)
        return self._tls

    def _common_head(self) -> bytes:
        """Everything of a request that is the same each time."""
        dsn = self._dsn
        host = host_of(dsn)
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


def host_of(dsn: Dsn) -> str:
    """Return host and port as a URL names them. sentry-sdk's own `netloc` has no brackets for IPv6.

    >>> host_of(Dsn("http://key@[::1]:9000/1"))
    '[::1]:9000'
    """
    host = f"[{dsn.host}]" if ":" in dsn.host else dsn.host
    default = (dsn.scheme, dsn.port) in (("http", 80), ("https", 443))
    return host if default else f"{host}:{dsn.port}"


def named_certificates(options: Mapping[str, Any]) -> str | None:
    """Return the file of trusted certificates: ca_certs, SSL_CERT_FILE, REQUESTS_CA_BUNDLE; None if none is named."""
    named = options.get("ca_certs") or os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return str(named) if named else None


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return what a certificate is judged by: the named certificates, else the system's CAs.

    Raises:
        OSError: a named file is not there or holds no certificate.
    """
    named = named_certificates(options)
    context = ssl.create_default_context(cafile=named)
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
