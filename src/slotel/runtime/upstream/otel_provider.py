"""What a tracer provider of OpenTelemetry's SDK holds, and has no public name for: its processors, its tracers.

`TracerProvider._active_span_processor`, to put the pipeline before every exporter; where it is gone, the one attribute
that is a span processor. `TracerProvider._tracers`, for tracers that were made before slotel started; where it is gone,
the tracers among all objects, looked for once.
"""

from __future__ import annotations

import gc
from typing import Any, Final

from opentelemetry.sdk.trace import SpanProcessor, Tracer, TracerProvider

_ACTIVE: Final = "_active_span_processor"
_TRACERS: Final = "_tracers"


def active_processor(provider: TracerProvider) -> tuple[str, Any] | None:
    """Return the name and value of the attribute that holds what the provider calls for each span; None if unknown."""
    found = getattr(provider, _ACTIVE, None)
    if found is not None:
        return _ACTIVE, found
    held = [(name, value) for name, value in vars(provider).items() if isinstance(value, SpanProcessor)]
    return held[0] if len(held) == 1 else None


def standing_tracers(provider: TracerProvider) -> list[Any]:
    """Return the tracers that the provider has made: whoever asked for one holds it."""
    known = getattr(provider, _TRACERS, None)
    if isinstance(known, dict):
        return list(known.values())
    found = active_processor(provider)
    return [
        each
        for each in gc.get_objects()
        if isinstance(each, Tracer)
        and found is not None
        and getattr(each, "span_processor", None) is found[1]
    ]
