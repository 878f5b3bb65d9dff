"""Recording every span changes no decision: the SDK's own samplers are the oracle."""

import pytest
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from slotel.runtime.tracing.sampler import RecordEverySpan

SAMPLERS = {
    "always on": ALWAYS_ON,
    "always off": ALWAYS_OFF,
    "ratio": TraceIdRatioBased(0.5),
    "parent or ratio": ParentBasedTraceIdRatio(0.5),
    "children do otherwise": ParentBased(
        ALWAYS_ON, local_parent_sampled=ALWAYS_OFF, local_parent_not_sampled=ALWAYS_ON
    ),
}
PARENTS = {
    f"{'remote' if is_remote else 'local'}, flags {flags}": NonRecordingSpan(
        SpanContext(7, 5, is_remote, TraceFlags(flags), TraceState([("vendor", "1")]))
    )
    for is_remote in (False, True)
    for flags in (0, 1, 2, 3)
}


@pytest.mark.parametrize("trace_id", [1, (1 << 64) - 1])
@pytest.mark.parametrize("parent", [None, *PARENTS])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_sampled_stays_as_the_sampler_says_and_the_rest_is_recorded(sampler, parent, trace_id):
    around = None if parent is None else set_span_in_context(PARENTS[parent])
    given = {"http.route": "/"}
    expected = SAMPLERS[sampler].should_sample(around, trace_id, "GET", attributes=given)
    actual = RecordEverySpan(SAMPLERS[sampler]).should_sample(around, trace_id, "GET", attributes=given)
    assert actual.decision.is_sampled() is expected.decision.is_sampled()
    assert actual.decision is not Decision.DROP
    assert actual.trace_state == expected.trace_state
    assert dict(actual.attributes) == given
