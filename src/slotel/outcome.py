"""An SLO outcome said in code: it beats every rule of the objectives for the request that is being served."""

from __future__ import annotations

from slotel.config.names import ATTR_OUTCOME, BAD, EXCLUDED, GOOD

__all__ = ["exclude", "mark_bad", "mark_good"]


def mark_good() -> None:
    """Count the current request as a good event, whatever its status and duration."""
    _mark(GOOD)


def mark_bad() -> None:
    """Count the current request as a bad event: an answer that was sent well and is wrong all the same."""
    _mark(BAD)


def exclude() -> None:
    """Count the current request for no objective: a synthetic check, a client's own mistake."""
    _mark(EXCLUDED)


def _mark(outcome: str) -> None:
    """Write the outcome on the entry span, which is the event; without slotel's runtime on the current span."""
    from opentelemetry import trace

    from slotel.runtime.state import current

    span = trace.get_current_span()
    runtime = current()
    local_root = runtime.open_spans.of(span.get_span_context().span_id) if runtime is not None else None
    event = local_root.span if local_root is not None else span
    event.set_attribute(ATTR_OUTCOME, outcome)
