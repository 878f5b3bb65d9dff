"""Whether slotel may make its own spans: on an SDK whose spans are, line by line, those that they imitate.

What counts is the code that is imitated, not a version: a release of the SDK that leaves it as it was changes nothing
here. Where it changed, the SDK makes its own spans: slower, nothing else, said once.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import id_generator, sampling

from slotel.runtime.upstream.otel_context import is_tuple

SPANS: Final = "SLOTEL_SPANS"

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
"""What `tracing/fast` does again; `tests/runtime/tracing/test_lean_span.py` holds both side by side."""

TESTED: Final = frozenset({"eb46e2a452e77a0a"})
"""Fingerprints of the code that the tests were run on. Add one by `python -m slotel.runtime.upstream.otel_spans`."""


def why_not(environ: Mapping[str, str]) -> str | None:
    """Return why the SDK is to make its own spans; None if slotel's own may be made."""
    if environ.get(SPANS, "").strip().lower() == "sdk":
        return f"{SPANS}=sdk"
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "the GIL is disabled, and slotel's own spans are not proven there yet"
    if not is_tuple():
        return "a SpanContext has another layout in this release of the OpenTelemetry API"
    if fingerprint() not in TESTED:
        return "what they imitate has changed in this release of the OpenTelemetry SDK"
    return None


def fingerprint() -> str | None:
    """Return what identifies the imitated code; None where a part of it, or its source, is gone."""
    digest = hashlib.sha256()
    for owner, names in IMITATED:
        for name in names:
            function = _function(owner, name)
            text = "".join(_source(function.__code__)) if function is not None else ""
            if not text:
                return None
            digest.update(text.encode())
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
