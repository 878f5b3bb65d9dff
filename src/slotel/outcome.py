"""Sets the SLO outcome of the current request in code; it overrides every rule of the objectives."""

from __future__ import annotations

from slotel.config.names import ATTR_OUTCOME, BAD, EXCLUDED, GOOD

__all__ = ["exclude", "mark_bad", "mark_good"]


def mark_good() -> None:
    """Count the current request as a good event, whatever its status and duration."""
    _mark(GOOD)


def mark_bad() -> None:
    """Count the current request as a bad event, whatever its status: for example a wrong answer with status 200."""
    _mark(BAD)


def exclude() -> None:
    """Exclude the current request from all objectives: for example a synthetic check."""
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
