"""Checks what slotel's own spans depend on: private names of OpenTelemetry, and the code that they imitate.

Where a name is missing or the code has changed, the SDK makes its own spans: slower, nothing else, said once. What
counts is the code, not a version: a release of the SDK that leaves it as it was changes nothing here.

`tracing/fast/span.py` has the slots of the SDK's span by their names (`_name`, `_attributes`, …), so that what it
inherits finds them.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from types import CodeType, FunctionType
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import id_generator, sampling
from opentelemetry.trace import SpanContext

from slotel.runtime.upstream.otel.context import is_tuple
from slotel.runtime.upstream.probe import SLOWER, Probe

SPANS: Final = "SLOTEL_SPANS"
_WITHOUT: Final = "slotel uses the OpenTelemetry SDK's spans, which cost more"


def _probe(where: str, name: str, why: str, without: str = _WITHOUT) -> Probe:
    return Probe(where, name, why=why, without=without, level=SLOWER)


_SPAN_KEY: Final = _probe(
    "opentelemetry.trace.propagation", "_SPAN_KEY",
    "where a context holds its span: the public functions cost three calls each",
)  # fmt: skip
_CLEAN: Final = _probe(
    "opentelemetry.attributes", "_clean_attribute_value", "the SDK's own cleaning of an attribute's value"
)
_NO_METRICS: Final = _probe(
    "opentelemetry.sdk.trace._tracer_metrics", "NoOpTracerMetrics",
    "what a tracer has when the SDK's metrics about itself are off",
)  # fmt: skip
_LIMITS: Final = _probe("opentelemetry.sdk.trace:Tracer", "_span_limits", "the limits of a tracer's spans")
SCOPE: Final = _probe(
    "opentelemetry.sdk.trace:Tracer", "_instrumentation_scope", "the instrumentation scope of a tracer's spans",
)  # fmt: skip
_METRICS: Final = _probe(
    "opentelemetry.sdk.trace:Tracer", "_tracer_metrics", "the SDK's metrics about itself count our spans, too"
)
_CONFIG: Final = _probe(
    "opentelemetry.sdk.trace:Tracer", "_tracer_config", "a tracer may be disabled while it is used"
)
_NEW_LINKS: Final = _probe("opentelemetry.sdk.trace:Span", "_new_links", "the links of a span, bounded")
_READABLE: Final = _probe("opentelemetry.sdk.trace:Span", "_readable_span", "the copy of a span that ended")
_CONTEXT: Final = Probe(
    "opentelemetry.sdk.trace:ReadableSpan", "_context",
    why="a server span has the ids of the one that slotel made for the request before the framework did",
    without="what code around a framework does before the framework's span begins is not in its trace",
)  # fmt: skip
USE_SPAN: Final = _probe(
    "opentelemetry.trace", "use_span",
    "most instrumentations make their span the current one by it: a generator, with ten calls",
    "each request costs 3 us more; an exception whose text fails is hidden by the error of its text",
)  # fmt: skip

SPAN_KEY: Final[Any] = _SPAN_KEY.load()
clean: Final[Callable[[Any, int | None], Any]] = _CLEAN.load()
NOT_COUNTING: Final[Any] = _NO_METRICS.load()
new_links: Final[Callable[[Any, Any], Any]] = _NEW_LINKS.of(sdk.Span)
readable_span: Final[Callable[[Any], sdk.ReadableSpan]] = _READABLE.of(sdk.Span)
is_enabled: Final[Any] = property(attrgetter(f"{_CONFIG.name}.is_enabled"))
"""A property for tracers, read at each span without a Python call."""

TRACE_LOG: Final = logging.getLogger("opentelemetry.sdk.trace")
ATTRIBUTES_LOG: Final = logging.getLogger("opentelemetry.attributes")
"""Loggers of the SDK, for warnings about misuse that are the SDK's."""


def take_context(span: Any, context: SpanContext | None) -> bool:
    """Give a span that starts the ids and the sampling decision of another one, in whose place it stands.

    Return whether that was possible.
    """
    return _CONTEXT.put(span, context)


@functools.cache
def can_take_context() -> bool:
    """Return whether `take_context` works with the SDK that is installed."""
    return take_context(sdk.ReadableSpan(""), None)


