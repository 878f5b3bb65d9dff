"""The private names of OpenTelemetry that slotel's own tracer and span stand on, each with its reason; on which SDK.

On an SDK that is not listed here, or where a name is missing, the SDK makes its own spans: slower, nothing else.

Beside these, `span.py` has the slots of the SDK's span by their names (`_name`, `_attributes`, …), so that what it
inherits finds them, and `tracer.py` reads `_tracer_config`, `_tracer_metrics`, `_span_limits` and
`_instrumentation_scope` of the tracer that it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import context as _context
from opentelemetry.attributes import _clean_attribute_value
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.sdk.trace._tracer_metrics import NoOpTracerMetrics
from opentelemetry.trace.propagation import _SPAN_KEY

SPAN_KEY: Final[str] = _SPAN_KEY
"""Where a context holds its span: `set_span_in_context` and `get_current_span` cost three calls each."""

clean: Final[Callable[[Any, int | None], Any]] = _clean_attribute_value
"""The SDK's own cleaning of an attribute's value."""

NOT_COUNTING: Final = NoOpTracerMetrics
"""What a tracer has when the SDK's metrics about itself are off."""

TRACE_LOG: Final = logging.getLogger("opentelemetry.sdk.trace")
ATTRIBUTES_LOG: Final = logging.getLogger("opentelemetry.attributes")
"""A misuse is told where the SDK tells it."""

_STORE: Final = getattr(_context, "_RUNTIME_CONTEXT")  # noqa: B009 a private name, to mypy and ruff alike
_VARIABLE: Final[Any] = (
    getattr(_STORE, "_current_context") if type(_STORE) is ContextVarsRuntimeContext else None  # noqa: B009
)
current: Final[Callable[[], Context]] = _context.get_current if _VARIABLE is None else _VARIABLE.get
attach: Final[Callable[[Context], Any]] = _context.attach if _VARIABLE is None else _VARIABLE.set
reset: Final[Callable[[Any], None]] = _STORE.detach if _VARIABLE is None else _VARIABLE.reset
"""The context variable itself, where OTEL_PYTHON_CONTEXT chose no other store: two calls less each."""
