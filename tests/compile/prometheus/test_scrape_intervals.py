"""Scrapes at other intervals than `monitoring.scrape_interval` says, under promtool: what each window has then."""

import json

import pytest

from slotel.cli.prometheus.checks import _scrapes
from slotel.compile.prometheus.rules import files
from slotel.compile.sources import counts
from slotel.compile.warnings import warnings
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


SLICES = "objective: 99%, time_slices: {length: 1m}"


@pytest.mark.real
def test_time_slices_that_hold_no_two_scrapes_are_told_by_an_alert(tmp_path):
    """Nothing is recorded of them, whatever happens."""
    write(tmp_path, files(services.one(SLICES)))
    own = 'service_name="shop"'
    series = [
        {"series": f"{name}{{{own},{labels}}}", "values": "0+100x80"}
        for name, labels in (
            ("slo_events_total", 'slo_name="availability",slo_outcome="bad"'),
            ("traces_span_metrics_calls_total", 'span_kind="SPAN_KIND_SERVER"'),
        )
    ]
    told = 'count(ALERTS{alertname="SLIMetricAbsent",alertstate="firing",reason="empty"})'
    asked = [
        {"expr": told, "eval_time": "110m", "exp_samples": [{"labels": "{}", "value": 1}]},
        {"expr": "slo:sli_error:ratio_rate1h", "eval_time": "110m", "exp_samples": []},
    ]
    test = {"interval": "90s", "input_series": series, "promql_expr_test": asked}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [test]}
    folder = tmp_path / "prometheus"
    (folder / "rules.test.yaml").write_text(json.dumps(document))
    passed, said = run_tests(folder)
    assert passed, said


def test_time_slices_that_hold_no_two_scrapes_are_refused_and_those_with_few_are_said():
    def service(interval):
        return services.one(SLICES, f"monitoring: {{scrape_interval: {interval}}}\n")

    with pytest.raises(ValueError, match="slice of 1m does not hold two scrapes, one every 1m"):
        files(service("1m"))
    (few,) = [line for line in warnings(service("30s")) if "slice" in line]
    assert "holds fewer than 4 scrapes, one every 30s" in few and few.endswith("scrape every 15s")
    (unknown,) = [line for line in warnings(services.one(SLICES)) if "slice" in line]
    assert "default interval of 1m" in unknown and unknown.endswith("and set monitoring.scrape_interval")
    assert not [line for line in warnings(service("15s")) if "slice" in line]


class Answers:
    """A double of a Prometheus that scraped a service for twenty minutes, once a minute."""

    def query(self, expr):
        return [{"value": [0, "20" if "count_over_time" in expr else "1140"]}]


def test_doctor_names_time_slices_that_hold_no_two_scrapes():
    service = services.one(SLICES)
    (found,) = _scrapes(service, service.slos[0], counts(service, service.slos[0]), Answers())
    assert (found.status, found.code) == ("fail", "SLO169")
    assert "a time slice of 1m does not hold two scrapes" in found.text


def test_an_objective_of_which_nothing_can_be_bad_is_refused():
    never = "objective: 99%, bad: {status_error: false, http_5xx: false}"
    source = "monitoring: {source: span_metrics}\n"
    with pytest.raises(ValueError, match="nothing makes an event bad"):
        files(services.one(never, source))
    assert files(services.one(f"{never}, latency: 1s", source))
