"""Access control of the metrics endpoint: allowed host names, credentials from files, TLS.

The check of `Host` prevents a web page from reading the metrics of the machine it is shown on (DNS rebinding): its
requests have the page's host name. Files with credentials and certificates are read again when they change.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from slotel.config import names
from slotel.runtime.metrics.scrape.http.connection import Answer, Request, plain
from slotel.runtime.metrics.scrape.http.passwords import Users, is_hash

if TYPE_CHECKING:
    from ssl import SSLContext

    from slotel.runtime.metrics.scrape.http.tls import TlsPeer

OPEN_PATHS: Final = frozenset({"/healthz"})
"""Answered without credentials: a liveness probe has none."""
_LOOPBACK: Final = frozenset({"localhost", "ip6-localhost", "localhost.localdomain"})
_PRIVATE_ENDINGS: Final = (".localhost", ".local", ".internal", ".svc", ".cluster.local")
"""Endings of names that nobody can register. Source: RFC 6761, RFC 6762, ICANN on `.internal`, Kubernetes DNS."""
_HOST: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:%]*?)\.?)(?::[0-9]{0,5})?")
"""An address in brackets or a name, and a port: all there may be in a `Host`. Source: RFC 3986, section 3.2.2."""
_TLS_FILES: Final = ("cert_file", "key_file", "client_ca_file")
_TLS_VERSIONS: Final = {"TLS12": "TLSv1_2", "TLS13": "TLSv1_3"}
_CLIENT_AUTH: Final = {
    "NoClientCert": "CERT_NONE",
    "RequestClientCert": "CERT_OPTIONAL",
    "RequireAnyClientCert": "CERT_REQUIRED",
    "VerifyClientCertIfGiven": "CERT_OPTIONAL",
    "RequireAndVerifyClientCert": "CERT_REQUIRED",
}
"""Prometheus' names and Python's. Source: exporter-toolkit, web configuration. Python verifies every certificate."""


class AccessError(RuntimeError):
    """The files that protect the endpoint cannot be used; the text says which, and what to do."""


_Made = TypeVar("_Made")


class _Reread(Generic[_Made]):
    """An object made from files, and made again when one of them changes. Raises what `make` raises, and OSError.

    Args:
        beside: returns what else it depends on.
    """

    def __init__(
        self, files: Sequence[Path], make: Callable[[], _Made], beside: Callable[[], object] = lambda: None
    ) -> None:
        self._files, self._make, self._beside = files, make, beside
        self._stamp, self.made = self._look(), make()

    def refreshed(self) -> _Made:
        """Return what the files hold now; if they cannot be used, `made` stays what it was."""
        stamp = self._look()
        if stamp != self._stamp:
            self.made = self._make()
            self._stamp = stamp
        return self.made

    def _look(self) -> list[object]:
        found = [path.stat() for path in self._files]
        return [self._beside(), *((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)]


@dataclass
class Access:
    """Decides whether a request is allowed.

    Args:
        hosts: allowed host names, in addition to addresses; None: all.
        is_local: whether the endpoint is bound to loopback only.
        tokens: the bearer tokens, one of which a request must bring; None if none is asked for.
        users: the users of basic authentication.
        tls: the certificates to speak TLS with; None for plain HTTP.
        needs_certificate: whether a client must bring a certificate.
    """

    hosts: frozenset[str] | None = _LOOPBACK
    is_local: bool = True
    tokens: _Reread[list[bytes]] | None = None
    users: Users = field(default_factory=lambda: Users({}))
    tls: _Reread[SSLContext] | None = None
    needs_certificate: bool = False

    @property
    def is_protected(self) -> bool:
        """Return whether a request needs credentials."""
        return self.tokens is not None or bool(self.users) or self.needs_certificate

    def refusal(self, request: Request) -> Answer | None:
        """Return the response to a request that is refused; None if it is allowed."""
        host = request.headers.get("host", "")
        if host and not self.is_named(host):
            text = f"421 Misdirected Request: set {names.SLOTEL_METRICS_HOSTS} to the names of this endpoint"
            return plain("421 Misdirected Request", text)
        if request.path in OPEN_PATHS or (self.tokens is None and not self.users):
            return None
        is_authorised = self._is_authorised(request.headers.get("authorization", ""))
        if is_authorised:
            return None
        if is_authorised is None:
            text = "429 Too Many Requests: too many wrong passwords"
            return plain("429 Too Many Requests", text, ("Retry-After", "5"))
        scheme = "Bearer" if self.tokens is not None else 'Basic realm="slotel", charset="UTF-8"'
        return plain("401 Unauthorized", "", ("WWW-Authenticate", scheme))

    def is_named(self, host: str) -> bool:
        """Return whether a `Host` is allowed.

        An address always is, because a web page cannot make a browser send an address that it did not connect to. If
        the endpoint is bound to more than loopback, so are names that cannot be registered.
        """
        if self.hosts is None:
            return True
        found = _HOST.fullmatch(host.strip().lower())
        if found is None:
            return False
        address, name = found.groups()
        if address is not None:
            return _is_address(address)
        is_private = "." not in name or name.endswith(_PRIVATE_ENDINGS)
        return name in self.hosts or _is_address(name) or (is_private and not self.is_local)

    def wrap(self, peer: socket.socket) -> socket.socket | TlsPeer:
        """Return a connection as it is spoken to: with TLS if that is configured. Raises OSError, ValueError."""
        if self.tls is None:
            return peer
        from slotel.runtime.metrics.scrape.http.tls import TlsPeer

        # the files may be about to be replaced: the current certificates stay in use
        with suppress(OSError, ValueError):
            self.tls.refreshed()
        return TlsPeer(self.tls.made, peer)

    def _is_authorised(self, header: str) -> bool | None:
        """Return whether the credentials are right; None if that is not known yet."""
        scheme, _, credentials = header.partition(" ")
        credentials = credentials.strip()
        if scheme.lower() == "bearer" and self.tokens is not None:
            given, tokens = credentials.encode("latin-1"), list[bytes]()  # as the bytes came
            with suppress(OSError):  # while the file cannot be read, every request is refused
                tokens = self.tokens.refreshed()
            return sum(hmac.compare_digest(given, token) for token in tokens) > 0
        return self._is_user(credentials) if scheme.lower() == "basic" and self.users else False

    def _is_user(self, credentials: str) -> bool | None:
        try:
            name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (ValueError, UnicodeDecodeError):
            return False
        return self.users.is_right(name, password)


def read_access(environ: Mapping[str, str], host: str) -> Access:
    """Return what the environment asks of a request.

    Args:
        host: what the endpoint is bound to.

    Raises:
        AccessError: a file that it names cannot be used: the endpoint must then not answer.
    """
    is_local = host in _LOOPBACK or (_is_address(host) and ip_address(host.strip("[]")).is_loopback)
    listed = [_without_port(name) for name in environ.get(names.SLOTEL_METRICS_HOSTS, "").split(",")]
    own = {socket.gethostname().lower()} if not is_local else set()
    hosts = (
        None if "*" in listed else frozenset({*_LOOPBACK, _without_port(host), *own, *filter(None, listed)})
    )
    access = Access(hosts, is_local=is_local)
    token_file = environ.get(names.SLOTEL_METRICS_TOKEN_FILE, "").strip()
    if token_file:
        path = _readable(names.SLOTEL_METRICS_TOKEN_FILE, Path(token_file))
        access.tokens = _Reread(
            [path], lambda: [*filter(None, map(bytes.strip, path.read_bytes().splitlines()))]
        )
        text = f"{token_file} is empty: write a token into it"
        _check(access.tokens.made, names.SLOTEL_METRICS_TOKEN_FILE, text)
    web_config = environ.get(names.SLOTEL_METRICS_WEB_CONFIG, "").strip()
    if web_config:
        _apply_web_config(access, Path(web_config))
    return access


def _apply_web_config(access: Access, path: Path) -> None:
    """Read Prometheus' own form of such a file: https://prometheus.io/docs/prometheus/latest/configuration/https/."""
    from ruamel.yaml import YAML

    place = f"{names.SLOTEL_METRICS_WEB_CONFIG}={str(path)!r}"
    _readable(names.SLOTEL_METRICS_WEB_CONFIG, path)
    try:
        document: Any = YAML(typ="safe", pure=True).load(path)
    except Exception as error:  # noqa: BLE001 YAMLError, and Python's errors for an invalid date or number
        raise AccessError(f"{place}: not valid YAML ({type(error).__name__})") from None
    is_known = isinstance(document, dict) and document.keys() <= {"tls_server_config", "basic_auth_users"}
    _check(is_known, place, "write tls_server_config and basic_auth_users, and nothing else")
    _check(document, place, "it protects nothing: write tls_server_config or basic_auth_users")
    # a part may be empty as where every user is commented out: it would answer everybody
    for key, part in document.items():
        _check(part, place, f"{key} is empty: fill it, or leave it out")
        _check(isinstance(part, dict), place, f"{key} is not a mapping")
    users = {str(name): str(hashed) for name, hashed in document.get("basic_auth_users", {}).items()}
    for name, hashed in users.items():
        text = f"basic_auth_users.{name} is not a bcrypt hash: write `htpasswd -nBC 10 {name}`'s"
        _check(is_hash(hashed), place, text)
    if users:
        access.users = Users(users)
        try:
            import bcrypt  # noqa: F401 to know whether it is there
        except ImportError as error:
            text = f"{place}: basic_auth_users needs a package: run: pip install bcrypt"
            raise AccessError(text) from error
    if "tls_server_config" in document:
        _apply_tls(access, document["tls_server_config"], path.parent, place)


