"""Tracers and meters of the SDK as pickles: in another process they are its own, by the name of their scope.

Without an SDK an app that holds a tracer can be copied and pickled: it is a plain object of the API's. The SDK's have
locks.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Meter
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from slotel.runtime.upstream.otel.spans import SCOPE
from slotel.runtime.upstream.probe import Probe

Pickled = tuple[Callable[..., Any], tuple[Any, ...]]
"""What makes an object anew, and its arguments: what `__reduce__` returns."""

_SCOPE_OF_METER: Final = Probe(
    "opentelemetry.sdk.metrics:Meter",
    "_instrumentation_scope",
    why="a meter is pickled by its scope",
    without="an app that holds one cannot be pickled (Ray Serve pickles instrumented FastAPI apps)",
    level=None,  # asked only for a pickle
)


def pickle_by_scope() -> None:
    """Pickle and copy the SDK's own tracers and meters by their scopes, from now on."""
    copyreg.pickle(Tracer, lambda tracer: tracer_by(SCOPE.of(tracer)))
    copyreg.pickle(Meter, lambda meter: meter_by(_SCOPE_OF_METER.of(meter)))


def tracer_by(scope: InstrumentationScope) -> Pickled:
    """Return what gives the tracer of a scope in any process that has OpenTelemetry's API."""
    return trace.get_tracer, (scope.name, scope.version, None, scope.schema_url, _plain(scope))


def meter_by(scope: InstrumentationScope) -> Pickled:
    """Return what gives the meter of a scope in any process that has OpenTelemetry's API."""
    return metrics.get_meter, (scope.name, scope.version or "", None, scope.schema_url, _plain(scope))


def _plain(scope: InstrumentationScope) -> dict[str, Any] | None:
    return dict(scope.attributes) if scope.attributes else None
