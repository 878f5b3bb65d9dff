"""A small non-blocking HTTP server on one thread.

`run` returns when it is told to stop; listeners and connections stay open, so that the server can stop before a fork
and continue after it. Requests that are complete at the same time are answered together.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from slotel.runtime.metrics.scrape.http.connection import Answer, Connection, Request
from slotel.runtime.process.descriptors import Identity, Waker, close_own, identity_of

MAX_CONNECTIONS: Final = 128
"""Most open connections; beyond them the oldest one without a complete request is closed."""
MAX_WAITING: Final = 16 * 1024 * 1024
"""Bytes of unsent answers above which the oldest ones are given up; the youngest one is always sent."""
_REST_AFTER_FAULT: Final = 0.1
"""Seconds without accepting when the process has no descriptor left."""

Answerer = Callable[[Sequence[Request]], "Sequence[Answer] | None"]


class DescriptorsClosedError(OSError):
    """The app has closed all descriptors, as a daemon and Celery's beat do when they start."""


class Server:
    """Serves the listeners that it is given.

    Args:
        answerer: answers requests, in order; None when it was interrupted: it will be asked again.
        wrap: makes of an accepted socket what is spoken to: TLS.
    """

    def __init__(self, answerer: Answerer, wrap: Callable[[socket.socket], Any] = lambda peer: peer) -> None:
        self._answerer = answerer
        self._wrap = wrap
        self.listeners: dict[socket.socket, Identity | None] = {}
        self._connections: dict[int, Connection] = {}

    def listen(self, listeners: list[socket.socket]) -> None:
        """Serve these listeners from now on."""
        self.listeners = {each: identity_of(each.fileno()) for each in listeners}

    def run(self, stopped: Callable[[], bool], waker: Waker, chore: Callable[[], float | None]) -> None:
        """Serve until `stopped`.

        Raises:
            DescriptorsClosedError: the app has closed a descriptor that this needs.

        Args:
            waker: woken when `stopped` has changed.
            chore: called on every turn; returns in how many seconds it wants to be called again, at the latest.
        """
        while not stopped():
            wait = chore()
            self._check_descriptors(waker)
            # not epoll: its descriptor would be one more that the app may close
            selector = getattr(selectors, "PollSelector", selectors.SelectSelector)()
            self._register(selector, waker)
            events = selector.select(self._timeout(wait))
            if stopped():
                return
            self._check_descriptors(waker)  # meanwhile a number may have become a file of the app's
            self._handle(events)
            self._answer()
            self._tidy()

    def close(self) -> None:
        """Close listeners and connections: this process's ends of them, unless the app has closed them."""
        for listener, identity in self.listeners.items():
            close_own(listener, identity)
        self.listeners = {}  # anew: the thread that serves may be looking at them
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _check_descriptors(self, waker: Waker) -> None:
        """Close everything if the app has closed a descriptor. Raises DescriptorsClosedError."""
        if (
            not waker.is_usable
            or any(identity_of(each.fileno()) != identity for each, identity in self.listeners.items())
            or any(each.is_lost for each in self._connections.values())
        ):
            self.close()
            raise DescriptorsClosedError

    def _register(self, selector: selectors.BaseSelector, waker: Waker) -> None:
        selector.register(waker, selectors.EVENT_READ, waker)
        for listener in self.listeners:
            selector.register(listener, selectors.EVENT_READ, listener)
        for connection in self._connections.values():
            if connection.state in {"reading", "lingering"}:
                selector.register(connection.peer, selectors.EVENT_READ, connection)
            elif connection.state == "writing":
                selector.register(connection.peer, selectors.EVENT_WRITE, connection)

    def _timeout(self, wait: float | None) -> float | None:
        now = time.monotonic()
        waits = [connection.deadline - now for connection in self._connections.values()]
        if any(connection.state == "asking" for connection in self._connections.values()):
            return 0
        if wait is not None:
            waits.append(wait)
        return max(min(waits), 0) if waits else None

    def _handle(self, events: Sequence[tuple[selectors.SelectorKey, int]]) -> None:
        now = time.monotonic()
        for key, _ in events:
            if isinstance(key.data, Waker):
                key.data.drain()
            elif isinstance(key.data, Connection):
                if key.data.state == "writing":
                    key.data.writable(now)
                else:
                    key.data.readable(now)
            else:  # a listener: of the class that `socket` had before gevent patched it, perhaps
                self._accept(key.data, now)

    def _accept(self, listener: socket.socket, now: float) -> None:
        """Take what waits: those that come together are answered together. A flood must let answers be written."""
        for _ in range(MAX_CONNECTIONS):
            try:
                peer, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                time.sleep(_REST_AFTER_FAULT)
                return
            peer.setblocking(False)
            if len(self._connections) >= MAX_CONNECTIONS and not self._make_room():
                peer.close()
                continue
            try:
                connection = Connection(self._wrap(peer), now)
            except (OSError, ValueError):  # the certificates have gone
                peer.close()
                continue
            self._connections[connection.peer.fileno()] = connection
            connection.readable(now)

    def _make_room(self) -> bool:
        """Close the connection that has not asked for longest; return False where all are being answered."""
        idle = [item for item in self._connections.items() if item[1].state in {"reading", "lingering"}]
        if not idle:
            return False
        number, connection = min(idle, key=lambda item: item[1].since)
        connection.close()
        del self._connections[number]
        return True

    def _bound_memory(self) -> None:
        """Give up the answers that are being read most slowly while too many bytes wait; the youngest one stays."""
        writing = [each for each in self._connections.values() if each.state == "writing"]
        writing.sort(key=lambda each: each.since)
        while len(writing) > 1 and bytes_of(writing) > MAX_WAITING:
            writing.pop(0).close()

    def _answer(self) -> None:
        asking = [
            (connection, connection.request)
            for connection in self._connections.values()
            if connection.state == "asking" and connection.request is not None
        ]
        if not asking:
            return
        answers = self._answerer([request for _, request in asking])
        if answers is None:
            return
        now = time.monotonic()
        for (connection, _), answer in zip(asking, answers, strict=True):
            connection.answer(answer, now)
        self._bound_memory()

    def _tidy(self) -> None:
        now = time.monotonic()
        for number, connection in list(self._connections.items()):
            if connection.state == "done" or (connection.deadline < now and connection.state != "asking"):
                connection.close()
                del self._connections[number]


def bytes_of(writing: Sequence[Connection]) -> int:
    """Return the bytes of all answers; one that several share counts once."""
    return sum({id(each.body): len(each.body) for each in writing}.values())
