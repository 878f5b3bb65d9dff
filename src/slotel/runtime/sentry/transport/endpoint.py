"""The envelope endpoint of one DSN: URL, headers, TLS and proxy, as an urllib3 connection pool. Retries nothing."""

from __future__ import annotations

import codecs
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from sentry_sdk.utils import Dsn

from slotel.runtime.logs import LOG
from slotel.runtime.sentry.transport.kept_alive import Answer, KeptAlive
from slotel.version import __version__

CLIENT: Final = f"slotel/{__version__}"
_FINAL: Final = 200
_SOCKS: Final = ("socks4", "socks4a", "socks5", "socks5h")
"""Source: urllib3, `SOCKSProxyManager`."""
_BODYLESS: Final = (204, 304)
_READS_FILES: Final = not hasattr(urllib3, "BaseHTTPResponse")
"""Whether urllib3 is 1.x, which gets certificates as files: with a context it checks no IP address, no proxy's name."""
_ENVELOPE: Final = "/envelope/"
_KEEP_ALIVE: Final = tuple(
    (level, getattr(socket, name), value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 45),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 6),
    )
    if hasattr(socket, name)
)
"""Socket options of `keep_alive=True` of the Sentry client. Source: sentry-sdk, `KEEP_ALIVE_SOCKET_OPTIONS`."""

# Opening a connection imports the codec of host names at its first time, on the sender's thread. Python holds a lock
# for each module that is being imported, and a fork copies it held: every connection of the child would wait for good.
codecs.lookup("idna")


