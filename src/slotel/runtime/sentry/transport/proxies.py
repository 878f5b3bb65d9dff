"""Proxies on the way to Sentry: which one is named, and a connection through it: HTTP, TLS to the proxy, SOCKS."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from slotel.runtime.logs import LOG
from slotel.runtime.sentry.transport.wire import HttpWire

_PORTS: Final = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_NAMES_THERE: Final = ("socks4a", "socks5h")
"""The proxy looks up the host's name, and not this machine."""
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; user and password are repeated in `authorization`, the value of Proxy-Authorization, if it wants one."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)
    scheme: str = "http"
    user: str | None = field(default=None, repr=False, compare=False)
    password: str | None = field(default=None, repr=False, compare=False)

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, of which the requests know nothing."""
        return self.scheme.startswith("socks")


def named_proxy(scheme: str, host: str, options: Mapping[str, Any]) -> str | None:
    """Return the URL of the proxy that the client's options or the environment name; "" in an option means none."""
    named = options.get("https_proxy" if scheme == "https" else "http_proxy")
    if named is None and scheme == "https":
        named = options.get("http_proxy")  # sentry-sdk's way: one option for both
    if named is None:
        named = None if proxy_bypass(host) else getproxies().get(scheme)
    if not named:
        return None
    return str(named) if "://" in named else f"http://{named}"


def find_proxy(scheme: str, host: str, options: Mapping[str, Any]) -> Proxy | None:
    """Return the named proxy.

    A SOCKS proxy that cannot be used is named in the log; sentry-sdk itself refuses other schemes.
    """
    named = named_proxy(scheme, host, options)
    parts = urlsplit(named or "")
    return _read(parts) if parts.hostname else None


def _read(parts: SplitResult) -> Proxy:
    user = password = authorization = None
    if parts.username:
        user, password = unquote(parts.username), unquote(parts.password or "")
        authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    scheme = parts.scheme.lower()
    proxy = Proxy(
        str(parts.hostname), parts.port or _PORTS.get(scheme, 80), authorization, scheme, user, password
    )
    if proxy.is_socks and find_spec("socks") is None:
        LOG.error(
            "no trace reaches Sentry, and errors go past the proxy: %s://%s needs a package: pip install "
            "'slotel[socks]'",
            scheme,
            proxy.host,
        )
    return proxy


def reach(
    proxy: Proxy, host: str, port: int, *, trust: Callable[[], ssl.SSLContext], timeout: float
) -> socket.socket:
    """Open a connection to a proxy; one of SOCKS passes on to the host at once.

    Args:
        trust: gives what the certificate of a proxy that speaks TLS is judged by.

    Raises:
        OSError: no connection within `timeout` seconds, a certificate is not trusted, or the proxy refuses.
    """
    if proxy.is_socks:
        return _through_socks(proxy, host, port, timeout)
    if proxy.scheme not in ("http", "https"):
        raise OSError(f"there is no way through a proxy of {proxy.scheme}")
    opened = straight(proxy.host, proxy.port, timeout)
    if proxy.scheme == "http":
        return opened
    try:
        return secured(opened, trust(), proxy.host)  # type: ignore[no-any-return]  # speaks as a socket does
    except BaseException:
        opened.close()
        raise


def straight(host: str, port: int, timeout: float) -> socket.socket:
    """Open a connection that no proxy stands in the way of.

    Raises:
        OSError: no connection within `timeout` seconds.
    """
    opened = socket.create_connection((host, port), timeout)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def tunnel(stream: socket.socket, proxy: Proxy, host: str, port: int, timeout: float) -> None:
    """Have an HTTP proxy pass everything on to a host from now on.

    Raises:
        OSError: it refuses.
    """
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    stream.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    wire = HttpWire(stream)
    wire.patience = timeout
    status = wire.receive().status
    if status != _OK:
        raise OSError(f"the proxy {proxy.host} refuses to connect: {status}")


def secured(stream: socket.socket, tls: ssl.SSLContext, host: str) -> Any:
    """Return the stream with TLS to the host on it, also where TLS to a proxy is below."""
    if not isinstance(stream, ssl.SSLSocket):
        return tls.wrap_socket(stream, server_hostname=host)
    from urllib3.util.ssltransport import SSLTransport  # Python's own sockets cannot do TLS within TLS

    return SSLTransport(stream, tls, server_hostname=host)


def _through_socks(proxy: Proxy, host: str, port: int, timeout: float) -> socket.socket:
    try:
        import socks  # type: ignore[import-untyped]  # as it says
    except ImportError as error:
        raise OSError("a SOCKS proxy needs a package: pip install 'slotel[socks]'") from error
    opened: socket.socket = socks.create_connection(
        (host, port),
        timeout,
        proxy_type=socks.SOCKS4 if proxy.scheme.startswith("socks4") else socks.SOCKS5,
        proxy_addr=proxy.host,
        proxy_port=proxy.port,
        proxy_rdns=proxy.scheme in _NAMES_THERE,
        proxy_username=proxy.user,
        proxy_password=proxy.password,
    )
    return opened
