"""Which instrumentations are at work in this process, by OpenTelemetry's private name of their single instances.

Without that name nothing is listed: the status page then says less.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]


def active_instrumentations() -> tuple[str, ...]:
    """Return the names of the instrumentations that are on, sorted: `flask`, `urllib3`."""
    on = {
        type(instance).__name__.removesuffix("Instrumentor").lower()
        for kind in _kinds(BaseInstrumentor)
        if (instance := kind.__dict__.get("_instance")) is not None
        and getattr(instance, "is_instrumented_by_opentelemetry", False)
    }
    return tuple(sorted(on))


def _kinds(kind: Any) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)