def span_in(context: Context | None = None) -> Any:
    """Return the span of a context, the current one's without one; None if it has none."""
    if SPAN_KEY is None:
        span = trace.get_current_span(context)
        return None if span is trace.INVALID_SPAN else span
    return (get_current() if context is None else context).get(SPAN_KEY)


def adopt(tracer: Any, kind: type[sdk.Tracer]) -> None:
    """Make a tracer of the SDK one of this kind, which reads some of its attributes by public names."""
    tracer.span_limits, tracer.scope, tracer.sdk_metrics = (
        getattr(tracer, each.name) for each in (_LIMITS, SCOPE, _METRICS)
    )
    tracer.has_sdk_metrics = type(tracer.sdk_metrics) is not NOT_COUNTING
    tracer.__class__ = kind


def _lacks_a_name(tracer: Any) -> bool:
    """Whether a name is missing; its probe has logged that."""
    found = [SPAN_KEY, clean, NOT_COUNTING, new_links, readable_span]
    found += [each.of(tracer) for each in (_LIMITS, SCOPE, _METRICS, _CONFIG)]
    return any(each is None for each in found)


IMITATED: Final[tuple[tuple[Any, tuple[str, ...]], ...]] = (
    (
        sdk.Tracer,
        ("start_span", "start_as_current_span"),
    ),
    (
        sdk.Span,
        (
            "__init__", "set_attribute", "set_attributes", "_add_event", "add_event", "_add_link", "add_link",
            "update_name", "is_recording", "set_status", "start", "end", "__exit__", "record_exception",
            "_readable_span",
        ),
    ),
    (sdk.ReadableSpan, ("attributes", "events", "links", "status")),
    (sampling.ParentBased, ("should_sample",)),
    (sampling.TraceIdRatioBased, ("should_sample",)),
    (id_generator.RandomIdGenerator, ("generate_span_id", "generate_trace_id")),
    (trace, ("use_span",)),
)  # fmt: skip
"""The code that `tracing/fast` imitates; `tests/runtime/tracing/test_lean_span.py` compares both."""

TESTED: Final = frozenset({"eb46e2a452e77a0a"})
"""Fingerprints of the code that the tests were run on. Add one by `python -m slotel.runtime.upstream.otel.spans`."""


def reason_for_sdk_spans(environ: Mapping[str, str], tracer: sdk.Tracer) -> str | None:
    """Return why the SDK is to make its own spans; None if slotel's own may be made.

    Args:
        tracer: one of the SDK's.
    """
    if environ.get(SPANS, "").strip().lower() == "sdk":
        return f"{SPANS}=sdk"
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "the GIL is disabled, and slotel's own spans are not proven there yet"
    if not is_tuple():
        return "a SpanContext has another layout in this release of the OpenTelemetry API"
    if _lacks_a_name(tracer):
        return "a private name that they stand on is gone"
    if fingerprint() not in TESTED:
        return "what they imitate has changed in this release of the OpenTelemetry SDK"
    return None


def fingerprint() -> str | None:
    """Return what identifies the imitated code; None where a part of it, or its source, is gone."""
    digest, cached = hashlib.sha256(), set(linecache.cache)
    try:
        for owner, names in IMITATED:
            for name in names:
                function = _function(owner, name)
                text = "".join(_source(function.__code__)) if function is not None else ""
                if not text:
                    return None
                digest.update(text.encode())
    finally:
        for file in linecache.cache.keys() - cached:  # whole modules, for as long as the process lives
            linecache.cache.pop(file, None)
    return digest.hexdigest()[:16]


def _function(owner: Any, name: str) -> FunctionType | None:
    found: Any = getattr(owner, name, None)
    if isinstance(found, property):
        found = found.fget
    while (inner := getattr(found, "__wrapped__", None)) is not None:
        found = inner
    return found if isinstance(found, FunctionType) else None


def _source(code: CodeType) -> Iterator[str]:
    """Yield a function's lines without comments and blank lines: `inspect` would parse the whole module."""
    lines = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :]
    base = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    is_inside = False
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if is_inside and len(line) - len(line.lstrip()) <= base and not text.startswith(")"):
            return
        is_inside = is_inside or text.startswith(("def ", "async def "))
        yield text + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"{fingerprint()}\n")
