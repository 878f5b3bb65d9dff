"""The generated rules, under promtool: they load, their own tests pass, and a broken rule does not get through."""

import subprocess

import pytest
from ruamel.yaml import YAML

from slotel.cli.generate import compile_all
from slotel.config.foreign.formats import read_any
from support import services
from support.promtool import check_rules, run_tests, write
from support.real import require_real

VARIED = """\
service: shop
slos:
  - {name: monthly, objective: 99.5%, period: month, window: 15m, description: "not a {{ template"}
  - {name: sliced, objective: 99%, time_slices: {length: 1m, limit: 5%}}
"""
CALLS = """\
service: shop
slos: [{name: orders, objective: 99%, include: {http.route: ["/orders*", /cart]}}]
monitoring: {source: span_metrics, match: {environment: production}}
"""
DURATIONS = """\
service: shop
slos: [{name: speed, objective: 95%, latency: 1s, include: {http.route: ["/orders*", /cart]}}]
monitoring: {source: http_server}
"""
FURTHER = {
    "a week, a long window": """\
service: shop
slos: [{name: weekly, error_budget: 5%, period: 7d, window: 4h}]
""",
    "time slices of five minutes": """\
service: shop
slos: [{name: long, objective: 95%, time_slices: {length: 5m, limit: 20%}}]
""",
}
CASES = {
    "the example": services.EXAMPLE,
    "a month, time slices": VARIED,
    "errors counted from span metrics": CALLS,
    "latency counted from HTTP server metrics": DURATIONS,
}


@pytest.mark.real
@pytest.mark.parametrize(
    "text",
    [*CASES.values(), *(pytest.param(text, marks=pytest.mark.long) for text in FURTHER.values())],
    ids=[*CASES, *FURTHER],
)
def test_the_rules_load_and_pass_the_tests_that_ship_with_them(text, tmp_path):
    directory = write(tmp_path, compile_all(services.service(text)))
    assert "SUCCESS" in check_rules(directory)
    passed, output = run_tests(directory)
    assert passed, output


def test_a_page_of_one_environment_mutes_no_ticket_of_another():
    document = YAML(typ="safe", pure=True).load(
        compile_all(services.service(CALLS))["prometheus/alertmanager.example.yaml"]
    )
    assert [rule["equal"] for rule in document["inhibit_rules"]] == [
        ["service", "slo", "slo_group", "environment"]
    ] * 2


OWN = '{service="shop",slo="availability"}'
BREAKS = {
    "no SLI before the first error": ("no error ever", "or 0 * sum(slo:events:", "or 0 * sum(slo:nothing:"),
    "one error alerts": ("one error", ">= 5", ">= 0"),
    "0/0 after silence": ("silence", f"increase5m{OWN} > 0)", f"increase5m{OWN})"),
    "a threshold a tenth too low": ("under the limit", "> 0.01\n", "> 0.001\n"),
    "the short window is not asked": ("recovery", f"ratio_rate5m{OWN}) > 0.144", f"ratio_rate5m{OWN}) > -1"),
    "differences, blind to restarts": ("a worker restarts", "sum(increase(", "sum(delta("),
    "the wrong severity": ("total outage", "severity: page", "severity: ticket"),
    "absence is never seen": ("absence", "absent(slo_events", "absent(vector(1) or slo_events"),
}


@pytest.mark.real
@pytest.mark.parametrize(("scenario", "old", "new"), BREAKS.values(), ids=BREAKS.keys())
def test_the_tests_that_ship_find_a_broken_rule(scenario, old, new, tmp_path):
    files = compile_all(services.one())
    rules = files["prometheus/rules.yaml"]
    assert old in rules
    directory = write(tmp_path, {**files, "prometheus/rules.yaml": rules.replace(old, new)})
    _keep_only(directory / "rules.test.yaml", scenario)
    check_rules(directory)
    assert not run_tests(directory)[0]


def _keep_only(path, scenario):
    yaml = YAML(typ="safe", pure=True)
    document = yaml.load(path.read_text())
    document["tests"] = [test for test in document["tests"] if test["name"].startswith(scenario)]
    assert document["tests"]
    with path.open("w") as file:
        yaml.dump(document, file)


def test_the_repositorys_own_files_are_what_the_example_gives():
    made = compile_all(services.service(services.EXAMPLE))
    own = {path: text for path, text in made.items() if path.startswith("prometheus/")}
    assert len(own) == 3
    for path, text in own.items():
        assert (services.ROOT / path).read_text(encoding="utf-8") == text, (
            f"run: slotel generate ... for {path}"
        )


def test_the_same_service_gives_the_same_files():
    assert compile_all(services.service(services.EXAMPLE)) == compile_all(services.service(services.EXAMPLE))


def test_each_rule_file_says_from_what_it_was_made():
    files = {
        path: text for path, text in compile_all(services.one()).items() if path.startswith("prometheus/")
    }
    for path, text in files.items():
        assert "slotel generate" in text and "shop" in text, path


@pytest.mark.real
def test_the_repositorys_prometheus_and_alertmanager_configurations_are_valid():
    directory = services.ROOT / "prometheus"
    for command in (
        (require_real("promtool"), "check", "config", str(directory / "prometheus.yml")),
        (require_real("amtool"), "check-config", str(directory / "alertmanager.example.yaml")),
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.real
def test_the_queries_of_a_sloth_file_alert_and_count_events(tmp_path):
    """1 % errors at an objective of 99.9 %, given as rates: burn rate 10, and events are counted, not their rate."""
    text = """\
version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(requests_total{code=~"5.."}[{{.window}}]))
        total_query: sum(rate(requests_total[{{.window}}]))
"""
    directory = write(tmp_path, compile_all(read_any({}, text, "sloth.yaml").service))
    check_rules(directory)
    (directory / "own.yaml").write_text("""\
rule_files: [rules.yaml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - {series: 'requests_total{code="200"}', values: "0+990x80"}
      - {series: 'requests_total{code="500"}', values: "0+10x80"}
    promql_expr_test:
      - expr: sum(round(slo:current_burn_rate:ratio, 0.01))
        eval_time: 30m
        exp_samples: [{labels: "{}", value: 10}]
      - expr: sum(round(slo:events_bad:increase30m, 1))
        eval_time: 35m
        exp_samples: [{labels: "{}", value: 600}]
      - expr: count(ALERTS{alertname="ErrorBudgetBurn", alertstate="firing", long="6h"})
        eval_time: 30m
        exp_samples: [{labels: "{}", value: 1}]
  - interval: 30s
    promql_expr_test:
      - expr: count(ALERTS{alertname="SLIMetricAbsent", alertstate="firing"})
        eval_time: 15m
        exp_samples: [{labels: "{}", value: 1}]
""")
    passed, output = run_tests(directory, "own.yaml")
    assert passed, output
