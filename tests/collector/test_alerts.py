"""collector/alerts.yaml over scripted series, by promtool: each alert fires for its fault and is silent without it."""

import json
from urllib.request import Request, urlopen

import pytest
from ruamel.yaml import YAML

from support.alertmanager import Alertmanager, Webhook
from support.kept import run_kept
from support.launch import wait_until
from support.otelcol import CONFIGS, ROOT
from support.ports import free_port
from support.prom import Prometheus
from support.real import require_real

MEMORY = "otelcol_processor_tail_sampling_sampling_traces_on_memory"
EARLY = "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early"
SAMPLED = "otelcol_processor_tail_sampling_global_count_traces_sampled"
ACCEPTED = "otelcol_receiver_accepted_spans"
CASES = {
    "CollectorDown": {'up{job="otelcol",instance="a"}': "1 0x20"},
    "CollectorRefusesSpans": {'otelcol_receiver_refused_spans{instance="a"}': "0+10x20"},
    "CollectorQueueFull": {
        'otelcol_exporter_enqueue_failed_spans{instance="a",exporter="otlp_http/sentry"}': "0+0x5 50x15"
    },
    "CollectorQueueFilling": {
        'otelcol_exporter_queue_size{instance="a",exporter="e"}': "60x20",
        'otelcol_exporter_queue_capacity{instance="a",exporter="e"}': "100x20",
    },
    "CollectorExportFails": {'otelcol_exporter_send_failed_spans{instance="a",exporter="e"}': "0x5 3x15"},
    "GatewayForgotSpans": {
        'otelcol_process_uptime{instance="a"}': "60+60x5 5+60x14",
        f'{MEMORY}{{instance="a"}}': "40x5 0x14",
    },
    "GatewayForgetsTooEarly": {
        f"{EARLY}{{instance='a'}}": "0+15x20",
        f"{SAMPLED}{{instance='a',sampled='true',decision='sampled'}}": "5+10x20",
        f"{SAMPLED}{{instance='a',sampled='false',decision='not_sampled'}}": "0+99x20",
    },
    "SpansDoNotAddUp": {
        f"{ACCEPTED}{{job='otelcol-gateway',instance='a'}}": "0+60x20",
        f"{ACCEPTED}{{job='otelcol-gateway',instance='b'}}": "0+45x20",
        f"{ACCEPTED}{{job='otelcol-agent',instance='c'}}": "0+100x20",
        "otelcol_exporter_queue_size{job='otelcol-agent',instance='c',exporter='load_balancing'}": "3x20",
    },
    "CollectorRefusesMetrics": {
        "otelcol_exporter_sent_metric_points{instance='a',exporter='debug/refused_no_service_instance_id'}": "0+2x40"
    },
    "CollectorQueueSetAside": {"target_info{instance='a',slotel_queues_set_aside='1 broken'}": "1x40"},
    "SpanMetricsOverflow": {
        "traces_span_metrics_calls_total{instance='a',otel_metric_overflow='true'}": "0+5x40"
    },
}
QUIET = {
    'up{job="otelcol",instance="a"}': "1x40",
    'otelcol_receiver_refused_spans{instance="a"}': "7x40",
    'otelcol_exporter_enqueue_failed_spans{instance="a",exporter="e"}': "7x40",
    'otelcol_exporter_queue_size{instance="a",exporter="e"}': "10x40",
    'otelcol_exporter_queue_capacity{instance="a",exporter="e"}': "100x40",
    'otelcol_exporter_send_failed_spans{instance="a",exporter="e"}': "7x40",
    'otelcol_process_uptime{instance="a"}': "60+60x40",
    f'{MEMORY}{{instance="a"}}': "40x40",
    f'{EARLY}{{instance="a"}}': "0+10x40",
    f'{SAMPLED}{{instance="a",sampled="true",decision="sampled"}}': "10+10x40",  # ten seconds ahead
    f'{ACCEPTED}{{job="otelcol-gateway",instance="g"}}': "0+101x20 2020x20",
    f'{ACCEPTED}{{job="otelcol-agent",instance="h"}}': "0+100x40",
    'traces_span_metrics_calls_total{instance="a",otel_metric_overflow="true"}': "7x40",
    'target_info{instance="a"}': "1x40",
    'target_info{instance="b",slotel_queues_set_aside="0 broken"}': "1x40",
}


