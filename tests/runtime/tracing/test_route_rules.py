"""`sentry.sample` and `spans.drop`: what is exported by route, what is not counted at all; every other count stays exact."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from slotel.cli.sink.server import SentrySink
from slotel.config.sampling import RouteRate, SpanMatch, route_pattern
from slotel.config.service import read_service
from slotel.runtime.tracing.route_rules import RouteRules
from slotel.runtime.tracing.sampler import RecordEverySpan
from support.launch import Launched, wait_until

HEALTH = {"url.path": "/healthz"}


def decide(rules, attributes, name="GET", parent=None, sampler=ALWAYS_ON, trace_id=1 << 100):
    context = trace.set_span_in_context(NonRecordingSpan(parent)) if parent is not None else None
    return RecordEverySpan(ParentBased(sampler), rules).should_sample(
        context, trace_id, name, SpanKind.SERVER, attributes
    ).decision  # fmt: skip


def remote(sampled):
    return SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(sampled))


@pytest.mark.parametrize(
    ("route", "path", "matches"),
    [
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/deep", False),
        ("/checkout/*", "/checkout/1/pay", True),
        ("/users/{id}", "/users/7", True),
        ("/users/<int:id>", "/users/7", True),
        ("/users/{id}", "/users/7/orders", False),
        ("/a.b", "/axb", False),
    ],
)
def test_a_route_is_matched_as_people_write_it(route, path, matches):
    assert bool(route_pattern(route).fullmatch(path)) is matches


@given(st.text(), st.text())
def test_any_text_is_a_route_and_a_route_without_marks_matches_itself_alone(route, path):
    pattern = route_pattern(route)
    if not set(route) & set("*{}<>"):
        assert bool(pattern.fullmatch(path)) is (route == path)


def test_the_first_rule_that_matches_decides_at_the_root_of_a_trace():
    rules = RouteRules([RouteRate("/healthz", 0), RouteRate("/*", 1)], [])
    assert decide(rules, HEALTH) is Decision.RECORD_ONLY
    assert decide(rules, {"http.target": "/pay?card=1"}, sampler=ALWAYS_OFF) is Decision.RECORD_AND_SAMPLE
    assert decide(rules, {}, sampler=ALWAYS_OFF) is Decision.RECORD_ONLY


def test_a_callers_decision_stands():
    rules = RouteRules([RouteRate("/healthz", 0)], [])
    assert decide(rules, HEALTH, parent=remote(1)) is Decision.RECORD_AND_SAMPLE


@given(st.integers(1, 2**128 - 1), st.floats(0, 1))
def test_a_rate_samples_the_traces_that_opentelemetrys_ratio_samples(trace_id, rate):
    rules = RouteRules([RouteRate("*", rate)], [])
    expected = TraceIdRatioBased(rate).should_sample(None, trace_id, "GET").decision
    sampled = decide(rules, HEALTH, trace_id=trace_id) is Decision.RECORD_AND_SAMPLE
    assert sampled is (expected is Decision.RECORD_AND_SAMPLE)


def test_what_is_dropped_takes_what_is_below_it_along():
    rules = RouteRules([], [SpanMatch(route="/healthz"), SpanMatch(name="SELECT 1")])
    assert decide(rules, HEALTH) is Decision.DROP
    assert decide(rules, HEALTH, parent=remote(1)) is Decision.DROP
    assert decide(rules, {}, name="SELECT 1") is Decision.DROP
    local = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(0))
    assert decide(rules, {}, name="child", parent=local) is Decision.DROP
    assert decide(rules, {"url.path": "/other"}) is Decision.RECORD_AND_SAMPLE


def test_a_span_of_a_dropped_name_below_a_counted_one_is_dropped_alone():
    provider = TracerProvider(
        sampler=RecordEverySpan(ParentBased(ALWAYS_ON), RouteRules([], [SpanMatch(name="ping*")]))
    )
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("GET", kind=SpanKind.SERVER) as root:
        with tracer.start_as_current_span("ping database") as dropped:
            assert not dropped.is_recording()
        with tracer.start_as_current_span("query") as child:
            assert child.is_recording()
    assert root.get_span_context().trace_flags.sampled


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sentry: {sample: [{route: /x, rate: 2}]}", "between 0 and 1"),
        ("sentry: {sample: [{rate: 1}]}", "route is missing"),
        ("spans: {drop: [{route: /x, name: y}]}", "give one of route"),
        ("spans: {drop: [{}]}", "give one of route"),
    ],
)
def test_a_wrong_rule_is_named(text, words):
    [problem] = read_service({}, f"version: 1\n{text}\n").problems
    assert words in str(problem)


YAML = """\
version: 1
sentry:
  traces_sample_rate: 0
  keep: []
  sample: [{route: /ok, rate: 1}]
spans:
  drop: [{route: /healthz}]
"""


def test_in_a_service_counts_stay_exact_and_only_the_route_becomes_transactions(tmp_path):
    (tmp_path / "slotel.yaml").write_text(YAML)
    with SentrySink() as sink:
        env = {"SENTRY_DSN": sink.dsn(1), "SLOTEL_CONFIG": str(tmp_path / "slotel.yaml")}
        with Launched(sys.executable, "flask_app.py", env=env) as service:
            service.wait_ready()
            for path in ("/ok", "/ok", "/missing", "/healthz"):
                service.get(path)
            wait_until(lambda: sink.transactions == 2, "the two transactions")
            calls = service.samples("traces_span_metrics_calls_total")
            counted = sum(value for labels, value in calls if labels["span_kind"] == "SPAN_KIND_SERVER")
    assert counted == 3
    assert {each["transaction"] for each in sink.payloads("transaction")} == {"GET /ok"}
