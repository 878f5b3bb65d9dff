"""A Sentry that only listens: takes envelopes on loopback, counts them, misbehaves when told; no disk."""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import ssl
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

from slotel.cli.sink import page as sink_page
from slotel.cli.sink.envelope import Envelope, parse_envelope, unpacked
from slotel.cli.sink.http import HttpWire, Request, answer_bytes

if TYPE_CHECKING:
    from typing_extensions import Self

Fault = Literal[
    "none", "429", "hang", "slow", "5xx", "500", "403", "407", "413", "reset", "close", "chunked", "refuse"
]  # fmt: skip
"""The faults that the sink simulates.

429, 403, 407, 413, 500: refuse with that status. 5xx: with 503. hang: read, never answer. slow: answer one byte a
second. reset: read, then cut the connection. refuse: nothing listens. close, chunked: accept, but answer with
`Connection: close`, or with a chunked body. Only what is accepted is counted among the items; the rest counts as
`faulted`.
"""

_LOSES = frozenset({"429", "403", "407", "413", "500", "5xx", "hang", "reset"})
_KEY = "0123456789abcdef0123456789abcdef"


class SentrySink:
    """A loopback server that speaks Sentry's envelope endpoint; start it with `with SentrySink() as sink:`.

    Args:
        port: 0 takes a free one.
        keep: how many of the latest envelopes (and of the other requests) stay readable.
        tls: serve https with this server-side context.

    Every count is safe to read from any thread. GET `/stats` answers `stats()` as JSON, GET `/` a page.
    """

    def __init__(self, port: int = 0, *, keep: int = 10_000, tls: ssl.SSLContext | None = None) -> None:
        self.envelopes: deque[Envelope] = deque(maxlen=keep)
        self.others: deque[Request] = deque(maxlen=keep)
        """Requests to other paths, such as OTLP; they get 200 and `{}`."""
        self._counts: Counter[str] = Counter()
        self._fault: Fault = "none"
        self._fault_headers: Mapping[str, str] = {}
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        self._closed = False
        self._tls = tls
        self._listener: socket.socket | None = None
        self._port = port
        self._listen()

    # What a test or the demo asks

    @property
    def port(self) -> int:
        """The port, also while `refuse` keeps it shut."""
        return self._port

    @property
    def url(self) -> str:
        """Its URL, without a trailing slash: `http://127.0.0.1:4711`."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def dsn(self, project: int | str = 1) -> str:
        """Return a DSN for one project of this sink."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{_KEY}@{rest}/{project}"

    @property
    def transactions(self) -> int:
        """Number of accepted transactions."""
        return self._counts["transaction"]

    @property
    def events(self) -> int:
        """Number of accepted error events."""
        return self._counts["event"]

    @property
    def spans(self) -> int:
        """Number of accepted spans: each transaction's own one and its children."""
        return self._counts["spans"]

    def stats(self) -> dict[str, int]:
        """Return the counts: connections, requests, bytes, envelopes, spans, malformed, faulted, items."""
        with self._changed:
            return dict(self._counts)

    def payloads(self, kind: str) -> list[Any]:
        """Return the payloads of one item type out of the kept envelopes, oldest first."""
        with self._changed:
            return [payload for envelope in self.envelopes for payload in envelope.of_type(kind)]

    def page(self) -> str:
        """Return what was received as a page for a person."""
        events, transactions = self.payloads("event"), self.payloads("transaction")
        return sink_page.page(self.dsn(), self.stats(), events, transactions)

    def wait_for(self, predicate: Callable[[SentrySink], object], timeout: float = 30.0) -> bool:
        """Return whether the predicate came true within `timeout` seconds; it is asked after each request."""
        with self._changed:
            return bool(self._changed.wait_for(lambda: predicate(self), timeout))

    def clear(self) -> None:
        """Forget what was received and counted."""
        with self._changed:
            self.envelopes.clear()
            self.others.clear()
            self._counts.clear()

    def set_fault(self, fault: Fault, headers: Mapping[str, str] | None = None) -> None:
        """Misbehave from now on; `none` heals.

        Args:
            headers: more headers for each answer (default for 429: `Retry-After: 1`); with `none` too,
                as in `set_fault("none", {"X-Sentry-Rate-Limits": "60:transaction:key"})`.

        Raises:
            ValueError: there is no such fault.
        """
        if fault not in get_args(Fault):
            raise ValueError(f"unknown fault {fault!r}: one of {', '.join(get_args(Fault))}")
        default = {"Retry-After": "1"} if fault == "429" else {}
        with self._changed:
            self._fault, self._fault_headers = fault, default if headers is None else headers
            self._changed.notify_all()
        if fault == "refuse":
            self._hang_up()
        elif self._listener is None and not self._closed:
            self._listen()

    def close(self) -> None:
        """Stop listening and cut every connection; safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Connections

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="sink-accept", daemon=True).start()

    def _hang_up(self) -> None:
        with self._changed:
            sockets = [*self._connections, *([self._listener] if self._listener else [])]
            self._listener = None
        for each in sockets:
            # shutdown wakes the thread that is blocked in accept or recv; close alone does not
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="sink", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._changed:
            if self._closed or self._fault == "refuse":
                connection.close()  # accepted just before the listener went
                return
            self._connections.add(connection)
            self._counts["connections"] += 1
        stream = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with self._changed:
                self._connections.add(stream)
            wire = HttpWire(stream)
            while (request := wire.read()) is not None:
                if not self._answer(stream, request):
                    break
            stream.close()
        except (OSError, ValueError):
            with self._changed:
                self._counts["broken"] += 1
        finally:
            with self._changed:
                self._connections.difference_update({connection, stream})
            connection.close()

    # One request

    def _answer(self, stream: socket.socket, request: Request) -> bool:
        """Answer one request; return whether the connection stays open."""
        if request.target == "/stats":
            stream.sendall(answer_bytes(200, json.dumps(self.stats()).encode()))
            return True
        if request.target == "/" and request.method == "GET":
            stream.sendall(answer_bytes(200, self.page().encode(), sink_page.HEADERS))
            return True
        with self._changed:
            fault, extra = self._fault, self._fault_headers
        status, body = self._take(request, fault)
        keep = request.keep_alive and fault != "close"
        answer = answer_bytes(status, body, extra, keep_alive=keep, chunked=fault == "chunked")
        if fault == "hang":
            self._until_healed(fault)
            return False
        if fault == "reset":
            return False
        if fault == "slow":
            self._drip(stream, answer, fault)
        else:
            stream.sendall(answer)
        return keep

    def _take(self, request: Request, fault: Fault) -> tuple[int, bytes]:
        """Count one request and keep what it holds; return the status and the body of the answer."""
        envelope: Envelope | None = None
        status, body = 200, b"{}"
        path = urlsplit(request.target).path
        is_envelope = path.startswith("/api/") and path.rstrip("/").endswith("/envelope")
        if fault in _LOSES:
            status, body = (int(fault) if fault.isdigit() else 503), b'{"detail":"a fault on purpose"}'
        elif is_envelope:
            try:
                envelope = parse_envelope(
                    unpacked(request.body, request.headers.get("content-encoding", "")), path.split("/")[2]
                )
                body = json.dumps({"id": envelope.header.get("event_id")}).encode()
            except ValueError as error:
                status, body = 400, json.dumps({"detail": str(error)}).encode()
        with self._changed:
            self._count(request, envelope, status)
            if status == 200 and not is_envelope:  # noqa: PLR2004 - HTTP
                self.others.append(request)
            self._changed.notify_all()
        return status, body

    def _count(self, request: Request, envelope: Envelope | None, status: int) -> None:
        counts = self._counts
        counts["requests"] += 1
        counts["bytes"] += len(request.body)
        if status == 400:  # noqa: PLR2004 - HTTP
            counts["malformed"] += 1
        elif status != 200:  # noqa: PLR2004 - HTTP
            counts["faulted"] += 1
        if envelope is None:
            return
        counts["envelopes"] += 1
        self.envelopes.append(envelope)
        for header, payload in envelope.items:
            counts[str(header.get("type"))] += 1
            if header.get("type") == "transaction" and isinstance(payload, dict):
                counts["spans"] += 1 + len(payload.get("spans") or ())

    def _until_healed(self, fault: Fault, timeout: float | None = None) -> bool:
        """Wait while this fault lasts; return whether it ended within the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or self._fault != fault, timeout)

    def _drip(self, stream: socket.socket, answer: bytes, fault: Fault) -> None:
        for at in range(len(answer)):
            if self._until_healed(fault, timeout=1.0 if at else 0.0):
                stream.sendall(answer[at:])
                return
            stream.sendall(answer[at : at + 1])


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    made = argparse.ArgumentParser(
        prog="slotel sink",
        description="Run a local Sentry: it receives what an app sends, and shows it on a page. Nothing is stored.",
    )
    made.add_argument("--port", type=int, default=0, help="0 takes a free one")
    made.add_argument("--keep", type=int, default=100, help="how many envelopes stay in memory")
    made.add_argument(
        "--fault", default="none", choices=get_args(Fault), help="misbehave, to test how an app reacts"
    )
    made.add_argument(
        "--json", action="store_true", help="print one JSON line (default when the output is not a terminal)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; say first where: in words on a terminal, else as a line of JSON."""
    options = parser().parse_args(arguments)
    with SentrySink(options.port, keep=options.keep) as sink:
        if options.json or not sys.stdout.isatty():
            text = json.dumps({"port": sink.port, "dsn": sink.dsn(), "page": f"{sink.url}/"})
        else:
            text = f"export SENTRY_DSN={sink.dsn()}\nWhat arrives is shown at {sink.url}/ (Ctrl+C ends it)"
        print(text, flush=True)  # noqa: T201 the caller reads it
        sink.set_fault(options.fault)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    raise SystemExit(main())
