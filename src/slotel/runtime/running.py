"""What runs in this process: slotel's objects, held together, and which one is current. Wires nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from slotel.model.service import Service
from slotel.runtime.accounts import Accounts
from slotel.runtime.budget.breaches import Watch
from slotel.runtime.budget.incidents import Incidents
from slotel.runtime.budget.meter import Meter
from slotel.runtime.enforce import Enforcer
from slotel.runtime.lifecycle.departure import Part
from slotel.runtime.lifecycle.ticker import Ticker
from slotel.runtime.pipeline import Pipeline
from slotel.runtime.spans.entries import Entries
from slotel.runtime.stage import Follower
from slotel.runtime.store.store import Store

if TYPE_CHECKING:
    from slotel.runtime.instruments.http_metrics import HttpMeterProvider
    from slotel.runtime.scrape.endpoint import Endpoint
    from slotel.runtime.sentry.client import SentryConnection
    from slotel.runtime.stage import Sink
    from slotel.runtime.workers.workers import Workers

UNNAMED: Final = "unknown_service"


@dataclass(slots=True)
class Runtime:
    """slotel at work in this process. `shutdown` flushes what is held."""

    service: Service
    resource: Mapping[str, Any]
    store: Store
    accounts: Accounts
    enforcer: Enforcer
    entries: Entries
    meter: Meter
    watch: Watch
    incidents: Incidents
    pipeline: Pipeline | None = None
    sentry: SentryConnection | None = None
    workers: Workers | None = None
    endpoint: Endpoint | None = None
    ticker: Ticker | None = None
    http_meters: HttpMeterProvider | None = None
    sinks: list[Sink] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    """What is sent at the end of the process, beside what the pipeline's sinks hold."""

    @property
    def service_name(self) -> str:
        """The name that stands on what leaves."""
        return str(self.resource.get("service.name", UNNAMED))

    def flush(self, timeout: float = 2.0) -> bool:
        """Send what is held, within `timeout` seconds; return whether all went out."""
        return self.pipeline.force_flush(int(timeout * 1000)) if self.pipeline is not None else True

    def follow(self, client: Any) -> None:
        """Ship spans by another Sentry client from now on: the app has called `sentry_sdk.init`."""
        for sink in self.pipeline.sinks if self.pipeline is not None else ():
            if isinstance(sink, Follower):
                sink.follow(client)


RUNNING: Final[list[Runtime]] = []
"""The one of this process, or none yet."""


def current() -> Runtime | None:
    """Return this process's runtime, if it was started."""
    return RUNNING[0] if RUNNING else None
