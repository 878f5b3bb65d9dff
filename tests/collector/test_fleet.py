"""Two services under slotel and one that only sends OTLP, through agents and gateways, counted and shipped exactly."""

import pytest

from support.fleet import Fleet
from support.launch import wait_until
from support.otlp import Sent, post, request

GOOD, FAILING = 40, 10


@pytest.fixture(scope="module")
def fleet(otelcol, tmp_path_factory):
    fleet = Fleet(otelcol, tmp_path_factory.mktemp("fleet"), services=True, tail_wait=2)
    yield fleet
    fleet.close()


@pytest.fixture(scope="module")
def trace_ids(fleet):
    """One request after another: legacy → shop → stock; the last ones fail at stock."""
    wait_until(
        lambda: fleet.prometheus.value("count(slo_events_total) > 0"), "the first scrape of the services"
    )
    shop, _ = fleet.services
    spans = []
    for number in range(GOOD + FAILING):
        root = Sent(name="order", kind=3)
        outcome = "fail" if number >= GOOD else "ok"
        parent = f"00-{root.trace_id.hex()}-{root.span_id.hex()}-01"
        status, _ = shop.get(f"/buy/{outcome}", {"traceparent": parent})
        assert status == (502 if outcome == "fail" else 200)
        spans.append(root)
        assert post(fleet.agents[number % 2].otlp, request([root])) == 200
    return [span.trace_id for span in spans]


def test_requests_sent_are_requests_counted_exactly_in_promql_over_all_agents_and_services(fleet, trace_ids):
    total = GOOD + FAILING
    server = 'span_kind="SPAN_KIND_SERVER",http_route="/buy/<outcome>"'
    for service in ("shop", "stock"):
        fleet.prometheus.wait(
            f'sum(traces_span_metrics_calls_total{{service_name="{service}",{server}}})', total
        )
        failed = f'sum(traces_span_metrics_calls_total{{service_name="{service}",{server},status_code="STATUS_CODE_ERROR"}})'
        fleet.prometheus.wait(failed, FAILING)
    fleet.prometheus.wait('sum(traces_span_metrics_calls_total{service_name="legacy"})', total)
    fleet.prometheus.wait('sum(slo_events_total{service_name="stock",slo_outcome="bad"})', FAILING)
    fleet.prometheus.wait('sum(slo_events_total{service_name="stock",slo_outcome="good"})', GOOD)
    by_agents = fleet.prometheus.query(
        'count by (service_name) (traces_span_metrics_calls_total{job="agents"})'
    )
    assert [series["metric"] for series in by_agents] == [{"service_name": "legacy"}]


def test_every_error_trace_arrives_whole_and_is_one_trace_across_the_services(fleet, trace_ids):
    failing = trace_ids[GOOD:]

    def whole():
        traces = fleet.sink.traces()
        return all(len(traces.get(trace_id, ())) == 4 for trace_id in failing)

    wait_until(whole, "four spans of each failing trace at the sink")
    for trace_id in failing:
        spans = fleet.sink.traces()[trace_id]
        assert sorted(span.service for span in spans) == ["legacy", "shop", "shop", "stock"]
        ids = {span.span_id for span in spans}
        assert [span.parent_id in ids for span in spans].count(False) == 1
    assert fleet.sink.doubled() == 0


def test_of_the_others_only_slow_ones_and_the_baseline_are_kept(fleet, trace_ids):
    slow = fleet.send(2, "slow", seconds=1.5)
    wait_until(lambda: fleet.all_arrived(slow), "the slow traces at the sink")
    assert set(fleet.sink.traces()) == {*trace_ids[GOOD:], *(span.trace_id for span in slow)}


def test_the_alert_of_the_failing_service_fires(fleet, trace_ids):
    firing = 'ALERTS{alertname="ErrorBudgetBurn",alertstate="firing",service="stock"}'
    wait_until(lambda: fleet.prometheus.query(firing), "the burn-rate alert fires")


def test_issues_go_to_sentry_at_once_with_the_traces_id_and_no_transaction_doubles_a_trace(fleet, trace_ids):
    assert fleet.issues.wait_for(lambda sink: sink.events >= FAILING)
    issues = [
        event for event in fleet.issues.payloads("event") if "exception" in event
    ]  # the others: the budget's breach
    found = [event["contexts"]["trace"]["trace_id"] for event in issues]
    assert sorted(found) == sorted(trace_id.hex() for trace_id in trace_ids[GOOD:])
    assert fleet.issues.transactions == 0


def test_what_slotel_enforced_and_what_the_agent_enforced_look_the_same(fleet, trace_ids):
    secret = Sent(name="leaky", error=True, attributes={"user.password": "hunter2"})
    assert post(fleet.agents[0].otlp, request([secret])) == 200
    wait_until(lambda: fleet.all_arrived([secret]), "the span at the sink")
    assert "hunter2" not in str(fleet.sink.spans) + "".join(agent.log for agent in fleet.agents)


def test_the_fleet_says_how_it_is(fleet):
    expected = len(fleet.agents) + len(fleet.gateways)
    assert fleet.prometheus.value('sum(up{job=~"otelcol-.*"})') == expected
    assert fleet.prometheus.value('sum(otelcol_loadbalancer_num_backends{job="otelcol-agent"})') == 4
