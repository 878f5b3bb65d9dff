"""The interface of a sink: what receives spans from the processor and exports them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span

from slotel.runtime.requests.local_roots import LocalRoot


class Sink(Protocol):
    """Exports spans. Called on the request thread: must do O(1) work, no I/O, and raise nothing.

    A sink can declare which calls it does not need. `starts = "local_roots"`: `on_start` only for local roots;
    `starts = "none"`: no `on_start`. `sampled_only = True`: `on_end` only for sampled spans.
    `no_quiet_children = True`: no `on_end` for children that end before their local root with an unset status.
    """

    def on_start(self, span: Span, local_root: LocalRoot, parent_context: Context | None) -> None:
        """Called when a span starts, sampled or not."""

    def on_end(self, span: ReadableSpan, local_root: LocalRoot | None) -> None:
        """Called when a span has ended, sampled or not, as it was recorded: redact it before any export.

        Args:
            local_root: None for a span whose start was not seen or was forgotten.
        """

    def flush(self, timeout: float) -> bool:
        """Send pending spans within `timeout` seconds; return whether all were sent."""

    def shutdown(self) -> None:
        """Flush and stop; called once."""


@runtime_checkable
class SentryClientSink(Protocol):
    """A sink that exports through a Sentry client, and changes to another when the app sets one up."""

    def use_client(self, client: Any) -> None:
        """Export by this client from now on."""
