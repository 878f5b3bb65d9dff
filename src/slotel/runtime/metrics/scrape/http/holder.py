"""Tells whether the process that serves the port belongs to this service or to another one.

A process on standby sends a random number to `/healthz`. The answer proves knowledge of the service's runtime
directory, which no other service and no other user has.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from slotel.runtime.logs import LOG

PATH: Final = "/healthz"
FIRST_LOOK: Final = 10.0
"""Seconds from the start to the first question: at a restart the former process still has the port."""
LOOK_EVERY: Final = 60.0
REPEAT_EVERY: Final = 3600.0
"""Seconds between two warnings of the same service."""
_PATIENCE: Final = 0.3
"""Seconds within which an answer must be complete."""
_LEAST: Final = 0.001
_NONCE: Final = "slotel-nonce"
_PROOF: Final = "slotel-proof"
_SERVICE: Final = "slotel-service"
_MAX_ANSWER: Final = 16_384
_MAX_NAME: Final = 200
"""Characters of another service's name that a line quotes."""
_SILENT_LOOKS: Final = 3
"""Looks without an answer after which a silent process is another service's: one of this service may be busy."""


class Found(NamedTuple):
    """Who answers; `name` in words."""

    is_ours: bool
    name: str


class PortHolder:
    """Proves who this process is to those on standby; on standby itself, asks which process serves the port.

    Args:
        service: name of this service.
        secret: what the processes of the service know, and nobody else; None: what a fork inherits.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        service: str = "",
        secret: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        inherited = secrets.token_hex(16)
        self._service, self._secret, self._clock = service, secret or (lambda: inherited), clock
        self._next_look = clock() + FIRST_LOOK
        self._silent = 0
        self._warned: tuple[str, float] = ("", 0.0)

    def proof(self, headers: Mapping[str, str], *, named: bool) -> Sequence[tuple[str, str]]:
        """Return the headers that answer a standby's question; none for anybody else's request.

        Args:
            named: whether the service's name may be said to who brings no credentials.
        """
        nonce = headers.get(_NONCE, "")
        if not nonce:
            return ()
        name = self._service.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ")
        return ((_PROOF, self._sign(nonce)), *(((_SERVICE, name),) if named else ()))

    def look(self, host: str, port: int) -> None:
        """Ask which process serves the port if it is time to; warn of another service, and again every hour."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY
        found = self.ask(host, port)
        if found is None:
            self._silent += 1
            if self._silent < _SILENT_LOOKS:
                return
            found = Found(is_ours=False, name="a process that does not answer")
        else:
            self._silent = 0
        if found.is_ours:
            self._warned = ("", 0.0)
        elif found.name != self._warned[0] or now - self._warned[1] >= REPEAT_EVERY:
            self._warned = (found.name, now)
            LOG.warning(
                "metrics: %s serves port %d on %s, where service %r is on standby: scrapes there return another "
                "service's metrics. Set OTEL_EXPORTER_PROMETHEUS_PORT to a free port, or end that process",
                found.name, port, host, self._service,
            )  # fmt: skip

    def ask(self, host: str, port: int) -> Found | None:
        """Return which service answers at a port; None if none does in time."""
        nonce = secrets.token_hex(16)
        question = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n{_NONCE}: {nonce}\r\nConnection: close\r\n\r\n"
        answer = b""
        try:
            with socket.create_connection((_reachable(host), port), timeout=_PATIENCE) as peer:
                peer.sendall(question.encode())
                until = time.monotonic() + _PATIENCE
                while b"\r\n\r\n" not in answer and len(answer) < _MAX_ANSWER:
                    peer.settimeout(max(until - time.monotonic(), _LEAST))
                    data = peer.recv(4096)
                    if time.monotonic() > until:  # a byte now and then: the thread has other work
                        return None
                    if not data:
                        break
                    answer += data
        except TimeoutError:
            return None
        except OSError:
            return Found(is_ours=False, name="a process that is not slotel") if answer else None
        return self._judge(nonce, answer)

    def _judge(self, nonce: str, answer: bytes) -> Found:
        lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        if hmac.compare_digest(headers.get(_PROOF, "").encode(), self._sign(nonce).encode()):
            return Found(is_ours=True, name=self._service)
        if _PROOF not in headers:
            return Found(is_ours=False, name="a process that is not slotel")
        name = headers.get(_SERVICE, "")[:_MAX_NAME]
        return Found(
            is_ours=False, name=f"slotel's service {name!r}" if name else "another service with slotel"
        )

    def _sign(self, nonce: str) -> str:
        return hmac.new(self._secret().encode(), nonce.encode(), "sha256").hexdigest()


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 what is bound, not to bind
