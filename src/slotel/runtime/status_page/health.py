"""What the page says of slotel itself: what it sends where, what was lost, its workers, its series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from slotel.config import names
from slotel.runtime.metrics.store.store import Family
from slotel.runtime.setup.exporters import otlp_place
from slotel.runtime.status_page.deliveries import SENTRY, Last

if TYPE_CHECKING:
    from slotel.runtime.metrics.workers.by_worker import Worker
    from slotel.runtime.state import Runtime

MOST_SERIES: Final = 6
CLOSE: Final = 0.8
"""Share of the bound from which on a metric's series are worth a look."""


class Sentry(NamedTuple):
    """Sentry's state, over all processes.

    Args:
        waiting: envelopes that are not sent yet; None where the mode does not say.
        delivered: unix seconds of the last delivery; None if there was none.
        errors: (project, environment) → error events handed over.
    """

    destination: str
    mode: str
    waiting: int | None
    delivered: float | None
    errors: Mapping[tuple[str, ...], float]


class Otlp(NamedTuple):
    """A signal that is sent by OTLP.

    Args:
        address: without user and password.
        delivered, failed: unix seconds of the last delivery of any process, and of a failure since; None without.
    """

    signal: str
    address: str
    delivered: float | None
    failed: float | None


class Series(NamedTuple):
    """How many series a metric has, of how many it may have."""

    metric: str
    number: int
    bound: int


def counts(families: Iterable[Family], name: str) -> dict[tuple[str, ...], float]:
    """Return the series of a counter that are not 0, largest first."""
    found = {
        labels: float(numbers[0])
        for family in families
        if family.name == name
        for labels, numbers in family.series.items()
        if numbers[0] and len(labels) == len(family.label_names)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def sentry(runtime: Runtime, families: Iterable[Family], lasts: Mapping[str, Last]) -> Sentry | None:
    """Return Sentry's state; None without a DSN."""
    if runtime.sentry is None:
        return None
    last = lasts.get(SENTRY, Last())
    return Sentry(
        runtime.sentry.describe(),
        runtime.service.sentry.mode,
        last.waiting,
        last.delivered,
        counts(families, names.SENTRY_ERRORS),
    )


def otlp(environ: Mapping[str, str], lasts: Mapping[str, Last]) -> list[Otlp]:
    """Return what the environment sends by OTLP."""
    found = []
    for signal in ("traces", "metrics", "logs"):
        if "otlp" in environ.get(f"OTEL_{signal.upper()}_EXPORTER", ""):
            scheme, place = otlp_place(environ, signal.upper())
            known = lasts.get(signal, Last())
            found.append(Otlp(signal, f"{scheme}://{place}", known.delivered, known.failed))
    return found


def workers(runtime: Runtime) -> list[Worker]:
    """Return the living processes of the service, with what each counted; none where nobody can be seen."""
    return runtime.by_worker.workers() if runtime.by_worker is not None else []


def series(runtime: Runtime, families: Iterable[Family]) -> list[Series]:
    """Return the metrics of slotel's own store with most series."""
    bounded = {
        name for table in tuple(runtime.store.tables) for name in (table.shape.name, table.shape.count_name)
    }
    bound = runtime.service.max_series
    counted = [
        Series(family.name, len(family.series), bound) for family in families if family.name in bounded
    ]
    return sorted((each for each in counted if each.number), key=lambda each: -each.number)[:MOST_SERIES]
