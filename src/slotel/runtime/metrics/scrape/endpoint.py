"""The scrape endpoint: a daemon thread that serves `/metrics`, or is on standby for the process that does.

The process that binds the port first serves it. If another process of the service has the port, this one is on
standby and tries again. If the first process of a service finds the port in use, it logs that once. The thread is
stopped before a fork and started on both sides after it, so that a prefork master forks with one thread. A forked child
closes the inherited sockets.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from slotel.runtime.finding import log
from slotel.runtime.logs import LOG
from slotel.runtime.metrics.scrape.exposition import OPENMETRICS, TEXT, Exposition
from slotel.runtime.metrics.scrape.http import port as ports
from slotel.runtime.metrics.scrape.http.access import Access
from slotel.runtime.metrics.scrape.http.connection import Answer, Request, plain
from slotel.runtime.metrics.scrape.http.negotiate import wants_gzip, wants_openmetrics
from slotel.runtime.metrics.scrape.http.server import DescriptorsClosedError, Server
from slotel.runtime.metrics.scrape.merge import unite
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.process.descriptors import Waker
from slotel.runtime.process.gil_yielder import yield_gil, yielding
from slotel.runtime.process.lifecycle import PROCESS
from slotel.runtime.process.threads import ForkSafeThread

STANDBY_SECONDS: Final = 0.25
"""Between two tries of a process on standby: another answers within this after the holder's death."""
RETRY_SECONDS: Final = 1.0
"""Between two tries when another service has the port."""
BUSY_SECONDS: Final = 0.0005
"""A scrape holds the GIL about this long before it yields."""
REST_SECONDS: Final = 0.001
"""Long enough for a waiting thread to be scheduled; after a shorter sleep this thread would get the GIL back."""
_GZIP: Final = 31
"""zlib's window bits for a gzip header."""

Source = Callable[[], Iterable[Family]]
Page = Callable[[], Answer]


