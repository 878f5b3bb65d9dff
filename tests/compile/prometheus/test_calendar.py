"""Calendar periods: the budget is new with the month or the quarter (UTC), and nothing of an older one leaks in."""

from dataclasses import replace

import pytest

from slotel.compile import conventions as at
from slotel.compile.prometheus.records import period_rules, tile_rules
from slotel.compile.promql import Group, equal, series
from slotel.compile.yaml_file import yaml_lines
from support import services
from support.promtool import run_tests, write

DAYS = {
    "Jan": 31,
    "Feb": 28,
    "Mar": 31,
    "Apr": 30,
    "May": 31,
    "Jun": 30,
    "Jul": 31,
    "Aug": 31,
    "Sep": 30,
    "Oct": 31,
}
"""Of 1970, where promtool's clock begins."""
BEGINS = {month: sum(list(DAYS.values())[:index]) for index, month in enumerate(DAYS)}
TICK_HOURS = 6
ALL_BAD, HALF, NONE = 100, 50, 0


def run(tmp_path, period, bad_by_month, expected):
    """Give the period's rules a base window of 100 events at each tick, so many of them bad in each month."""
    owner = services.one(f"objective: 90%, period: {period}")
    slo = owner.slos[0]
    rules = [
        replace(rule, expr=rule.expr.replace("[1h]", f"[{TICK_HOURS + 1}h]"))  # a tile is as old as a tick
        for rule in (*tile_rules(owner, [slo]), *period_rules(owner, [slo]))
    ]
    group = Group("period", "6h", tuple(rules)).document()
    ticks = [(month, 24 // TICK_HOURS * days) for month, days in DAYS.items() if month in bad_by_month]
    bad = " ".join(f"{bad_by_month[month]}x{count - 1}" for month, count in ticks)
    total = f"100x{sum(count for _, count in ticks) - 1}"
    tests = [
        {
            "expr": f"sum(round({at.recorded(at.ratio(period), owner, slo)}, 0.001))",
            "eval_time": f"{int(day * 24)}h",
            "exp_samples": [{"labels": "{}", "value": value}],
        }
        for day, value in expected
    ]
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": f"{TICK_HOURS}h",
        "tests": [
            {
                "interval": f"{TICK_HOURS}h",
                "input_series": [
                    {"series": series(at.total("5m"), equal(at.labels(owner, slo))), "values": total},
                    {"series": series(at.bad("5m"), equal(at.labels(owner, slo))), "values": bad},
                ],
                "promql_expr_test": tests,
            }
        ],
    }
    files = {"prometheus/rules.yaml": {"groups": [group]}, "prometheus/rules.test.yaml": document}
    directory = write(tmp_path, {path: "\n".join(yaml_lines(content)) for path, content in files.items()})
    passed, output = run_tests(directory)
    assert passed, output[:4000]


@pytest.mark.real
def test_a_month_begins_with_a_whole_budget_and_february_lets_no_january_into_march(tmp_path):
    run(
        tmp_path,
        "month",
        {"Jan": ALL_BAD, "Feb": HALF, "Mar": NONE, "Apr": HALF, "May": ALL_BAD},
        [
            (BEGINS["Feb"] - 0.25, 1.0),
            (BEGINS["Feb"] + 0.5, 0.5),
            (BEGINS["Mar"] - 0.25, 0.5),
            (BEGINS["Mar"] + 0.5, 0.0),
            (BEGINS["Mar"] + 1, 0.0),
            (BEGINS["Apr"] - 0.25, 0.0),
            (BEGINS["May"] - 0.25, 0.5),
            (BEGINS["May"] + 20, 1.0),
        ],
    )


@pytest.mark.real
def test_a_quarter_begins_with_a_whole_budget(tmp_path):
    run(
        tmp_path,
        "quarter",
        dict(zip(DAYS, [ALL_BAD] * 3 + [NONE] * 3 + [HALF] * 3 + [NONE], strict=True)),
        [
            (BEGINS["Apr"] - 0.25, 1.0),
            (BEGINS["Apr"] + 0.5, 0.0),
            (BEGINS["Jul"] - 0.25, 0.0),
            (BEGINS["Jul"] + 60, 0.5),
            (BEGINS["Oct"] - 0.25, 0.5),
            (BEGINS["Oct"] + 20, 0.0),
        ],
    )
