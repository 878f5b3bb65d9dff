"""What answers OpenTelemetry's context functions in fewer calls answers as they do, also to odd calls."""

import contextvars

import pytest
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext

from slotel.runtime.tracing.fast.current_span import use_span
from slotel.runtime.upstream.otel.spans import shorten

SPAN = NonRecordingSpan(SpanContext(1, 2, is_remote=False))
CONTEXTS = [
    Context(),
    Context({"a": 1}),
    trace.set_span_in_context(SPAN, Context()),
    trace.set_span_in_context("no span", Context()),
]


@pytest.fixture(autouse=True)
def shortened(monkeypatch):
    for owner, name in ((trace, "use_span"), (trace, "get_current_span"), (context, "get_current"),
                        (context, "attach"), (context, "detach")):  # fmt: skip
        standing = getattr(owner, name)
        monkeypatch.setattr(owner, name, getattr(standing, "_slotel_original", standing))
    theirs = {name: getattr(context, name) for name in ("attach", "detach")} | {
        "span": trace.get_current_span
    }
    shorten(use_span)
    assert theirs["attach"] is not context.attach
    return theirs


@pytest.mark.parametrize("inside", CONTEXTS)
def test_the_current_span_is_the_same(shortened, inside):
    theirs = shortened["span"]
    assert trace.get_current_span(inside) is theirs(inside)
    assert trace.get_current_span(context=inside) is theirs(context=inside)
    token = context.attach(inside)
    assert trace.get_current_span() is theirs()
    context.detach(token)


@pytest.mark.parametrize("by_name", [False, True])
def test_a_context_is_attached_and_detached_in_any_mix(shortened, by_name):
    before, inside = context.get_current(), Context({"a": 1})
    for attach in (context.attach, shortened["attach"]):
        for detach in (context.detach, shortened["detach"]):
            token = attach(context=inside) if by_name else attach(inside)
            assert context.get_current() is inside
            detach(token=token) if by_name else detach(token)
            assert context.get_current() == before


@pytest.mark.parametrize("token", ["no token", None, "of another context", "used"])
def test_a_token_that_is_none_is_told_of_and_raises_nothing(shortened, token, caplog):
    if token == "of another context":
        token = contextvars.copy_context().run(context.attach, Context())
    elif token == "used":
        token = context.attach(Context())
        context.detach(token)
    told = []
    for detach in (shortened["detach"], context.detach):
        caplog.clear()
        detach(token)
        told.append([record.getMessage() for record in caplog.records])
    assert told[0] == told[1] == ["Failed to detach context"]
