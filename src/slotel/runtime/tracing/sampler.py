"""Records every span, and samples as before. The SDK's AlwaysRecordSampler loses the attributes of the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from slotel.runtime.tracing.route_rules import RouteRules
from slotel.runtime.upstream.otel.provider import ROOT_SAMPLER

_SAMPLED: Final = Decision.RECORD_AND_SAMPLE
_RECORD_ONLY: Final = Decision.RECORD_ONLY
_CHILDREN_FOLLOW: Final = ",localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}"
"""End of the description of a `ParentBased` sampler that samples local children as their parent."""
_ALL_FOLLOW: Final = (
    ",remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler" + _CHILDREN_FOLLOW
)
"""The same for one that also samples spans with a remote parent as that parent."""
LOW_BITS: Final = TraceIdRatioBased.TRACE_ID_LIMIT
"""The bits of a trace id that a sampling by ratio looks at."""


class RecordEverySpan(Sampler):
    """Turns `DROP` into `RECORD_ONLY`, and keeps the attributes of the span's start.

    A sampler of the SDK that drops returns no attributes, and AlwaysRecordSampler (1.45) keeps it so: route, method and
    tags of sampled-out spans would be missing in metrics, and excluded routes would be counted.

    Args:
        decides: the provider's own sampler.
        rules: `sentry.sample` and `spans.drop`. A span that they drop is not recorded, nor is any span below it.

    Attributes:
        children_follow: whether a span with a local parent is sampled as its parent.
        callers_follow: whether a span with a remote parent is sampled as its parent, too.
        root_bound: a span without a parent is sampled if the low bits of its trace id are below this; None if the
            sampler must be called.
    """

    def __init__(self, decides: Sampler, rules: RouteRules | None = None) -> None:
        self.decides = decides
        by_parent = getattr(type(decides), "should_sample", None) is ParentBased.should_sample
        self.children_follow = by_parent and decides.get_description().endswith(_CHILDREN_FOLLOW)
        self.callers_follow = by_parent and decides.get_description().endswith(_ALL_FOLLOW)
        self.root_bound = _bound(ROOT_SAMPLER.of(decides)) if by_parent else None
        self._rules = rules
        if rules is not None:  # then the sampler must be asked
            self.root_bound = None
            self.callers_follow = self.callers_follow and not rules.drops_any
            self.children_follow = self.children_follow and not rules.drops_by_name

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the sampler's decision; a span that is not sampled is recorded."""
        if self._rules is not None:
            ruled = self._by_rules(self._rules, parent_context, trace_id, name, attributes)
            if ruled is not None:
                return SamplingResult(ruled, attributes, trace_state)
        result = self.decides.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        if result.decision is _SAMPLED:
            return result
        return SamplingResult(_RECORD_ONLY, result.attributes or attributes, result.trace_state)

    @staticmethod
    def _by_rules(
        rules: RouteRules, parent_context: Context | None, trace_id: int, name: str, attributes: Attributes
    ) -> Decision | None:
        above = get_current_span(parent_context)
        parent = above.get_span_context()
        is_root = parent is None or not parent.is_valid
        is_local_root = is_root or parent.is_remote
        if rules.drops_any:
            if not is_local_root and not above.is_recording() and isinstance(above, NonRecordingSpan):
                return Decision.DROP  # what is below a dropped span; every other local span is recorded
            if rules.is_dropped(name, attributes, is_local_root=is_local_root):
                return Decision.DROP
        sampled = rules.is_sampled(trace_id, attributes) if is_root else None
        return None if sampled is None else _SAMPLED if sampled else _RECORD_ONLY

    def get_description(self) -> str:
        """Return the sampler's own description inside this one's."""
        return f"RecordEverySpan{{{self.decides.get_description()}}}"


def _bound(root: Sampler | None) -> int | None:
    """Return `root_bound` for a root sampler of the SDK; None for any other sampler."""
    if type(root) is TraceIdRatioBased:
        return root.bound
    if type(root) is StaticSampler:
        return LOW_BITS + 1 if root.get_description() == ALWAYS_ON.get_description() else 0
    return None
