"""Reads a SpanContext for every span, and suppresses instrumentation.

OpenTelemetry's SpanContext (1.45) is a tuple whose properties cost a call each. That is a layout, not an API: where a
release has another one, the properties are read; requests are counted the same, for some 0.1 us more a span.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from slotel.runtime.upstream.probe import Probe

_SUPPRESS: Final = Probe(
    "opentelemetry.context", "_SUPPRESS_INSTRUMENTATION_KEY",
    why="slotel's own requests to Sentry are no requests of the app",
    without="requests to Sentry may be traced by an instrumentation of urllib3",
)  # fmt: skip


def suppress_instrumentation() -> Any:
    """Suppress instrumentation in this context; return the token for `opentelemetry.context.detach`."""
    keys = ("suppress_instrumentation", _SUPPRESS.of(otel_context))
    context = otel_context.get_current()
    for key in filter(None, keys):
        context = otel_context.set_value(key, True, context)
    return otel_context.attach(context)


def is_tuple() -> bool:
    """Return whether a SpanContext is (trace id, span id, is remote, flags, state, is valid)."""
    made: Any = SpanContext(
        1, 2, is_remote=False, trace_flags=TraceFlags(1), trace_state=(state := TraceState())
    )
    return isinstance(made, tuple) and tuple(made) == (1, 2, False, 1, state, True)


_IS_TUPLE: Final = is_tuple()

trace_id_of: Final[Callable[[Any], int]] = itemgetter(0) if _IS_TUPLE else attrgetter("trace_id")
span_id_of: Final[Callable[[Any], int]] = itemgetter(1) if _IS_TUPLE else attrgetter("span_id")
is_remote: Final[Callable[[Any], bool]] = itemgetter(2) if _IS_TUPLE else attrgetter("is_remote")
flags_of: Final[Callable[[Any], int]] = itemgetter(3) if _IS_TUPLE else attrgetter("trace_flags")