def firing(tmp_path, series, at):
    """The names of the alerts that fire at a minute."""
    prometheus = tmp_path / "test.yaml"
    names = list(CASES)
    tests = {
        "rule_files": [str(CONFIGS / "alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
                        "eval_time": at,
                        "exp_samples": [{"labels": "{}", "value": -1}],
                    }
                ],
            }
            for name in names
        ],
    }
    with prometheus.open("w") as file:
        YAML().dump(tests, file)
    command = [require_real("promtool"), "test", "rules", str(prometheus)]
    run = run_kept(command, CONFIGS / "alerts.yaml", elsewhere=tmp_path)
    got = [line.split("got:")[1] for line in (run.stdout + run.stderr).splitlines() if "got:" in line]
    if not got:
        lines = (run.stdout + run.stderr).splitlines()
        got = [lines[index + 1] for index, line in enumerate(lines) if line.strip().startswith("exp:")]
    assert len(got) == len(names), run.stdout + run.stderr
    return {
        name for name, line in zip(names, got, strict=True) if not line.strip().strip('"').endswith(" 0E+00")
    }


@pytest.mark.parametrize("alert", CASES)
def test_each_alert_fires_for_its_fault(tmp_path, alert):
    assert alert in firing(tmp_path, CASES[alert], "18m" if alert == "SpanMetricsOverflow" else "8m")


@pytest.mark.parametrize("signal", ["log_records", "metric_points"])
@pytest.mark.parametrize("alert", ["CollectorRefusesSpans", "CollectorQueueFull", "CollectorExportFails"])
def test_what_is_lost_of_logs_and_metrics_fires_as_spans_do(tmp_path, alert, signal):
    series = {name.replace("_spans{", f"_{signal}{{"): values for name, values in CASES[alert].items()}
    assert firing(tmp_path, series, "8m") == {alert}


def test_a_queue_that_empties_is_no_sum_that_does_not_add_up(tmp_path):
    late = CASES["SpansDoNotAddUp"] | {
        "otelcol_exporter_queue_size{job='otelcol-agent',instance='d',exporter='load_balancing'}": "500x3 0x17"
    }
    assert firing(tmp_path, late, "8m") == set()


def test_none_fires_while_nothing_is_wrong(tmp_path):
    assert firing(tmp_path, QUIET, "30m") == set()


def test_every_alert_has_its_case():
    rules = YAML(typ="safe").load((CONFIGS / "alerts.yaml").read_text())
    assert {rule["alert"] for group in rules["groups"] for rule in group["rules"]} == set(CASES)


RULES = YAML(typ="safe").load((CONFIGS / "alerts.yaml").read_text())["groups"][0]["rules"]


@pytest.fixture
def routed(tmp_path):
    """The generated routes, with their inhibitions, and where their receivers lead."""
    webhook = Webhook()
    manager = Alertmanager(tmp_path / "alertmanager", webhook, inhibits=True)
    yield manager, webhook
    manager.close()
    webhook.close()


def test_each_alert_arrives_at_the_receiver_of_its_severity_and_mutes_no_other(routed):
    """All at once, of two collectors: no page of one hides a ticket of the other."""
    manager, webhook = routed
    labels = [
        {"alertname": rule["alert"], "instance": instance, **rule["labels"]}
        for rule in RULES
        for instance in ("a", "b")
    ]
    body = json.dumps([{"labels": each} for each in labels]).encode()
    ask = Request(
        f"http://127.0.0.1:{manager.port}/api/v2/alerts",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    with urlopen(ask, timeout=60) as answer:
        assert answer.status == 200
    wait_until(lambda: all(webhook.first("firing", **each) for each in labels), "every alert arrives")
    assert {(each.labels["severity"], each.path) for each in webhook.arrived} == {
        ("page", "/page"),
        ("ticket", "/ticket"),
    }


def test_a_collector_that_is_down_pages(routed, tmp_path):
    manager, webhook = routed
    rules = tmp_path / "alerts.yaml"
    rules.write_text((CONFIGS / "alerts.yaml").read_text().replace("for: 2m", "for: 1s"))
    nobody = f"127.0.0.1:{free_port()}"
    with Prometheus(
        tmp_path / "prometheus", {"otelcol": [nobody]}, [rules], alertmanagers=[f"127.0.0.1:{manager.port}"]
    ):
        arrived = wait_until(lambda: webhook.first("firing", alertname="CollectorDown"), "the page arrives")
    assert arrived.path == "/page"
    assert nobody in arrived.annotations["summary"]


def test_kustomize_and_the_chart_bring_the_same_alerts():
    documents = YAML(typ="safe").load_all((ROOT / "deploy/kubernetes/monitoring.yaml").read_text())
    [rules] = [each["spec"]["groups"][0]["rules"] for each in documents if each["kind"] == "PrometheusRule"]
    assert rules == RULES
