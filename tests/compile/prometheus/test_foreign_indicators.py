"""Indicators that are no two numbers of events: what is recorded of them, under promtool."""

import pytest

from slotel.cli.generate import compile_all
from slotel.compile.yaml_file import yaml_lines
from slotel.config.foreign.formats import Source, read_files
from support.promtool import check_rules, run_tests, write

SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}}}
spec:
  service: shop
  budgetingMethod: {method}
  indicator: {{spec: {indicator}}}
  timeWindow: [{{duration: 4w, isRolling: true}}]
  objectives: [{{target: 0.9, {more}}}]
"""
PROM = "{metricSource: {type: Prometheus, spec: {query: '%s'}}}"
RATIO = f"{{ratioMetric: {{counter: true, bad: {PROM % 'bad_total'}, total: {PROM % 'all_total'}}}}}"
THRESHOLD = f"{{thresholdMetric: {PROM % 'max(cpu)'}}}"
RAW = f"{{ratioMetric: {{rawType: success, raw: {PROM % 'avg(success)'}}}}}"
SLICES = "timeSliceTarget: 0.5, timeSliceWindow: 1m"
OPENSLO = {
    "ratio-slices": (RATIO, "RatioTimeslices", "timeSliceWindow: 1m"),
    "slices": (RATIO, "Timeslices", SLICES),
    "threshold": (THRESHOLD, "Occurrences", "op: lte, value: 0.5"),
    "threshold-slices": (THRESHOLD, "Timeslices", f"op: lt, value: 0.5, {SLICES}"),
    "raw": (RAW, "Occurrences", "displayName: x"),
}
SLOTH = """\
version: prometheus/v1
service: raw
slos:
  - {name: minutes, objective: 90, sli: {raw: {error_ratio_query: 'max(quantile_over_time(0.5, loss[{{.window}}]))'}}}
  - {name: by-service, objective: 90, sli: {events: {error_query: 'sum by (service) (rate(bad_total[{{.window}}]))',
     total_query: 'sum by (service) (rate(all_total[{{.window}}]))'}}}
"""
NATIVE = """\
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: native}
spec: {target: "99", window: 2w, indicator: {latencyNative: {latency: 100ms, total: {metric: d_seconds}, grouping: [job]}}}
"""
EXPECTED = {
    # half an hour in which 20 % of the events are bad in one minute of two
    'slo:sli_error:ratio_rate30m{sloth_slo="ratio-slices"}': 0.1,
    'slo:sli_error:ratio_rate30m{sloth_slo="slices"}': 0,
    # cpu is 0.8 for a quarter of the time, and exactly the value for another one, which only `lt` excludes
    'slo:sli_error:ratio_rate30m{sloth_slo="threshold"}': 0.25,
    'slo:sli_error:ratio_rate30m{sloth_slo="raw"}': 0.2,
    'slo:sli_error:ratio_rate30m{sloth_slo="minutes"}': 0.25,
    'slo:sli_error:ratio_rate30m{sloth_slo="by-service",exported_service="cart"}': 0.1,
}


@pytest.mark.real
def test_averages_thresholds_and_raw_ratios_are_recorded_as_the_formats_mean_them(tmp_path):
    text = "---\n".join(SLO.format(name=n, indicator=i, method=m, more=o) for n, (i, m, o) in OPENSLO.items())
    readings = read_files({}, [Source("a.yaml", text), Source("b.yaml", SLOTH), Source("c.yaml", NATIVE)])
    assert [reading.problems for reading in readings] == [(), (), ()]
    files = {
        f"prometheus/{reading.service.name}.yaml": compile_all(
            reading.service, ["slotel.compile.prometheus.rules"]
        )["prometheus/rules.yaml"]
        for reading in readings
    }
    steps = 100
    bad, value = ["0"], 0
    for step in range(1, steps + 1):
        value += 20 if (step // 2) % 2 else 0
        bad.append(str(value))
    cpu = " ".join(["0.8", "0.5", "0.1", "0.1"] * (steps // 4 + 1))
    document = {
        "rule_files": [path.partition("/")[2] for path in files], "evaluation_interval": "30s",
        "group_eval_order": [f"slotel-{kind}-{r.service.name}" for r in readings for kind in ("period", "slo")],
        "tests": [{
            "interval": "30s",
            "input_series": [
                {"series": 'bad_total{service="cart"}', "values": " ".join(bad)},
                {"series": 'all_total{service="cart"}', "values": f"0+100x{steps}"},
                {"series": "cpu", "values": cpu},
                {"series": "success", "values": f"0.8x{steps}"},
                {"series": "loss", "values": f"0.25x{steps}"},
            ],
            "promql_expr_test": [
                {"expr": f"sum(abs({expr} - {expected}) < bool 0.02)", "eval_time": "45m",
                 "exp_samples": [{"labels": "{}", "value": 1}]}
                for expr, expected in EXPECTED.items()
            ],
        }],
    }  # fmt: skip
    files["prometheus/rules.test.yaml"] = "\n".join(yaml_lines(document)) + "\n"
    directory = write(tmp_path, files)
    for reading in readings:
        (directory / "rules.yaml").write_text(files[f"prometheus/{reading.service.name}.yaml"])
        assert "SUCCESS" in check_rules(directory)
    passed, output = run_tests(directory)
    assert passed, output[:3000]