class Endpoint:
    """The server of one DSN, and the connections to it.

    Args:
        options: of the Sentry client: http_proxy, https_proxy, proxy_headers, ca_certs, cert_file, key_file,
            keep_alive, socket_options.

    Attributes:
        host: host and port, as a URL names them.
        answers_from: the sender of responses: the host, or the proxy that forwards the requests without a tunnel.
        public_key: the DSN's key; it identifies the project, and is sent with every request.
        org_id: the organization, by the client's option or the DSN's host.
        is_usable: whether the named proxy, if there is one, can be used.
    """

    def __init__(self, dsn: str, options: Mapping[str, Any]) -> None:
        self._dsn = Dsn(dsn)
        self._options = options
        self.host = self.answers_from = host_of(self._dsn)
        self.public_key = str(self._dsn.public_key)
        self.org_id = str(options["org_id"]) if options.get("org_id") is not None else self._dsn.org_id
        self._path = f"{self._dsn.path}api/{self._dsn.project_id}{_ENVELOPE}"
        self._proxy = proxy = named_proxy(self._dsn.scheme, self._dsn.host, options, self._dsn.port)
        self._headers = self._common_headers()
        self._heads = [self._head(more) for more in ("", "Content-Encoding: gzip\r\n")]
        self._pool: urllib3.HTTPConnectionPool | urllib3.ProxyManager | None = None
        self._kept_alive: KeptAlive | None = None
        self._fault = proxy_fault(proxy) if proxy else None
        self.is_usable = self._fault is None
        if self._fault is not None:
            LOG.error("nothing can be sent to Sentry: %s", self._fault)
        elif proxy and self._dsn.scheme != "https" and not proxy.startswith("socks"):
            self.answers_from = f"{self.host}, through the proxy {_without_password(proxy)}"

    def post(self, body: bytes, *, gzipped: bool, timeout: float) -> Answer:
        """Send one envelope and return the answer to it.

        Args:
            timeout: seconds for the connection, and again for each read of the answer.

        Raises:
            urllib3.exceptions.HTTPError, OSError: no answer; `was_sent` tells whether the server may have it.
        """
        if self._kept_alive is not None:
            answer = self._kept_alive.post(self._heads[gzipped], body, timeout)
            if answer is not None:
                return answer
        headers = {**self._headers, "Content-Encoding": "gzip"} if gzipped else self._headers
        response = self._ask("POST", self._path, timeout, body=body, headers=headers)
        told = response.headers
        answer = Answer(response.status, told.get("x-sentry-rate-limits"), told.get("retry-after"))
        _finish(response)
        return answer

    def date(self, timeout: float) -> str | None:
        """Ask for the first page, as `post` does; return the header `Date` of the answer, whatever its status is."""
        response = self._ask("GET", "/", timeout)
        _finish(response)
        told: str | None = response.headers.get("date")
        return told

    def _ask(self, method: str, path: str, timeout: float, **request: Any) -> Any:
        if self._pool is None:
            self._pool = self._make_pool()
            if isinstance(self._pool, urllib3.HTTPConnectionPool):
                self._kept_alive = KeptAlive(self._pool)
        if isinstance(self._pool, urllib3.PoolManager):
            path = f"{self._dsn.scheme}://{self.host}{path}"
        wait = urllib3.Timeout(connect=timeout, read=timeout)
        return self._pool.urlopen(
            method, path, retries=False, redirect=False, preload_content=False, timeout=wait, **request
        )

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        pool, self._pool = self._pool, None
        kept_alive, self._kept_alive = self._kept_alive, None
        if kept_alive is not None:
            kept_alive.close()
        if isinstance(pool, urllib3.PoolManager):
            pool.clear()
        elif pool is not None:
            pool.close()

    def after_fork(self) -> None:
        """Leave the connections to the parent process: two processes must not talk over one."""
        self._pool = self._kept_alive = None

    def _make_pool(self) -> urllib3.HTTPConnectionPool | urllib3.ProxyManager:
        if self._fault is not None:
            raise OSError(self._fault)
        settings: dict[str, Any] = {"maxsize": 1, "socket_options": self._socket_options()}
        proxy_scheme = (self._proxy or "").partition("://")[0].lower()
        if _READS_FILES:
            settings.update(certificate_files(self._options), cert_reqs="CERT_REQUIRED")
        elif "https" in (self._dsn.scheme, proxy_scheme):
            settings["ssl_context"] = tls_context(self._options)
        if self._proxy is None:
            return urllib3.PoolManager(**settings).connection_from_host(
                self._dsn.host, self._dsn.port, scheme=self._dsn.scheme
            )
        if proxy_scheme in _SOCKS:
            from urllib3.contrib.socks import SOCKSProxyManager

            user, password = _credentials(self._proxy)
            return SOCKSProxyManager(self._proxy, user, password, **settings)  # type: ignore[return-value]  # a manager all the same
        user, password = _credentials(self._proxy)
        headers = urllib3.make_headers(proxy_basic_auth=None if user is None else f"{user}:{password}")
        headers.update(self._options.get("proxy_headers") or {})
        if proxy_scheme == "https":
            settings["proxy_ssl_context"] = settings.get("ssl_context")
        return urllib3.ProxyManager(self._proxy, proxy_headers=headers, **settings)

    def _socket_options(self) -> Sequence[tuple[int, int, int | bytes]]:
        chosen = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *(self._options.get("socket_options") or ())]
        if self._options.get("keep_alive"):
            named = {option[:2] for option in chosen}
            chosen += [option for option in _KEEP_ALIVE if option[:2] not in named]
        return chosen

    def _common_headers(self) -> dict[str, str]:
        dsn = self._dsn
        auth = f"Sentry sentry_version=7, sentry_key={dsn.public_key}, sentry_client={CLIENT}"
        if dsn.secret_key:
            auth = f"{auth}, sentry_secret={dsn.secret_key}"
        return {
            "User-Agent": CLIENT,
            "X-Sentry-Auth": auth,
            "Content-Type": "application/x-sentry-envelope",
        }

    def _head(self, more: str) -> bytes:
        """Return a request's bytes up to the length of its body; urllib3 has refused odd ones with the first."""
        headers = {"Host": self.host, "Accept-Encoding": "identity", **self._headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self._path} HTTP/1.1\r\n{lines}{more}Content-Length: ".encode()


def _finish(response: Any) -> None:
    """Read the body, so that the connection can be used again; one without an end, or that breaks, costs that only."""
    told = response.headers
    ends = "content-length" in told or "transfer-encoding" in told or response.status in _BODYLESS
    try:
        if ends and response.status >= _FINAL:
            response.drain_conn()
            response.release_conn()
        else:
            response.close()
    except (urllib3.exceptions.HTTPError, OSError):
        response.close()


