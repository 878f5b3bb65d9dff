"""One fault at a time in a fleet that runs: what was counted stays counted, what is lost is seen in a metric.

FAULT_SECONDS=60 pytest -s tests/collector/test_faults.py: Sentry and Prometheus are down for a minute, not a second.
"""

import os
import signal
import time

import pytest

from support.fleet import TAIL_WAIT, Fleet
from support.launch import wait_until
from support.otelcol import WITHOUT_POLICY, Collector, alert
from support.otlp import OtlpSink, Sent, post, request

EARLY = "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total"
DOWN = float(os.environ.get("FAULT_SECONDS", "1"))
CALLS = "traces_span_metrics_calls_total"
IN_MEMORY = "otelcol_processor_tail_sampling_sampling_traces_on_memory"


@pytest.fixture(scope="module")
def fleet(otelcol, tmp_path_factory):
    fleet = Fleet(otelcol, tmp_path_factory.mktemp("faults"), services=False, agent_files=(WITHOUT_POLICY,))
    yield fleet
    fleet.close()


@pytest.fixture(scope="module")
def report():
    """The table of the faults, printed at the end: pytest -s."""
    rows = []
    yield lambda fault, sent, counted, arrived, doubled: rows.append((fault, sent, counted, arrived, doubled))
    print("\n| fault | sent | counted | arrived | doubled |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print("|", " | ".join(str(cell) for cell in row), "|")


def in_memory(gateway):
    return gateway.metric(IN_MEMORY, own=True)


def accepted(fleet):
    """How many spans the gateways have taken since they started."""
    return sum(
        gateway.metric("otelcol_receiver_accepted_spans_total", own=True) for gateway in fleet.gateways
    )


def within(seconds, condition):
    """Whether the condition comes true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def finish(fleet, report, fault, spans, name, counted=0):
    """Wait until the traces are at the sink and all spans are counted, and note it under the fault, if it has a name."""
    wait_until(lambda: fleet.all_arrived(spans), f"{len(spans)} traces at the sink", 60)
    fleet.prometheus.wait(fleet.counted(name), counted or len(spans))
    assert fleet.sink.doubled() == 0
    if fault:
        total = int(fleet.prometheus.value(fleet.counted(name)))
        report(fault, len(spans), total, len(fleet.arrived(spans)), fleet.sink.doubled())


def test_a_gateway_that_is_stopped_and_back_loses_nothing(fleet, report):
    name = "gateway stopped"
    spans = fleet.send(40, name, error=True)
    wait_until(lambda: accepted(fleet) >= 40, "the traces are at the gateways")
    assert fleet.gateways[0].stop() == 0
    spans += fleet.send(40, name, error=True)
    fleet.gateways[0].start()
    finish(fleet, report, name, spans, name)


def test_a_gateway_that_is_killed_loses_no_trace_with_an_error(fleet, report):
    """What a policy wants is on disk as soon as the gateway has it; it is killed before its first look at the batch is due."""
    name = "gateway killed"
    before = accepted(fleet)
    spans = fleet.send(40, name, error=True)
    wait_until(lambda: accepted(fleet) == before + 40, "the traces are at the gateways")
    fleet.gateways[0].stop(signal.SIGKILL)
    assert not fleet.all_arrived(spans)
    spans += fleet.send(40, name, error=True)
    fleet.gateways[0].start()
    finish(fleet, report, name, spans, name)


def test_a_killed_gateway_forgets_spans_that_nothing_spoke_for_yet_and_a_metric_says_of_how_many_traces(
    fleet, report
):
    gateway = fleet.gateways[0]
    instance = f'instance="127.0.0.1:{gateway.telemetry_port}"'
    for attempt in range(5):  # Prometheus must have looked before they are let go
        name = f"undecided, {attempt}"
        first = fleet.send(30, name)
        wait_until(lambda: sum(map(in_memory, fleet.gateways)) == 30, "the spans wait in the gateways")
        held = in_memory(gateway)
        if within(TAIL_WAIT / 2, lambda: fleet.prometheus.value(f"{IN_MEMORY}{{{instance}}}") == held):  # noqa: B023
            break
        wait_until(lambda: sum(map(in_memory, fleet.gateways)) == 0, "they are let go")
    gateway.stop(signal.SIGKILL)
    gateway.start()
    failed = [Sent(name=name, trace_id=span.trace_id, parent_id=span.span_id, error=True) for span in first]
    assert post(fleet.agents[0].otlp, request(failed)) == 200
    finish(fleet, report, "", failed, name, counted=60)
    arrived = {span.span_id for span in fleet.sink.spans}
    lost = [span for span in first if span.span_id not in arrived]
    assert 0 < len(lost) == held < 30
    report(f"gateway killed with first spans of {held:g} undecided traces", 60, 60, 60 - len(lost), 0)
    assert (
        fleet.prometheus.value(
            alert("GatewayForgotSpans").replace("10m", "1m").replace(IN_MEMORY, f"{IN_MEMORY}{{{instance}}}")
        )
        == held
    )


def test_an_error_that_comes_after_its_trace_was_let_go_is_kept(fleet):
    first = fleet.send(10, "let go")
    wait_until(lambda: sum(map(in_memory, fleet.gateways)) == 10, "the spans wait in the gateways")
    wait_until(lambda: sum(map(in_memory, fleet.gateways)) == 0, "they are let go")
    late = [Sent(name="late", trace_id=span.trace_id, error=True) for span in first]
    assert post(fleet.agents[0].otlp, request(late)) == 200
    wait_until(lambda: fleet.all_arrived(late), "the errors at the sink")


def test_traces_that_were_sampled_are_none_that_were_forgotten_too_early(fleet):
    wait_until(lambda: sum(g.metric(EARLY, own=True) for g in fleet.gateways) > 0, "their time has come")
    assert fleet.prometheus.query(alert("GatewayForgetsTooEarly")) == []


def test_a_gateway_that_may_hold_fewer_traces_than_come_says_how_many_it_forgot(otelcol, tmp_path):
    with OtlpSink() as sink:
        env = {"SENTRY_OTLP_TRACES_URL": sink.url, "TAIL_WAIT": "2s", "TAIL_TRACES": "20"}
        env |= {"TAIL_BASELINE_PERCENT": "0"}
        with Collector(otelcol, tmp_path / "state", "gateway.yaml", env=env) as gateway:
            spans = [Sent(error=number % 5 == 0) for number in range(100)]
            assert post(gateway.otlp, request(spans)) == 200
            wait_until(lambda: len(sink.spans) == 20, "those with an error")
            sampled = "otelcol_processor_tail_sampling_global_count_traces_sampled_total"

            def forgotten():
                return gateway.metric(EARLY, own=True) - gateway.metric(sampled, own=True, sampled="true")

            # Of the other 80 it has held 20, or 19: one makes room for a trace that is sampled at once.
            wait_until(lambda: forgotten() in {60, 61}, "the others were forgotten")


def test_while_sentry_is_down_the_traces_wait_on_disk(fleet, report):
    name = "sentry down"
    fleet.sink.down()
    spans = fleet.send(60, name, error=True)
    queue = 'sum(otelcol_exporter_queue_size{exporter="otlp_http/sentry"})'
    wait_until(lambda: fleet.prometheus.value(queue) > 0, "the queue is seen to fill")
    time.sleep(DOWN)  # a few tries fail
    fleet.sink.up()
    finish(fleet, report, name, spans, name)
    fleet.prometheus.wait(queue, 0)


def test_while_prometheus_is_down_the_collectors_go_on_counting(fleet, report):
    name = "prometheus down"
    spans = fleet.send(20, name, error=True)
    fleet.prometheus.wait(fleet.counted(name), 20)
    fleet.prometheus.stop()
    spans += fleet.send(30, name, error=True)
    time.sleep(DOWN)
    fleet.prometheus.start()
    spans += fleet.send(10, name, error=True)
    finish(fleet, report, name, spans, name)
    series = fleet.prometheus.query(f'{CALLS}{{span_name="{name}"}}')
    assert len(series) == len(fleet.agents)


def test_an_agent_that_is_drained_and_restarted_loses_no_count_and_doubles_none(fleet, report):
    """Drained: it gets nothing for as long as a flush and a scrape, as in a pod that ends (deploy/kubernetes)."""
    name = "agent restarted"
    agent = fleet.agents[0]
    first = fleet.send(30, name, agent=0, error=True)
    fleet.prometheus.wait(fleet.counted(name), 30)
    agent.stop()
    agent.start()
    second = fleet.send(25, name, agent=0, error=True)
    fleet.prometheus.wait(
        fleet.counted(name), 25
    )  # a counter that began again, as rate() and increase() know it
    wait_until(lambda: fleet.all_arrived(first + second), "all traces at the sink")
    series = f'{CALLS}{{span_name="{name}"}}'
    assert fleet.prometheus.value(f"count({series})") == 1
    assert fleet.prometheus.value(f"resets({series}[2m])") == 1
    before = fleet.prometheus.value(f"max_over_time({series}[2m])")
    assert before + fleet.prometheus.value(series) == 55
    assert fleet.sink.doubled() == 0
    report(name, 55, int(before + 25), len(fleet.arrived(first + second)), fleet.sink.doubled())


def test_an_agent_whose_gateways_are_all_away_keeps_the_traces_over_its_own_restart(fleet, report):
    name = "agent restarted, gateways away"
    for gateway in fleet.gateways:
        gateway.stop()
    spans = fleet.send(20, name, agent=1, error=True)
    fleet.prometheus.wait(fleet.counted(name), 20)
    fleet.agents[1].stop(signal.SIGKILL)
    fleet.agents[1].start()
    for gateway in fleet.gateways:
        gateway.start()
    wait_until(lambda: fleet.all_arrived(spans), "all traces at the sink", 60)
    report(name, 20, 20, len(fleet.arrived(spans)), fleet.sink.doubled())
    assert fleet.sink.doubled() == 0


def test_a_full_queue_refuses_and_counts_what_it_refuses_and_the_counts_of_requests_stay_right(
    otelcol, tmp_path, report
):
    with OtlpSink() as sink:
        sink.down()
        env = {"SENTRY_OTLP_TRACES_URL": sink.url, "OTELCOL_QUEUE_BYTES": "1048576"}
        with Collector(
            otelcol, tmp_path / "state", "otel-collector.yaml", WITHOUT_POLICY, env=env
        ) as running:
            sent = []
            for _ in range(20):
                spans = [Sent(name="full", attributes={"blob": "x" * 1000}) for _ in range(100)]
                assert post(running.otlp, request(spans)) == 200
                sent += spans
                time.sleep(0.25)  # longer than a batch waits: each goes to the queue as it came

            def refused():
                return int(running.metric("otelcol_exporter_enqueue_failed_spans_total", own=True))

            wait_until(lambda: running.metric(CALLS, span_name="full") == len(sent), "every span counted")
            wait_until(refused, "the refused ones counted")
            sink.up()
            # A span is counted before it is queued: on a busy machine one is refused long after the last was counted.
            wait_until(
                lambda: len(sink.spans) + refused() >= len(sent), "each at the sink, or counted as refused"
            )
            lost = refused()
            assert running.said("full", 5) or running.said("max size", 5)
            assert running.healthy()
            assert sink.doubled() == 0
            counted = int(running.metric(CALLS, span_name="full"))
            report(f"queue's disk full ({lost} refused)", len(sent), counted, len(sink.spans), sink.doubled())
            assert 0 < lost == len(sent) - len(sink.spans)
