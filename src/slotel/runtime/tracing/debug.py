"""`SLOTEL_DEBUG=1`: one line for each local root, with what was decided about it."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan

from slotel.runtime.logs import LOG
from slotel.runtime.requests.local_roots import LocalRoot
from slotel.runtime.tracing.sink import Sink


class DecisionLog(Sink):
    """A sink that exports nothing. It is there only while SLOTEL_DEBUG is set."""

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
