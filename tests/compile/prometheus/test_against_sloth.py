"""slotel's rules beside those of the real Sloth, for the same random specs, on the same histories.

Equal where Sloth is right. The differences, each with its reason:
- before the first error Sloth has no ratio where slotel has 0, and after the last request Sloth's is not a number;
- with few requests slotel asks for five bad events before it alerts;
- a comment behind a query makes a file of Sloth that Prometheus refuses;
- windows of two hours and more are sums here, so they are compared by what they alert, not to the last digit.

More specs: `SLOTH_SPECS=40 pytest tests/compile/prometheus/test_against_sloth.py`.
"""

import os
import random
import re

import pytest
from ruamel.yaml import YAML

from slotel.cli.generate import compile_all
from slotel.compile.yaml_file import yaml_lines
from slotel.config.foreign.formats import Source, read_files
from support.promtool import check_rules, run_tests, write
from support.sloth import sloth_rules

SPECS = int(os.environ.get("SLOTH_SPECS", "4"))
CALM, OUTAGE = 60, 100
"""Minutes of good traffic, then of a constant error ratio."""
EVENTS = 3000
W = "[{{.window}}]"
JOIN = "on (sloth_service, sloth_slo, cluster)"

SHAPES = {
    "rates": ("sum(rate(r{code=~'5..',m='%s'}WIN))", "sum(rate(r{m='%s'}WIN))"),
    "increases": ("sum(increase(r{code='500',m='%s'}WIN))", "sum(increase(r{m='%s'}WIN))"),
    "a fallback": ("sum(rate(r{code!~'[2-4]..',m='%s'}WIN)) or vector(0)", "sum(rate(r{m='%s'}WIN)) > 0"),
    "a difference": (
        "sum(rate(r{m='%s'}WIN)) - sum(rate(r{code='200',m='%s'}WIN))",
        "sum(rate(r{m='%s'}WIN))",
    ),
    "groups": ("sum by (cluster) (rate(r{code='500',m='%s'}WIN))", "sum(rate(r{m='%s'}WIN)) by (cluster)"),
    "a comment": ("# faults\nsum(rate(r{code=`500`,m='%s'}WIN))", "sum(\n  rate(r{m='%s'}WIN)\n)"),
    "a raw ratio": ("1 - sum(rate(r{code='200',m='%s'}WIN)) / sum(rate(r{m='%s'}WIN))", ""),
}
OBJECTIVES = [90, 95, 99, 99.5, 99.9, 99.95]


def random_specs(count: int, seed: int = 7) -> list[tuple[dict, float]]:
    """Specs of one objective each, and the error ratio of its outage, which is no alert's threshold."""
    source, found = random.Random(seed), []
    for index in range(count):
        kind = list(SHAPES)[index % len(SHAPES)]
        bad, total = (text.replace("%s", f"m{index}").replace("WIN", W) for text in SHAPES[kind])
        sli = (
            {"events": {"error_query": bad, "total_query": total}}
            if total
            else {"raw": {"error_ratio_query": bad}}
        )
        objective = source.choice(OBJECTIVES)
        burn = source.choice([0.3, 0.7, 2, 4.5, 9, 25])
        slo = {
            "name": f"slo-{index}", "objective": objective, "sli": sli, "labels": {"owner": f"team-{index % 2}"},
            "alerting": {
                "name": f"Alert{index}", "labels": {"routing": "x"}, "page_alert": {"labels": {"severity": "critical"}},
                "ticket_alert": {"labels": {"severity": "slack"}},
            },
        }  # fmt: skip
        found.append(({"version": "prometheus/v1", "service": f"svc{index}", "labels": {"tier": "1"}, "slos": [slo]},
                      min(burn * (100 - objective) / 100, 0.9)))  # fmt: skip
    return found


def history(index: int, ratio: float) -> list[dict]:
    bad = round(EVENTS * ratio)
    values = {"200": f"0+{EVENTS}x{CALM * 2} {EVENTS * (CALM * 2 + 1) - bad}+{EVENTS - bad}x{OUTAGE * 2}",
              "500": f"0x{CALM * 2} {bad}+{bad}x{OUTAGE * 2}"}  # fmt: skip
    return [
        {"series": f'r{{code="{code}",m="m{index}",cluster="eu"}}', "values": line}
        for code, line in values.items()
    ]


