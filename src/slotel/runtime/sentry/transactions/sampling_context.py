"""The dynamic sampling context (the `trace` header of an envelope), from which Sentry's server extrapolates. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.sentry.transactions.mapping import transaction_name

_PREFIX: Final = "sentry-"
_BITS: Final = 64
_FRACTION: Final = 1_000_000


def incoming(context: Context | None) -> dict[str, str]:
    """Return the sampling context of the caller's `baggage` header, with decoded values; {} if there is none.

    It is read from the context into which W3CBaggagePropagator puts it.
    """
    if context is None:
        return {}
    return {
        key[len(_PREFIX) :]: str(value)
        for key, value in baggage.get_all(context).items()
        if key.startswith(_PREFIX)
    }


def sampling_context(
    *,
    trace_id: int,
    public_key: str,
    org_id: str | None,
    name: str,
    source: str,
    sample_rate: float | None,
    kept: bool,
    options: Mapping[str, Any],
    received: Mapping[str, str],
    sampled: bool = True,
) -> dict[str, str]:
    """Return the trace header of a transaction, or the `sentry-*` entries of `baggage` for its trace.

    Args:
        sample_rate: the head's, in [0, 1]; None if it is unknown.
        kept: the trace is sent with probability 1, whatever the head's rate: it must count once, not
            1/rate times.
        received: the head service's context; only the rate of a kept trace is changed in it.
    """
    if received.get("trace_id") == f"{trace_id:032x}" and received.get("public_key"):
        result = dict(received)
    else:
        result = {"trace_id": f"{trace_id:032x}", "public_key": public_key}
        for key in ("environment", "release"):
            if options.get(key):
                result[key] = str(options[key])
        if org_id:
            result["org_id"] = org_id
        if source != "url":
            result["transaction"] = name
        if sample_rate is not None:
            result["sample_rate"] = f"{sample_rate:.15g}"
            # TraceIdRatioBased compares these 64 bits with the rate: downstream services must decide the same
            low = trace_id & ((1 << _BITS) - 1)
            result["sample_rand"] = f"{(low * _FRACTION >> _BITS) / _FRACTION:.6f}"
    result["sampled"] = "true" if sampled else "false"
    if kept:
        result["sample_rate"] = "1"
    return result


def head_context(
    root: LocalRoot | None,
    span: SpanContext,
    *,
    public_key: str,
    org_id: str | None,
    options: Mapping[str, Any],
    sample_rate: float | None,
) -> dict[str, str]:
    """Return the `sentry-*` entries of `baggage` for the trace of a span; {} if another service began the trace.

    Work that goes on after its request, such as a background task of FastAPI, has no rate: its head is unknown.
    """
    parent = None if root is None else root.span.parent
    if parent is not None and parent.is_remote:
        return {}
    name, source = "", "url"
    if parent is not None:
        sample_rate = None
    elif root is not None:
        name, source = transaction_name(root.span, root.span.attributes or {})
    return sampling_context(
        trace_id=span.trace_id,
        public_key=public_key,
        org_id=org_id,
        name=name,
        source=source,
        sample_rate=sample_rate,
        kept=False,
        options=options,
        received={},
        sampled=span.trace_flags.sampled,
    )
