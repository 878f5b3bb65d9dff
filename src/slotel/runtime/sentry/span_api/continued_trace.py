"""The result of sentry-sdk's `continue_trace`: a transaction that has not started, and may never start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context

from slotel.runtime.sentry.span_api.span import OtelSpan, start

if TYPE_CHECKING:
    from slotel.runtime.requests.local_roots import OpenSpans


class ContinuedTrace:
    """A transaction of a caller's trace; `start_transaction(it)` or `with it` starts its span.

    Values that are set before are kept, and set on the span then. If it never starts, there is no span to end.

    Args:
        context: with the caller's span as remote parent, if the headers named one.
        arguments: `name`, `op` and `source` of the transaction.
        open_spans: as in `OtelSpan`.
    """

    def __init__(self, context: Context, arguments: dict[str, Any], open_spans: OpenSpans | None) -> None:
        self.context = context
        self.name, self.op, self.source = arguments.get("name"), arguments.get("op"), arguments.get("source")
        self.status: Any = None
        self._open_spans = open_spans
        self._said: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._started: OtelSpan | None = None

    @property
    def parent_span_id(self) -> str | None:
        """Id of the caller's span: 16 hexadecimal digits; None if no trace is continued."""
        span = trace.get_current_span(self.context)
        return OtelSpan(span).span_id if span.get_span_context().is_valid else None

    @property
    def parent_sampled(self) -> bool | None:
        """Whether the caller exports its trace; None if no trace is continued."""
        span = trace.get_current_span(self.context)
        return OtelSpan(span).sampled if span.get_span_context().is_valid else None

    def start(self, more: Mapping[str, Any]) -> OtelSpan:
        """Start its span, once; return it.

        Args:
            more: arguments of `start_transaction`, which win over those of `continue_trace`.
        """
        if self._started is None:
            arguments = {
                "name": self.name,
                "op": self.op,
                "source": self.source,
                "status": self.status,
                **more,
            }
            self._started = start(arguments, self.context, self._open_spans, names_events=True)
            for method, given, named in self._said:
                getattr(self._started, method)(*given, **named)
        return self._started

    def __enter__(self) -> OtelSpan:
        """Start its span as the current one."""
        return self.start({}).__enter__()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End it."""
        if self._started is not None:
            self._started.__exit__(None, error, None)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of its span, or before that of the caller's span; note calls of `set_*` until then."""
        if name.startswith("__"):
            raise AttributeError(name)
        if self._started is not None:
            return getattr(self._started, name)
        if not name.startswith(("set_", "update_")):
            return getattr(OtelSpan(trace.get_current_span(self.context)), name)

        def say(*given: Any, **named: Any) -> None:
            self._said.append((name, given, named))

        return say
