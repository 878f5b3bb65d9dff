"""Counts remote calls that reach no handler, for which no instrumentation makes a span."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from slotel.runtime.requests.served import TRACER
from slotel.runtime.upstream.otel.failure import failed_by, record

_SYSTEM: Final = "grpc"
_NO_METHOD: Final = "_OTHER"
"""Method attribute of a call to an unknown method: names that clients choose have an unbounded cardinality.

Source: OpenTelemetry semantic conventions, RPC spans, Name and `rpc.method`.
"""
_UNKNOWN: Final = 2
_UNIMPLEMENTED: Final = 12


def count_refused_call(method: object, metadata: Iterable[Any] | None, error: Exception | None) -> None:
    """Count a call that gRPC rejects before a handler runs.

    Args:
        metadata: pairs of name and value.
        error: in flight: what was raised while the handler was looked for; None where there is none.
    """
    parent = propagate.extract(dict(metadata or ()), Context())
    attributes: dict[str, Any] = {
        "rpc.system": _SYSTEM,
        "rpc.method": _NO_METHOD,
        "rpc.method_original": str(method),
        "rpc.grpc.status_code": _UNIMPLEMENTED if error is None else _UNKNOWN,
    }
    span = trace.get_tracer(TRACER).start_span(_SYSTEM, parent, SpanKind.SERVER, attributes)
    if error is not None:
        record(span, error)
    span.set_status(StatusCode.ERROR if error is None else failed_by(error))
    span.end()