class Endpoint:
    """Serves `/metrics`, `/healthz` and the given pages.

    Args:
        host, port: port 0 lets the system choose; `port` then says which.
        sources: return families; a fault in one is counted, and only its families are missing.
        target: the resource's attributes, for `target_info`.
        pages: more paths, rendered on each request.
        scraped: called with the families of each scrape.
        sibling: whether this process has joined a running service: it is on standby without a log line then.
        fault: called with component and exception; never raises.
        dropped: called with signal and reason of what is left out.
        chore: called on the thread in each turn; returns after how many seconds to call it again.
        access: checks requests; default: requests whose `Host` is loopback or an address are allowed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        sources: Sequence[Source],
        *,
        target: Mapping[str, Any] | None = None,
        pages: Mapping[str, Page] | None = None,
        scraped: Callable[[Sequence[Family]], None] = lambda _families: None,
        sibling: Callable[[], bool] = lambda: False,
        fault: Callable[[str, BaseException], None] = lambda *_: None,
        dropped: Callable[[str, str], None] = lambda *_: None,
        chore: Callable[[], float | None] = lambda: None,
        access: Access | None = None,
    ) -> None:
        self.host, self.port = host, port
        self._sources, self._pages, self._scraped = tuple(sources), dict(pages or {}), scraped
        self._sibling, self._fault, self._dropped, self._chore = sibling, fault, dropped, chore
        self._exposition = Exposition(target)
        self._access = access or Access()
        self._server = Server(self._answers, self._access.wrap)
        self._complained: set[str] = set()
        self._said: int | None = None
        self._forked = False
        self._next_try = 0.0
        self._busy_until = 0.0
        self._running = False
        self._stop = threading.Event()
        self._waker: Waker | None = None
        self._thread = ForkSafeThread("slotel-scrape", self._run, self._wake)

    # -- life --------------------------------------------------------------------------------------------------

    @property
    def holds_port(self) -> bool:
        """Return whether this process serves the port; at most one process of a service does."""
        return bool(self._server.listeners)

    @property
    def address(self) -> str:
        """Return the address of the metrics, as a person would type it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self._access.tls is None else "https"
        return f"{scheme}://{host}:{self.port}/metrics"

    @property
    def page_address(self) -> str:
        """Return the address of the status page, as a person would type it."""
        return self.address.removesuffix("metrics")

    def start(self) -> None:
        """Bind the port, or go on standby, and serve; a second call does nothing."""
        if self._running:
            return
        self._running = True
        self._try_port()
        PROCESS.register(
            "endpoint",
            before_fork=self._thread.pause,
            after_fork_in_parent=self._thread.resume,
            after_fork_in_child=self._begin_in_child,
            before_exit=self.stop,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and release the port."""
        self._running = False
        self._thread.stop()
        self._server.close()

    def _wake(self) -> None:
        waker = self._waker
        if waker is not None:
            waker.wake()

    def _begin_in_child(self) -> None:
        """Close the parent's port and connections on this side, and go on standby."""
        self._server.close()
        self._forked = True
        waker, self._waker = self._waker, None
        if waker is not None:  # of a parent's thread that did not stop in time
            waker.close_in_child()
        self._thread.resume_in_child()

    def _run(self, stop: threading.Event) -> None:
        """Serve; rendering looks between its slices whether to stop, so that a fork waits for milliseconds."""
        self._stop = stop
        while not stop.is_set():
            try:
                waker = self._waker = Waker()
                try:
                    with yielding(self._rest):
                        self._server.run(stop.is_set, waker, self._turn)
                finally:
                    waker.close()
            except DescriptorsClosedError:  # no fault: the next turn opens new ones
                stop.wait(RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 nothing ends the endpoint
                self._fault("scrape", error)
                stop.wait(RETRY_SECONDS)

    # -- the port ----------------------------------------------------------------------------------------------

    def _turn(self) -> float | None:
        """Do what is due; return when to come back."""
        wait = self._chore()
        if self.holds_port or (time.monotonic() >= self._next_try and self._try_port()):
            return wait
        until = max(self._next_try - time.monotonic(), 0.0)
        return until if wait is None else min(wait, until)

    def _try_port(self) -> bool:
        """Take the port; return whether this process has it now."""
        stands_by = self._forked or self._sibling()
        try:
            self._server.listen(ports.take(self.host, self.port))
        except OSError as error:
            self._next_try = time.monotonic() + (STANDBY_SECONDS if stands_by else RETRY_SECONDS)
            quiet = stands_by and error.errno == errno.EADDRINUSE
            if not quiet and self._said != error.errno:
                self._said = error.errno
                log([ports.explain(error, self.host, self.port)])
            return False
        self.port = next(iter(self._server.listeners)).getsockname()[1]
        if stands_by or self._said is not None:
            LOG.info("process %d now serves %s", os.getpid(), self.address)
        self._said = None
        return True

    # -- answers -----------------------------------------------------------------------------------------------

    def _answers(self, requests: Sequence[Request]) -> list[Answer] | None:
        """Answer requests in order; those that want the same get the same."""
        self._busy_until = time.perf_counter() + BUSY_SECONDS
        made: dict[object, Answer | None] = {}
        answers = []
        for request in requests:
            try:
                refused = self._access.refusal(request)
            except Exception as error:  # noqa: BLE001 a fault ends neither the access check nor the endpoint
                self._fault("scrape", error)
                refused = plain("500 Internal Server Error")
            if refused is not None:
                answers.append(refused)
                continue
            accept, encoding = (request.headers.get(name, "") for name in ("accept", "accept-encoding"))
            is_read = request.method in {"GET", "HEAD"}
            key = is_read, request.path, wants_openmetrics(accept), wants_gzip(encoding)
            if key not in made:
                try:
                    made[key] = self._answer(*key)
                except Exception as error:  # noqa: BLE001 a scrape must not end the endpoint
                    self._fault("scrape", error)
                    made[key] = plain("500 Internal Server Error", type(error).__name__)
            answer = made[key]
            if answer is None:
                return None
            answers.append(answer)
        return answers

    def _answer(self, is_read: bool, path: str, openmetrics: bool, gzip: bool) -> Answer | None:
        if not is_read:
            return plain("405 Method Not Allowed", "", ("Allow", "GET, HEAD"))
        if path == "/metrics":
            return self._metrics(openmetrics, gzip)
        if path == "/healthz":
            return plain("200 OK", "ok")
        page = self._pages.get(path)
        if page is None:
            return plain("404 Not Found", "404 Not Found: the metrics are at /metrics")
        return page()

    def _metrics(self, openmetrics: bool, gzip: bool) -> Answer | None:
        """Return the metrics, or None when the thread must stop."""
        packer = zlib.compressobj(1, wbits=_GZIP) if gzip else None
        body = bytearray()
        families = self.families()
        self._scraped(families)
        for text in self._exposition.render(families, openmetrics=openmetrics):
            data = text.encode("utf-8", "replace")
            body += packer.compress(data) if packer is not None else data
            yield_gil()
            if self._stop.is_set():
                return None
        if packer is not None:
            body += packer.flush()
        encoding = (("Content-Encoding", "gzip"),) if gzip else ()
        return Answer("200 OK", OPENMETRICS if openmetrics else TEXT, body, encoding)

    def _rest(self) -> None:
        """Release the GIL if it is time; not in a child that was forked on this thread."""
        is_stopped = self._stop.is_set() or not self._thread.is_current
        if not is_stopped and time.perf_counter() >= self._busy_until:
            time.sleep(REST_SECONDS)
            self._busy_until = time.perf_counter() + BUSY_SECONDS

    def families(self) -> list[Family]:
        """Return the families of all sources, one for each name."""
        found: list[Family] = []
        for source in self._sources:
            try:
                found.extend(source())
            except Exception as error:  # noqa: BLE001 one source's fault is its own
                self._fault("scrape", error)
        return unite(found, self._complain)

    def _complain(self, name: str) -> None:
        if name not in self._complained:
            self._complained.add(name)
            self._dropped("metrics", "name_collision")
            LOG.warning(
                "metrics: several metrics are named %s: if two have the same series, only the first is served",
                name,
            )
