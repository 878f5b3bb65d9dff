"""`slotel backtest` and `slotel suggest` on a real Prometheus that was filled with a scripted past.

A longer past: `make properties`, or `BACKTEST_HOURS=720 pytest tests/cli/backtest/test_backtest.py`, is a month.
"""

import json
import os
import random

import pytest
from click.testing import CliRunner

from slotel.cli.backtest import pasts
from slotel.cli.commands import app
from slotel.cli.generate import compile_all
from slotel.cli.prometheus.api import PrometheusApi
from slotel.compile.backtest import backtest
from slotel.compile.history import STEP, Clock
from slotel.compile.yaml_file import yaml_lines
from support import services
from support.backfilled import served
from support.promtool import run_tests, write

HOURS = int(os.environ.get("BACKTEST_HOURS", "20"))
STEPS = HOURS * 120
START = 1_772_409_600
"""2026-03-02T00:00:00Z, as 0 is to promtool: a beginning of a tile."""
TEXT = """\
service: shop
slos:
  - {name: availability, objective: 99%}
monitoring: {source: slo_events}
"""


def scripted() -> dict[str, list[int]]:
    """Counters of good and bad events: outages, slow burns, single errors, silence, restarts."""
    source = random.Random(3)
    good, bad = [0], [0]
    plan = [
        (240, 0),
        (30, 1.0),
        (300, 0.0005),
        (360, 0.02),
        (120, 0.0),
        (20, 0.3),
        (90, None),
        (200, 0.004),
        (8, 0.9),
    ]
    while len(good) <= STEPS:
        steps, share = (
            plan[(len(good) // 100) % len(plan)]
            if source.random() < 0.3
            else plan[source.randrange(len(plan))]
        )
        rate = source.choice([1, 40, 200])
        for _ in range(steps):
            events = 0 if share is None else rate
            faulty = (
                round(events * share)
                if share and events * share >= 1
                else int(source.random() < events * (share or 0))
            )
            good.append(good[-1] + events - faulty)
            bad.append(bad[-1] + faulty)
    return {"good": good[: STEPS + 1], "bad": bad[: STEPS + 1]}


def openmetrics(counters):
    yield "# TYPE slo_events counter\n"
    for outcome, values in counters.items():
        labels = f'service_name="shop",slo_name="availability",slo_outcome="{outcome}"'
        for index, value in enumerate(values):
            yield f"slo_events_total{{{labels}}} {value} {START + index * STEP}\n"
    yield "# EOF\n"


@pytest.mark.real
def test_a_backtest_says_what_a_real_prometheus_did(tmp_path):
    """Every alert, its first and last evaluation, and how often it was firing in all, as promtool evaluates the rules."""
    counters, service = scripted(), services.service(TEXT)
    with served(tmp_path / "past", openmetrics(counters)) as url:
        prometheus = PrometheusApi(url)
        clock = Clock(
            START, STEPS + 1, prometheus.left_open(), slow=STEP
        )  # promtool has no intervals of groups
        (past,) = pasts(service, service.slos[0], prometheus, clock)
        found = backtest(service, service.slos[0], [past], clock)
    assert {each.severity for each in found.fired} == {"page", "ticket"}
    assert len({(each.alert, each.windows) for each in found.fired}) >= 5
    end, firing = f"{STEPS * STEP}s", 'ALERTS{alertstate="firing",alertname="%s",long="%s",short="%s"}'
    expected, often = [], {}
    for each in found.fired:
        long, _, short = each.windows.partition("/")
        selector = firing % (
            each.alert,
            long if each.alert != "ErrorBudgetExhausted" else "",
            short or long if each.alert != "ErrorBudgetExhausted" else "",
        )
        begin, over = each.begin - START, min(each.end - START, (STEPS + 1) * STEP)
        often[selector] = often.get(selector, 0) + (over - begin) // STEP
        expected += [_value(f"count({selector})", begin, 1), _value(f"count({selector})", over - STEP, 1)]
        if begin:
            expected.append(_value(f"count({selector})", begin - STEP, None))
    expected += [
        _value(f"sum(count_over_time({name[:-1]}}}[{HOURS + 1}h]))", STEPS * STEP, n)
        for name, n in often.items()
    ]
    expected.append(
        _value(
            f'sum(count_over_time(ALERTS{{alertstate="firing"}}[{HOURS + 1}h]))',
            STEPS * STEP,
            sum(often.values()),
        )
    )
    expected += list(_windows(past))
    files = compile_all(service, ["slotel.compile.prometheus.rules"])
    series = [
        {"series": f'slo_events_total{{service_name="shop",slo_name="availability",slo_outcome="{outcome}"}}',
         "values": " ".join(map(str, values))}
        for outcome, values in counters.items()
    ]  # fmt: skip
    document = {
        "rule_files": ["rules.yaml"], "evaluation_interval": f"{STEP}s",
        "group_eval_order": ["slotel-period-shop", "slotel-slo-shop"],
        "tests": [{"interval": f"{STEP}s", "input_series": series, "promql_expr_test": expected}],
    }  # fmt: skip
    files["prometheus/rules.test.yaml"] = "\n".join(yaml_lines(document)) + "\n"
    passed, output = run_tests(write(tmp_path, files))
    assert passed, f"{end}: {output[:3000]}"


def _windows(past):
    """What each window holds at some evaluations."""
    source = random.Random(11)
    for index in sorted(source.sample(range(200, STEPS), 12)):
        for window in ("5m", "1h", "2h", "6h", "1d", "30d"):
            for name, side in (("events", past.recorded.total), ("events_bad", past.recorded.bad)):
                value = side[window][index]
                exact = f"count(abs(slo:{name}:increase{window} - {value or 0!r}) < {1e-9 * (1 + (value or 0))!r})"
                yield _value(exact, index * STEP, None if value is None else 1)


def _value(expr, seconds, value):
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    return {"expr": expr, "eval_time": f"{seconds}s", "exp_samples": samples}


@pytest.mark.real
def test_the_commands_on_a_past(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("OTEL_SERVICE_NAME", "SLOTEL_CONFIG", "ERROR_BUDGET_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "slotel.yaml").write_text(TEXT)
    hours = 8
    last = START + hours * 3600
    with served(
        tmp_path / "past",
        [*list(openmetrics({k: v[: hours * 120 + 1] for k, v in scripted().items()}))[:-1], *_spans(hours)],
    ) as url:
        asked = ["--prometheus", url, "--last", f"{hours}h", "--until", str(last)]
        done = CliRunner().invoke(app, ["backtest", *asked, "--html", "report.html"])
        assert done.exit_code == 0, done.output
        assert "shop / availability" in done.output and "ErrorBudgetBurn 1h/5m" in done.output
        assert "objective 99.9 %" in done.output
        (document,) = json.loads(CliRunner().invoke(app, ["backtest", *asked, "--json"]).stdout)
        assert any(each["severity"] == "page" and each["spent"] > 0 for each in document["fired"])
        report = (tmp_path / "report.html").read_text()
        assert "shop / availability" in report and "█" in report and "ErrorBudgetBurn 1h/5m" in report
        assert "<script" not in report and "http" not in report
        done = CliRunner().invoke(
            app,
            ["suggest", "--prometheus", url, "--last", f"{hours}h", "--at", str(last), "--out", "draft.yaml"],
        )
        assert done.exit_code == 0, done.output
        refused = CliRunner().invoke(app, ["backtest", "--prometheus", f"{url}/nowhere"])
        assert refused.exit_code == 1 and "HTTP 404" in refused.output
    draft = (tmp_path / "draft.yaml").read_text()
    assert "# left out: /rare" in draft
    service = services.service(draft)
    names = {slo.name: (slo.objective, slo.latency) for slo in service.slos}
    assert names["cart-availability"] == (0.999, None)
    assert names["cart-latency"] == (0.95, 0.25)
    assert not {name for name in names if name.startswith("fails")}, (
        "fast failures are no good events of a latency"
    )
    assert "# left out: /fails: 30 % of" in draft


def _spans(hours):
    """Span metrics of two routes: one busy, 0.05 % failing, 97 % within 250 ms; one that is hardly asked for."""
    yield "# TYPE traces_span_metrics_calls counter\n"
    for route, status, rate in (
        ("/cart", "STATUS_CODE_UNSET", 1999),
        ("/cart", "STATUS_CODE_ERROR", 1),
        ("/rare", "STATUS_CODE_UNSET", 0.001),
        ("/fails", "STATUS_CODE_UNSET", 70),
        ("/fails", "STATUS_CODE_ERROR", 30),
        ("/work", "STATUS_CODE_UNSET", 500),
    ):
        labels = (
            f'service_name="shop",span_kind="SPAN_KIND_SERVER",http_route="{route}",status_code="{status}"'
        )
        yield from (
            f"traces_span_metrics_calls_total{{{labels}}} {rate * i} {START + i * STEP}\n"
            for i in range(hours * 120 + 1)
        )
    yield "# TYPE traces_span_metrics_duration_seconds histogram\n"
    fast = (1, 1, 1, 1)
    for route, status, every, shares in (
        ("/cart", "STATUS_CODE_UNSET", 2000, (0.5, 0.97, 0.975, 1)),
        ("/work", "STATUS_CODE_UNSET", 500, fast),
        ("/fails", "STATUS_CODE_UNSET", 70, fast),
        ("/fails", "STATUS_CODE_ERROR", 30, fast),
    ):
        labels = (
            f'service_name="shop",span_kind="SPAN_KIND_SERVER",http_route="{route}",status_code="{status}"'
        )
        for edge, share in zip(("0.1", "0.25", "1.0", "+Inf"), shares, strict=True):
            yield from (
                f'traces_span_metrics_duration_seconds_bucket{{{labels},le="{edge}"}} {every * share * i} {START + i * STEP}\n'
                for i in range(hours * 120 + 1)
            )
    yield "# EOF\n"