def was_sent(error: Exception) -> bool:
    """Return whether the server may have got a request that failed with this error."""
    errors = urllib3.exceptions
    if isinstance(error, errors.ReadTimeoutError):  # with another URL it is the proxy's, which made no tunnel
        return not error.url or error.url.endswith(_ENVELOPE)
    return isinstance(error, (errors.ProtocolError, ConnectionError)) and not isinstance(
        error, (errors.NewConnectionError, errors.ProxyError)
    )


def host_of(dsn: Dsn) -> str:
    """Return host and port as a URL names them. sentry-sdk's own `netloc` has no brackets for IPv6.

    >>> host_of(Dsn("http://key@[::1]:9000/1"))
    '[::1]:9000'
    """
    host = f"[{dsn.host}]" if ":" in dsn.host else dsn.host
    default = (dsn.scheme, dsn.port) in (("http", 80), ("https", 443))
    return host if default else f"{host}:{dsn.port}"


def named_proxy(scheme: str, host: str, options: Mapping[str, Any], port: int | None = None) -> str | None:
    """Return the URL of the proxy that the client's options or the environment name; "" in an option means none.

    `NO_PROXY` may name a host with or without its port.
    """
    named = options.get("https_proxy" if scheme == "https" else "http_proxy")
    if named is None and scheme == "https":
        named = options.get("http_proxy")  # sentry-sdk's way: one option for both
    if named is None:
        is_direct = proxy_bypass(host) or proxy_bypass(f"{host}:{port}")
        named = None if is_direct else getproxies().get(scheme)
    if not named:
        return None
    return str(named) if "://" in named else f"http://{named}"


def proxy_fault(proxy: str) -> str | None:
    """Return why nothing can be sent by this proxy, and what helps; None if there is no such fault.

    >>> proxy_fault("ftp://user:secret@proxy:21")
    'the proxy ftp://proxy has a scheme that is not supported: write http://, https://, socks5:// or socks5h://'
    """
    try:
        parts = urlsplit(proxy)
        scheme, _ = parts.scheme, parts.port  # raises if the port is invalid
    except ValueError:
        return "the proxy is not a URL with a valid host and port: write http://HOST:PORT"
    if scheme in _SOCKS:
        if find_spec("socks") is None:
            return f"the proxy {_without_password(proxy)} needs a package: pip install 'slotel[socks]'"
        return None
    if scheme in ("http", "https"):
        return None
    return (
        f"the proxy {_without_password(proxy)} has a scheme that is not supported: "
        "write http://, https://, socks5:// or socks5h://"
    )


def named_certificates(options: Mapping[str, Any]) -> str | None:
    """Return the file of trusted certificates: ca_certs, SSL_CERT_FILE, REQUESTS_CA_BUNDLE; None if none is named."""
    named = options.get("ca_certs") or os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return str(named) if named else None


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return TLS settings that trust the named certificates, else the system's CAs, else certifi's.

    Raises:
        OSError: a named file is not there or holds no certificate.
    """
    files = certificate_files(options)
    context = ssl.create_default_context(cafile=files["ca_certs"])
    if files["cert_file"]:
        context.load_cert_chain(files["cert_file"], files["key_file"])
    return context


def certificate_files(options: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what urllib3 calls ca_certs, cert_file and key_file; ca_certs is None for the system's."""
    trusted = named_certificates(options)
    if not trusted and not _system_has_certificates():
        import certifi  # a dependency of sentry-sdk

        trusted = certifi.where()
    return {
        "ca_certs": trusted,
        "cert_file": options.get("cert_file") or os.environ.get("CLIENT_CERT_FILE"),
        "key_file": options.get("key_file") or os.environ.get("CLIENT_KEY_FILE"),
    }


def _system_has_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return True
    try:
        return bool(paths.capath) and bool(os.listdir(paths.capath))  # noqa: PTH208 a name is enough
    except OSError:
        return False


def _credentials(proxy: str) -> tuple[str | None, str | None]:
    parts = urlsplit(proxy)
    return (unquote(parts.username), unquote(parts.password or "")) if parts.username else (None, None)


def _without_password(proxy: str) -> str:
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.hostname}"
