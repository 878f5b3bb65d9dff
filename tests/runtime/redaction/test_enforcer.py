"""The tag policy at work on spans, labels and Sentry events."""

from collections import Counter

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from slotel.config.tags import TagPolicy, TagRule
from slotel.runtime.redaction.enforcer import Enforcer

POLICY = TagPolicy(
    set={"region": "eu-west-1"},
    required={
        "team": TagRule(default="payments"),
        "tier": TagRule(allowed=("free", "pro")),
        "tenant": TagRule(pattern="[a-z]+"),
    },
    redact=("*.pin",),
    metric_labels=("team", "tier", "region", "plan"),
)


@pytest.fixture
def violations():
    return Counter()


@pytest.fixture
def enforcer(violations):
    return Enforcer(POLICY, lambda tag, action: violations.update([(tag, action)]))


def labels_of(enforcer, attributes, tags):
    return enforcer.judge_labels(enforcer.given(attributes, tags))[0]


def ended_span(attributes=None, events=()):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("span", attributes=attributes) as span:
        for name, values in events:
            span.add_event(name, values)
    return exporter.get_finished_spans()[0]


def test_a_span_gets_fixed_tags_defaults_and_repairs(enforcer):
    span = enforcer.span(ended_span({"tier": "gold", "tenant": "acme", "http.route": "/"}), {})
    assert dict(span.attributes) == {
        "tier": "unknown", "tenant": "acme", "http.route": "/", "team": "payments", "region": "eu-west-1",
    }  # fmt: skip


def test_a_fixed_tag_beats_what_the_code_says(enforcer):
    assert (
        enforcer.span(ended_span({"region": "mars"}), {"region": "moon"}).attributes["region"] == "eu-west-1"
    )


def test_a_spans_own_tag_beats_its_entrys(enforcer):
    assert enforcer.tags({"team": "own"}, {"team": "entry", "free": "x"})["team"] == "own"
    assert enforcer.tags({}, {"team": "entry", "free": "x"}) == {
        "team": "entry", "tier": "unknown", "tenant": "unknown", "region": "eu-west-1", "free": "x",
    }  # fmt: skip


def test_secrets_are_redacted_in_attributes_events_and_urls(enforcer, violations):
    span = enforcer.span(
        ended_span(
            {
                "card.pin": "1234",
                "url.full": "https://me:pw@shop.test/a?token=abc&page=2",
                "url.query": "api_key=k",
            },
            [("login", {"password": "hunter2", "user": "me"})],
        ),
        {},
    )
    assert span.attributes["card.pin"] == "[Filtered]"
    assert span.attributes["url.full"] == "https://[Filtered]@shop.test/a?token=[Filtered]&page=2"
    assert span.attributes["url.query"] == "api_key=[Filtered]"
    assert dict(span.events[0].attributes) == {"password": "[Filtered]", "user": "me"}
    assert violations["password", "redact"] == 1


def test_the_original_span_is_not_changed(enforcer):
    span = ended_span({"card.pin": "1234"})
    enforcer.span(span, {})
    assert span.attributes["card.pin"] == "1234"


def test_a_span_that_needs_nothing_is_not_copied():
    span = ended_span({"http.route": "/"})
    assert Enforcer(TagPolicy(), lambda tag, action: None).span(span, {}) is span


def test_the_scope_of_a_tracer_is_looked_at_once(monkeypatch):
    looked = []
    monkeypatch.setattr(
        "slotel.runtime.redaction.enforcer.redacted_scope", lambda scope, _: looked.append(scope) or scope
    )
    enforcer = Enforcer(TagPolicy(), lambda *_: None)
    tracer = TracerProvider().get_tracer("t", attributes={"team": "a"})
    for _ in range(3):
        with tracer.start_as_current_span("work") as span:
            pass
        assert enforcer.plain(span, {}).span is span
    assert len(looked) == 1


def test_metric_labels_are_enforced_in_the_policys_order(enforcer):
    assert labels_of(enforcer, {"tier": "pro"}, {"team": "ops"}) == ("ops", "pro", "eu-west-1", "")


def test_each_violation_of_an_entry_is_counted(enforcer, violations):
    given = enforcer.given({"tier": "gold"}, {})
    assert set(enforcer.judge_labels(given)[1]) == {("team", "default"), ("tier", "unknown")}
    for _ in range(3):
        enforcer.count_unlabelled({"tier": "gold"}, {})
    assert violations == {("tenant", "unknown"): 3}


def test_a_list_as_a_tag_value_is_text(enforcer):
    assert labels_of(enforcer, {"plan": ("a", "b")}, {})[3] == "('a', 'b')"


def test_a_sentry_event_keeps_its_protocol_and_loses_its_secrets(enforcer):
    event = enforcer.event(
        {
            "event_id": "1",
            "request": {
                "url": "https://shop.test/?token=a",
                "query_string": "token=a&b=1",
                "headers": {"Authorization": "Bearer x", "Accept": "*/*"},
                "data": [["password", "p"], ["name", "n"]],
                "cookies": {"session": "s"},
            },
            "message": "GET http://h/?api_key=k&x=1 failed",
            "extra": {"deep": {"er": [{"card.pin": 1}]}},
            "exception": {
                "values": [
                    {
                        "stacktrace": {
                            "frames": [
                                {"vars": {"password": "p", "x": "<Request 'http://h/a?b=1&token=t' [GET]>"}}
                            ]
                        },
                        "value": "no http://h/?token=t",
                    }
                ]
            },
        }
    )
    assert event["request"]["url"] == "https://shop.test/?token=[Filtered]"
    assert event["request"]["query_string"] == "token=[Filtered]&b=1"
    assert event["request"]["headers"] == {"Authorization": "[Filtered]", "Accept": "*/*"}
    assert event["request"]["data"] == [["password", "[Filtered]"], ["name", "n"]]
    assert event["extra"] == {"deep": {"er": [{"card.pin": "[Filtered]"}]}}
    assert event["exception"]["values"][0]["stacktrace"]["frames"][0]["vars"] == {
        "password": "[Filtered]",
        "x": "<Request 'http://h/a?b=1&token=[Filtered]' [GET]>",
    }
    assert event["exception"]["values"][0]["value"] == "no http://h/?token=[Filtered]"
    assert event["message"] == "GET http://h/?api_key=[Filtered]&x=1 failed"


def test_a_thousand_distinct_values_do_not_fill_the_memory(enforcer):
    for number in range(20_500):
        labels_of(enforcer, {"team": f"t{number}"}, {})
    assert enforcer._judged.cache_info().currsize <= 10_000
