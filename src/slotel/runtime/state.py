"""The runtime of this process: slotel's objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from slotel.config.service import Service
from slotel.runtime.budget.breaches import BreachDetector
from slotel.runtime.budget.incidents import Incidents
from slotel.runtime.budget.windows import BudgetWindows
from slotel.runtime.metrics.self_metrics import SelfMetrics
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.process.clock import SteadyClock
from slotel.runtime.process.shutdown import FlushHook, ShutdownFlusher
from slotel.runtime.process.ticker import Ticker
from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.requests.local_roots import OpenSpans
from slotel.runtime.sentry.errors.recent import RecentErrors
from slotel.runtime.tracing.processor import SlotelSpanProcessor

if TYPE_CHECKING:
    from slotel.runtime.metrics.instruments.http_server import HttpServerMetrics
    from slotel.runtime.metrics.scrape.endpoint import Endpoint
    from slotel.runtime.metrics.workers.by_worker import ByWorker
    from slotel.runtime.metrics.workers.workers import Workers
    from slotel.runtime.requests.layers.layer import Server
    from slotel.runtime.sentry.client.client import SentryConnection

UNNAMED: Final = "unknown_service"


@dataclass(slots=True)
class Runtime:
    """slotel's objects in this process."""

    service: Service
    resource: Mapping[str, Any]
    store: Store
    self_metrics: SelfMetrics
    enforcer: Enforcer
    open_spans: OpenSpans
    budget_windows: BudgetWindows
    breach_detector: BreachDetector
    incidents: Incidents
    clock: SteadyClock
    recent_errors: RecentErrors = field(default_factory=RecentErrors)
    pipeline: SlotelSpanProcessor | None = None
    server: Server | None = None
    """Shared by the layers around applications; None if requests are not traced."""
    sentry: SentryConnection | None = None
    workers: Workers | None = None
    by_worker: ByWorker | None = None
    endpoint: Endpoint | None = None
    ticker: Ticker | None = None
    shutdown_flusher: ShutdownFlusher | None = None
    http_server_metrics: HttpServerMetrics | None = None
    flush_hooks: list[FlushHook] = field(default_factory=list)
    """Called at the end of the process, in addition to the sinks."""

    @property
    def service_name(self) -> str:
        """The `service.name` of exported data."""
        return str(self.resource.get("service.name", UNNAMED))

    def flush(self, timeout: float = 2.0) -> bool:
        """Send pending telemetry within `timeout` seconds; return whether everything was sent."""
        return self.pipeline.force_flush(int(timeout * 1000)) if self.pipeline is not None else True


RUNNING: Final[list[Runtime]] = []
"""The runtime of this process; empty before the start."""


def current() -> Runtime | None:
    """Return this process's runtime, if it was started."""
    return RUNNING[0] if RUNNING else None
