"""Scrapes at other intervals than `monitoring.scrape_interval` says, under promtool: what each window has then."""

import json

import pytest

from slotel.compile.prometheus.rules import files
from slotel.config.duration import parse_duration
from support import services
from support.promtool import run_tests, write

GOOD, BAD = 98, 2
"""A minute."""
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d")
HOURS = 26


def question(expr, value):
    samples = [{"labels": "{}", "value": value}]
    return {"expr": expr, "eval_time": f"{HOURS - 1}h", "exp_samples": samples}


def right(window):
    """Ask whether a window has all events and the ratio, to a thousandth."""
    total = parse_duration(window) / 60 * (GOOD + BAD)
    ratio = BAD / (GOOD + BAD)
    return [
        question(f"count(abs(slo:events:increase{window} / {total:g} - 1) < 0.001)", 1),
        question(f"count(abs(slo:sli_error:ratio_rate{window} / {ratio:g} - 1) < 0.001)", 1),
    ]


@pytest.mark.real
@pytest.mark.parametrize(
    ("seconds", "flickers"), [(15, False), (60, False), (120, False), (240, True)], ids=str
)
def test_every_window_is_right_but_one_that_holds_too_few_scrapes_is_not_always_there(
    tmp_path, seconds, flickers
):
    write(tmp_path, files(services.one()))
    series = [
        {
            "series": f'slo_events_total{{service_name="shop",slo_name="availability",slo_outcome="{outcome}"}}',
            "values": f"0+{each * seconds / 60:g}x{HOURS * 3600 // seconds}",
        }
        for outcome, each in (("good", GOOD), ("bad", BAD))
    ]
    windows = WINDOWS[1:] if flickers else WINDOWS
    there = "count_over_time(slo:sli_error:ratio_rate%s[1h])"
    questions = [each for window in windows for each in right(window)]
    questions += [question(f"count({there % window} >= 120)", 1) for window in windows]
    if flickers:
        questions += [question(f"count({there % '5m'} < 60)", 1)]
    test = {"interval": f"{seconds}s", "input_series": series, "promql_expr_test": questions}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [test]}
    folder = tmp_path / "prometheus"
    (folder / "rules.test.yaml").write_text(json.dumps(document))
    passed, said = run_tests(folder)
    assert passed, said
