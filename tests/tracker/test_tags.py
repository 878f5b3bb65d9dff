"""Tags in code: as keywords, as one mapping, or both; what is neither is ignored."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from slotel import ErrorTracker, set_custom_tags

SPELLINGS = {
    "keywords": (lambda set_tags: set_tags(team="red", tier="pro"), {"team": "red", "tier": "pro"}),
    "a mapping": (lambda set_tags: set_tags({"team": "red", "order.kind": "gift"}), {"team": "red", "order.kind": "gift"}),
    "both": (lambda set_tags: set_tags({"team": "red"}, tier="pro"), {"team": "red", "tier": "pro"}),
    "a tag named tags": (lambda set_tags: set_tags(tags="x"), {"tags": "x"}),
    "None": (lambda set_tags: set_tags({"team": None}, tier=None), {}),
    "keys that are no text": (lambda set_tags: set_tags({7: "seven"}), {"7": "seven"}),
    "no mapping": (lambda set_tags: set_tags(["team"]), {}),
}  # fmt: skip


@pytest.mark.parametrize(
    "set_tags", [set_custom_tags, ErrorTracker().set_custom_tags], ids=["function", "tracker"]
)
@pytest.mark.parametrize(("call", "expected"), SPELLINGS.values(), ids=SPELLINGS)
def test_tags_are_keywords_or_a_mapping(set_tags, call, expected):
    span = TracerProvider().get_tracer("shop").start_span("order")
    with trace.use_span(span):
        call(set_tags)
    assert dict(span.attributes) == expected