def _apply_tls(access: Access, tls: dict[str, Any], folder: Path, place: str) -> None:
    unknown = tls.keys() - {*_TLS_FILES, "client_auth_type", "min_version"}
    _check(not unknown, place, f"tls_server_config.{min(map(str, unknown), default='')} is not supported")
    _check(tls.get("cert_file") and tls.get("key_file"), place, "cert_file or key_file is missing")
    verify = _CLIENT_AUTH.get(str(tls.get("client_auth_type", "NoClientCert")), "")
    oldest = _TLS_VERSIONS.get(str(tls.get("min_version", "TLS12")), "")
    text = f"client_auth_type is one of {', '.join(_CLIENT_AUTH)}; min_version TLS12 or TLS13"
    _check(verify and oldest, place, text)
    # an authority without a required client certificate would leave the endpoint open: Prometheus refuses it, too
    is_asked = verify != "CERT_NONE"
    text = "client_ca_file needs a client_auth_type that asks for certificates, and it one"
    _check(is_asked is bool(tls.get("client_ca_file")), place, text)
    files = [folder / str(tls[name]) for name in _TLS_FILES if tls.get(name)]

    import ssl

    def make() -> SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = getattr(ssl.TLSVersion, oldest)
        context.load_cert_chain(files[0], files[1])
        if is_asked:
            context.load_verify_locations(files[2])
        context.verify_mode = getattr(ssl, verify)
        return context

    access.needs_certificate = verify == "CERT_REQUIRED"
    try:
        # a context fails where gevent has replaced Python's sockets since
        access.tls = _Reread(files, make, lambda: ssl.SSLSocket)
    except (OSError, ValueError) as error:
        text = f"{place}: the certificate cannot be used: {type(error).__name__}: {error}"
        raise AccessError(text) from error


def _check(is_right: object, place: str, text: str) -> None:
    if not is_right:
        raise AccessError(f"{place}: {text}")


def _readable(variable: str, path: Path) -> Path:
    is_readable = os.access(path, os.R_OK) and path.is_file()
    _check(is_readable, variable, f"{path} cannot be read: the endpoint stays closed")
    return path


def _without_port(host: str) -> str:
    """Return the name of a `Host`, in lower case, without port and final dot; itself if it is none."""
    found = _HOST.fullmatch(host.strip().lower())
    return host.strip().lower() if found is None else found[1] or found[2] or ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