@pytest.mark.real
def test_ratios_and_alerts_are_those_of_sloth(tmp_path):
    specs = random_specs(SPECS)
    yaml = YAML(typ="safe", pure=True)
    theirs, groups, inputs = [], [], []
    for index, (spec, ratio) in enumerate(specs):
        path = tmp_path / f"spec{index}.yaml"
        with path.open("w") as file:
            yaml.dump(spec, file)
        theirs += yaml.load(re.sub(r"\bslo:", "sloth:", sloth_rules(path)))["groups"]
        (reading,) = read_files({}, [Source(path.name, path.read_text())])
        assert reading.problems == ()
        groups += yaml.load(
            compile_all(reading.service, ["slotel.compile.prometheus.rules"])["prometheus/rules.yaml"]
        )["groups"]
        inputs += history(index, ratio)
    expected = []
    for minute in (30, 62, 65, 75, 90, 110, 150):
        for window in ("5m", "30m", "1h"):
            mine, other = f"slo:sli_error:ratio_rate{window}", f"sloth:sli_error:ratio_rate{window}"
            unequal = f"count(abs({mine} - {JOIN} {other}) > 1e-9)"
            expected += [_none(unequal, minute), _none(f"count(({other} >= 0) unless {JOIN} {mine})", minute)]
    for severity in ("page", "ticket"):
        fires = f'ALERTS{{alertstate="firing",sloth_severity="{severity}",alertname=~"Alert.*",%s}}'
        mine, other = fires % 'long!=""', fires % 'long=""'
        expected += [
            _none(f"{mine} unless {JOIN} {other}", CALM + OUTAGE),
            _none(f"{other} unless {JOIN} {mine}", CALM + OUTAGE),
        ]
    kept = 'count(ALERTS{alertname=~"Alert.*",long!="",owner=~"team-.",tier="1",routing="x",severity=~"critical|slack"})'
    expected.append({"expr": f'{kept} == count(ALERTS{{alertname=~"Alert.*",long!=""}})', "eval_time": f"{CALM + OUTAGE}m",
                     "exp_samples": [{"labels": "{}", "value": _alerts(specs)}]})  # fmt: skip
    document = {
        "rule_files": ["rules.yaml", "theirs.yaml"], "evaluation_interval": "30s",
        "group_eval_order": [*(group["name"] for group in groups), *(group["name"] for group in theirs)],
        "tests": [{"interval": "30s", "input_series": inputs, "promql_expr_test": expected}],
    }  # fmt: skip
    directory = write(tmp_path, {
        f"prometheus/{name}.yaml": "\n".join(yaml_lines(content)) + "\n"
        for name, content in {"rules": {"groups": groups}, "theirs": {"groups": theirs}, "rules.test": document}.items()
    })  # fmt: skip
    check_rules(directory)
    passed, output = run_tests(directory)
    assert passed, output[:4000]


def test_loaded_beside_those_of_sloth_for_the_same_objectives_slotels_rules_say_what_they_say_alone(tmp_path):
    """But for those that Sloth's rules fail at or write into: they select by labels that both write."""
    yaml = YAML(typ="safe", pure=True)
    groups, theirs, inputs = [], [], []
    for index, (spec, ratio) in enumerate(random_specs(2)):
        path = tmp_path / f"spec{index}.yaml"
        with path.open("w") as file:
            yaml.dump(spec, file)
        theirs += yaml.load(sloth_rules(path))["groups"]
        (reading,) = read_files({}, [Source(path.name, path.read_text())])
        groups += yaml.load(
            compile_all(reading.service, ["slotel.compile.prometheus.rules"])["prometheus/rules.yaml"]
        )["groups"]
        inputs += history(index, ratio)
    read = {
        "slo:current_burn_rate:ratio",
        "slo:period_burn_rate:ratio",
        "slo:period_error_budget_remaining:ratio",
    }
    broken = {*read, "slo:sli_error:ratio_rate30d"}
    for group in theirs:
        group["rules"] = [rule for rule in group["rules"] if rule.get("record") not in broken]
    samples = [{"labels": f'{{slo="slo-{index}"}}', "value": 1} for index in range(2)]
    expected = [
        {"expr": f'count by (slo) ({name}{{slo!=""}})', "eval_time": "160m", "exp_samples": samples}
        for name in (*sorted(read), "slo:error_budget_exhaustion:seconds", "slo:sli_error:ratio_rate1h")
    ]
    directory = write(tmp_path, {
        f"prometheus/{name}.yaml": "\n".join(yaml_lines(content)) + "\n"
        for name, content in {
            "rules": {"groups": groups}, "theirs": {"groups": theirs},
            "rules.test": {
                "rule_files": ["rules.yaml", "theirs.yaml"], "evaluation_interval": "30s",
                "tests": [{"interval": "30s", "input_series": inputs, "promql_expr_test": expected}],
            },
        }.items()
    })  # fmt: skip
    passed, output = run_tests(directory)
    assert passed, output[:4000]


def _none(expr, minute):
    return {"expr": expr, "eval_time": f"{minute}m", "exp_samples": []}


def _alerts(specs) -> int:
    """How many burn-rate alerts fire: those whose threshold the outage is above, an hour and more after it began."""
    windows = {
        14.4: 60,
        6: 100,
        3: 100,
        1: 100,
    }  # the last ones see the whole history: 60 good minutes, 100 of outage
    found = 0
    for spec, ratio in specs:
        limit = 1 - spec["slos"][0]["objective"] / 100
        for burn, minutes in windows.items():
            seen = ratio if minutes == 60 else ratio * OUTAGE / (CALM + OUTAGE)
            found += burn * limit < 1 and seen > burn * limit
    return found
