"""The base of a sink: what receives spans from the processor and exports them."""

from __future__ import annotations

from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span

from slotel.runtime.logs import LOG
from slotel.runtime.requests.local_roots import LocalRoot


class Sink:
    """Exports spans. Called on the request thread: must do O(1) work, no I/O, and raise nothing.

    Attributes:
        starts: `on_start` is called for `all` spans, for `local_roots` only, or for `none`.
        sampled_only: `on_end` is called for sampled spans only.
        no_quiet_children: `on_end` is not called for children that end before their local root with an unset status.
    """

    starts: str = "all"
    sampled_only: bool = False
    no_quiet_children: bool = False

    def on_start(self, span: Span, local_root: LocalRoot, parent_context: Context | None) -> None:
        """Called when a span starts, sampled or not."""

    def on_end(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        """Called when a span has ended, sampled or not, as it was recorded: redact it before any export.

        Args:
            local_root: None for a span whose start was not seen or was forgotten.
        """

    def escaped(self, error: BaseException, mechanism: str) -> None:
        """Called with an exception that left the application and is on no span, and Sentry's `mechanism.type`."""

    def use_client(self, client: Any) -> None:
        """Export by this Sentry client from now on, which the app has set up."""

    def flush(self, timeout: float) -> bool:
        """Send pending spans within `timeout` seconds; return whether all were sent."""
        del timeout
        return True

    def shutdown(self) -> None:
        """Flush and stop; called once."""


class DecisionLog(Sink):
    """Exports nothing: with `SLOTEL_DEBUG=1` it writes a line for each local root, with what was decided about it."""

    starts = "none"
    no_quiet_children = True

    def on_end(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        """Write name, duration, outcome, sampling and trace id of a local root."""
        if local_root is None or span.context is None or local_root.root_id != span.context.span_id:
            return
        seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
        sampled = (
            "sampled" if span.context.trace_flags.sampled else "not sampled, exported only if it is kept"
        )
        decision = local_root.decision
        outcome = decision.row.outcome if decision is not None else "no request"
        LOG.debug(
            "%s %s, %.1f ms: %s; %s; trace %032x",
            span.kind.name, span.name, seconds * 1000, outcome, sampled, span.context.trace_id,
        )  # fmt: skip
