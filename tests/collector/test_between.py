"""Between agents and gateways: what is taken arrives, and what was forgotten or sent twice is the difference of two metrics."""

import signal
import time

import pytest

from support.fleet import Fleet
from support.launch import wait_until
from support.otelcol import WITHOUT_POLICY, Collector, alert
from support.otlp import OtlpSink, Sent, post, request

AGENTS, GATEWAYS = (
    f'otelcol_receiver_accepted_spans{{job="otelcol-{kind}"}}' for kind in ("agent", "gateway")
)
IMPATIENT = """\
exporters:
  load_balancing:
    timeout: 3s
    retry_on_failure: {max_interval: 1s}
    protocol:
      otlp:
        retry_on_failure: {max_elapsed_time: 2s}
"""
"""What agent.yaml has, with 2 seconds in place of 50 and 3 in place of 60."""


@pytest.fixture
def fleet(otelcol, tmp_path):
    (tmp_path / "impatient.yaml").write_text(IMPATIENT)
    fleet = Fleet(
        otelcol, tmp_path, services=False, agent_files=(tmp_path / "impatient.yaml", WITHOUT_POLICY)
    )
    yield fleet
    fleet.close()


def total(fleet, expression):
    """What counters have counted, over restarts: as increase() sums it, without its extrapolation, from the first sample on."""
    return sum(
        max(0.0, float(after) - float(before)) if float(after) >= float(before) else float(after)
        for series in fleet.prometheus.query(f"{expression}[10m]")
        for (_, before), (_, after) in zip(
            [(0, 0), *series["values"]], [*series["values"], series["values"][-1]], strict=True
        )
    )


def difference(fleet):
    """How many spans more the gateways have taken than the agents say that they have."""
    return total(fleet, GATEWAYS) - total(fleet, AGENTS)


def test_a_killed_agent_loses_no_trace_that_it_had_taken_and_the_counts_it_forgot_are_the_difference(fleet):
    name = "agent killed"
    known = fleet.send(30, name, agent=0, error=True)
    fleet.prometheus.wait(fleet.counted(name), 30)
    wait_until(lambda: total(fleet, AGENTS) == total(fleet, GATEWAYS) == 30, "both say the same")
    assert fleet.prometheus.query(alert("SpansDoNotAddUp")) == []
    fleet.prometheus.stop()  # as between two of its looks
    forgotten = fleet.send(25, name, agent=0, error=True)
    time.sleep(0.1)  # half of what a batch waits for
    fleet.agents[0].stop(signal.SIGKILL)
    fleet.prometheus.start()
    fleet.agents[0].start()
    later = fleet.send(10, name, agent=0, error=True)
    fleet.prometheus.wait(fleet.counted(name), 10)
    wait_until(lambda: fleet.all_arrived(known + forgotten + later), "all traces at the sink", 60)
    assert fleet.sink.doubled() == 0
    calls = f'traces_span_metrics_calls_total{{span_name="{name}"}}'
    wait_until(
        lambda: difference(fleet) == 65 - total(fleet, calls) == 25, "the difference is what was forgotten"
    )
    wait_until(lambda: fleet.prometheus.query(alert("SpansDoNotAddUp")), "the alert")


def test_what_is_sent_twice_because_a_gateway_was_away_for_long_is_the_difference(fleet):
    fleet.gateways[0].stop()
    spans = [Sent(name="away", error=True) for _ in range(100)]
    assert post(fleet.agents[1].otlp, request(spans)) == 200
    wait_until(lambda: fleet.sink.doubled() > 0, "the other gateway's part came twice", 60)
    fleet.gateways[0].start()
    wait_until(lambda: fleet.all_arrived(spans), "all traces at the sink", 60)
    queue = 'sum(otelcol_exporter_queue_size{exporter="load_balancing"})'
    fleet.prometheus.wait(queue, 0)
    wait_until(lambda: difference(fleet) == fleet.sink.doubled(), "the difference is what came twice")
    wait_until(lambda: fleet.prometheus.query(alert("SpansDoNotAddUp")), "the alert")


def test_what_an_agent_takes_a_gateway_takes_however_large_the_spans_are(otelcol, tmp_path):
    """Small requests of large spans become batches; one span may fill a request."""
    with OtlpSink() as sink:
        env = {"SENTRY_OTLP_TRACES_URL": sink.url}
        with Collector(otelcol, tmp_path / "gateway", "gateway.yaml", env=env) as gateway:
            resolver = f"{{static: {{hostnames: ['127.0.0.1:{gateway.grpc_port}']}}}}"
            with Collector(
                otelcol, tmp_path / "agent", "agent.yaml", env={"GATEWAY_RESOLVER": resolver}
            ) as agent:
                large = [Sent(error=True, attributes={"db.query": "x" * 5000}) for _ in range(4000)]
                for start in range(0, len(large), 400):
                    assert post(agent.otlp, request(large[start : start + 400])) == 200
                huge = [
                    Sent(error=True, attributes={"db.query": "x" * size}) for size in (3_000_000, 8_000_000)
                ]
                for span in huge:
                    assert post(agent.otlp, request([span])) == 200
                sent = {span.span_id for span in (*large, *huge)}
                wait_until(lambda: {span.span_id for span in sink.spans} == sent, "all spans at the sink", 60)
                assert "Exporting failed" not in agent.log + gateway.log
                assert sink.doubled() == 0
