"""The app's own OpenTelemetry instruments, over all processes of the service. Asks the SDK, counts nothing.

The answering process's numbers are those of the moment of the scrape; the others' are as old as their last
publication (`PUBLISH_SECONDS`). What a process counted after its last one is lost when it is killed; a process that
ends in any other way publishes once more. slotel's own metrics are in the store and lose nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData, ScopeMetrics

from slotel.runtime.logs import LOG
from slotel.runtime.metrics.scrape.sources.conversion import Conversion
from slotel.runtime.metrics.scrape.sources.published import (
    SUFFIX,
    combine,
    encode,
    over_processes,
    published,
)
from slotel.runtime.metrics.scrape.sources.redacted import Redact, RedactedFamilies
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.metrics.workers.workers import Workers
from slotel.runtime.process.gil_yielder import yield_gil
from slotel.runtime.process.lifecycle import PROCESS

PUBLISH_SECONDS: Final = 1.0
"""Between two publications of a process that is not alone."""
_SHARE: Final = 50
"""Publishing takes at most one part in this many of a processor's time: what is slow is done more rarely."""
_AT_MOST: Final = 15.0
"""Seconds; a usual scrape interval."""


class _Reader(MetricReader):
    """Keeps what the last collection brought."""

    def __init__(self) -> None:
        super().__init__()
        self._scopes: list[ScopeMetrics] = []

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> None:
        del timeout_millis
        self._scopes = [scope for each in metrics_data.resource_metrics for scope in each.scope_metrics]

    def read(self) -> list[ScopeMetrics]:
        self._scopes = []
        self.collect()
        return self._scopes

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        del timeout_millis


class AppMetrics:
    """Reads the SDK's meter provider, publishes for the others, and adds the others' up.

    Args:
        workers: the service's processes; None where nothing is ever shared.
        fault: told the part's name and the exception.
        dropped: told the signal and the reason of what is left out.
        apart: more metrics of this process, which were not added up by the SDK.
        beside: more families of this process, which are shared and added up as the instruments' are.
        redact: returns attributes without their secrets.
    """

    def __init__(
        self,
        provider: MeterProvider,
        *,
        workers: Workers | None = None,
        fault: Callable[[str, BaseException], None] = lambda *_: None,
        dropped: Callable[[str, str], None] = lambda *_: None,
        apart: Callable[[], Sequence[ScopeMetrics]] = tuple,
        beside: Callable[[], Iterable[Family]] = tuple,
        redact: Redact = lambda attributes: attributes,
    ) -> None:
        self._apart, self._beside = apart, beside
        self._workers, self._fault, self._dropped = workers, fault, dropped
        self._conversion = Conversion(lambda reason: dropped("metrics", reason), self._complain, redact)
        self._redacted = RedactedFamilies(redact)
        self._complained: set[str] = set()
        self._lock = threading.RLock()
        self._reader = _Reader()
        self._next = 0.0
        provider.add_metric_reader(self._reader)
        if workers is not None:
            workers.combine[SUFFIX] = combine
        PROCESS.register(
            "app_metrics",
            before_fork=self._conversion.prepare,
            after_fork_in_child=self._in_child,
            before_exit=self.publish,
            before_child_exit=self.publish,
        )

    def families(self) -> Iterable[Family]:
        """Return the app's metrics of the whole service.

        What this process says is published first: a counter that was seen must not fall when the process dies.
        """
        workers = self._workers
        if workers is None or not workers.is_shared:
            return self._read()
        own = str(os.getpid()), self._publish(workers)
        return over_processes(own, published(workers))

    def publish(self) -> None:
        """Share this process's numbers with the one that answers; never raises."""
        try:
            if self._workers is not None and self._workers.is_shared:
                self._publish(self._workers)
        except Exception as error:  # noqa: BLE001 nothing may reach the app
            self._fault("publish", error)

    def chore(self) -> float | None:
        """Publish when it is due; return in how many seconds it is due again, None in a process that is alone."""
        if self._workers is None or not self._workers.is_shared:
            return None
        if time.monotonic() >= self._next:
            is_first, begun = self._next == 0.0, time.thread_time()
            self.publish()
            taken = time.thread_time() - begun
            # The first one also imports the exporter, which says nothing about the next.
            wait = PUBLISH_SECONDS if is_first else min(max(PUBLISH_SECONDS, taken * _SHARE), _AT_MOST)
            self._next = time.monotonic() + wait
        return max(self._next - time.monotonic(), 0.0)

    def _publish(self, workers: Workers) -> list[Family]:
        with self._lock:
            families = self._read()
            if families:
                workers.share(SUFFIX, encode(families))
        return families

    def _read(self) -> list[Family]:
        with self._lock:
            yield_gil()  # the SDK's own collecting never does
            scopes = [*self._reader.read(), *self._apart()]
            yield_gil()
            return [*self._conversion.convert(scopes), *map(self._redacted, self._beside())]

    def _complain(self, name: str) -> None:
        if name not in self._complained:
            self._complained.add(name)
            self._dropped("metrics", "name_collision")
            LOG.warning(
                "metrics: two instruments of one meter are named %s; only the first one is served", name
            )

    def _in_child(self) -> None:
        self._lock = threading.RLock()
        self._next = 0.0
