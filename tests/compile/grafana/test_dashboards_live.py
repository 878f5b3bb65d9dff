"""Every panel of every dashboard, asked of a real Prometheus over a scripted day. Nothing here is a Grafana."""

import copy
import json
import sys
from pathlib import Path

import pytest

from slotel.compile import dashboards
from slotel.compile.prometheus.rules import groups
from slotel.config import names
from support import scripted_day, services
from support.backfilled import Past, past, scripted_past
from support.shown import ask, faults, interpolate, panels, resolve

EXAMPLE = (Path(__file__).parents[3] / "examples" / "slotel.yaml").read_text(encoding="utf-8")
BOARDS = ("slo-list", "slo-detail", "service", "pipeline")
OBJECTIVES = (
    ("checkout", "availability"),
    ("checkout", "latency"),
    ("checkout", "recommendations"),
    ("search", "availability"),
)

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's SDK needs Python 3.11"),
]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory):
    """The day, with what the generated rules record and which alerts they raise."""
    rules = [group for service in scripted_day.services(EXAMPLE) for group in groups(service)]
    directory = tmp_path_factory.mktemp("day")
    with scripted_past(directory, rules) as opened:
        yield opened


@pytest.fixture(scope="module")
def boards():
    checkout, _ = scripted_day.services(EXAMPLE)
    return {Path(path).stem: json.loads(text) for path, text in dashboards.files(checkout).items()}


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_returns_samples_and_no_nan(day: Past, boards, name, record_property):
    board = boards[name]
    chosen = {"service": "checkout", "slo": "availability"} if name == "slo-detail" else {}
    if name == "service":
        chosen = {"service": "checkout"}
    values = resolve(board, day, chosen)
    dead = []
    for panel in panels(board):
        answers = ask(panel, day, values)
        dead += faults(panel, answers)
        counts = [answer.samples for answer in answers]
        record_property(panel["title"], counts)
        print(f"{name:10} {panel['title']:48} {counts}")
    assert dead == []


@pytest.mark.parametrize(("service", "slo"), OBJECTIVES)
def test_the_detail_of_an_objective_is_never_nan_and_only_what_can_be_quiet_is_empty(
    day: Past, boards, service, slo
):
    """A service with little traffic, a silent hour and no alert still has its budget, its burn and its gauge."""
    board = boards["slo-detail"]
    values = resolve(board, day, {"service": service, "slo": slo})
    may_be_empty = {"Alert timeline", "Time to exhaustion"}
    dead = [
        fault
        for panel in panels(board)
        for fault in faults(panel, ask(panel, day, values))
        if "NaN" in fault or panel["title"] not in may_be_empty
    ]
    assert dead == []


def test_a_service_whose_metrics_come_by_otlp_has_its_rate_against_the_limit(day: Past, boards):
    """Gauges do not leave by OTLP: the limit is then the one that the rules record."""
    board = boards["service"]
    values = resolve(board, day, {"service": "checkout"})
    values["instance"] = "one-that-exposes-no-gauge"
    (gauge,) = [panel for panel in panels(board) if panel["title"] == "Error budget: rate against limit"]
    (answer,) = ask(gauge, day, values)
    assert answer.samples == 3


def test_a_service_of_another_language_is_shown_through_the_collector(day: Past, boards):
    """Its spans have the collector's job and instance, its runtime its own: the dashboard finds both."""
    board = boards["service"]
    values = resolve(board, day, {"service": "billing"})
    assert (values["instance"], values["job"]) == ("(billing\\\\-7d9f)", "(billing)")
    asked = {panel["title"]: ask(panel, day, values) for panel in panels(board)}
    for title in (
        "Requests",
        "p95",
        "Latency",
        "Durations",
        "p95 by operation",
        "Operations",
        "Memory",
        "Instances by version",
    ):
        assert all(answer.samples and not answer.unusable for answer in asked[title]), title
    assert not any(answer.unusable for answers in asked.values() for answer in answers)


def test_a_dead_panel_is_noticed(day: Past, boards):
    """The same check fails for a misspelt metric, a label that nobody has, and a division by nothing."""
    board = boards["service"]
    values = resolve(board, day, {"service": "checkout"})
    for expr in (
        "rate(traces_span_metrics_call_total[$__rate_interval])",
        'up{job="nobody"}',
        "up / (up * 0) - up / 0",
    ):
        panel = copy.deepcopy(panels(board)[0])
        panel["targets"][0]["expr"] = expr
        assert faults(panel, ask(panel, day, values)) != []


def test_a_query_that_does_not_parse_is_refused(day: Past):
    with pytest.raises(ValueError, match="parse error"):
        day.instant("sum(rate(up[5m])")


def test_the_deploy_marks_are_the_deploys_of_the_day(day: Past, boards):
    """1.4.0 stands there from the start; 1.4.1 came at 10:10 and 1.4.2 at 10:50."""
    board = boards["service"]
    values = resolve(board, day, {"service": "checkout"})
    expr = interpolate(board["annotations"]["list"][0]["target"]["expr"], values)
    first = {one["metric"]["service_version"]: int(one["values"][0][0]) for one in day.range(expr, 60)}
    hours = {version: round((at - scripted_day.START) / 3600, 1) for version, at in first.items()}
    assert hours == {"1.4.0": 0.0, "1.4.1": 10.2, "1.4.2": 10.8}


def test_what_the_panels_say_of_the_day_is_so(day: Past, boards):
    """Numbers, not only presence: the incident is in the error rate, the page fired in it, the slow hour is slow."""
    noon, night = scripted_day.START + 10.6 * 3600, scripted_day.START + 18.5 * 3600
    board = boards["service"]
    values = resolve(board, day, {"service": "checkout"})
    shown = {panel["title"]: ask(panel, day, values) for panel in panels(board)}

    def at(answer, moment, **labels):
        for found, samples in answer.series:
            if labels.items() <= found.items():
                return min(samples, key=lambda sample: abs(sample[0] - moment))[1]
        raise AssertionError(labels)

    assert at(shown["Errors by operation"][1], noon, span_name="POST /checkout") == pytest.approx(
        0.5, abs=0.02
    )
    assert at(shown["Latency"][1], night) > 1.5 * at(shown["Latency"][1], noon)
    assert {labels["project"] for labels, _ in shown["Error rate by Sentry project"][0].series} == {
        scripted_day.PROJECT
    }
    impact = {labels["span_name"]: values[0][1] for labels, values in shown["Operations"][3].series}
    assert sum(impact.values()) == pytest.approx(1.0)

    board = boards["slo-detail"]
    values = resolve(board, day, {"service": "checkout", "slo": "availability"})
    shown = {panel["title"]: ask(panel, day, values) for panel in panels(board)}
    paged = [samples for labels, samples in shown["Alert timeline"][0].series if labels["severity"] == "page"]
    assert paged and all(
        10.25 <= (moment - scripted_day.START) / 3600 < 11.5 for samples in paged for moment, _ in samples
    )


GROUPED = {
    "slo:objective:ratio": {"": 0.99},
    "slo:error_budget:ratio": {"": 0.01},
    "slo:time_period:days": {"": 30},
    "slo:period_error_budget_remaining:ratio": {"eu": 0.5, "us": -0.2},
    "slo:period_burn_rate:ratio": {"eu": 0.5, "us": 1.2},
    "slo:error_budget_exhaustion:seconds": {"eu": 86400, "us": 0},
    "slo:sli_error:ratio_rate5m": {"eu": 0.005, "us": 0.02},
    "slo:sli_error:ratio_rate1h": {"eu": 0.005, "us": 0.02},
    "slo:events:increase5m": {"eu": 100, "us": 300},
}
"""Records of an objective that tells regions apart: what belongs to the whole objective has no group."""


def test_each_group_of_an_objective_has_its_own_line_with_the_objectives_promise(tmp_path, boards):
    start = scripted_day.START

    def samples():
        for name, values in GROUPED.items():
            yield f"# TYPE {name} gauge\n"
            for group, value in values.items():
                extra = f',slo_group="{group}",region="{group}"' if group else ""
                for at in range(start, start + 601, 60):
                    yield f'{name}{{sloth_service="checkout",sloth_slo="regional"{extra}}} {value} {at}\n'
        yield "# EOF\n"

    with past(tmp_path, samples(), [], start, start + 600) as store:
        board = boards["slo-list"]
        values = resolve(board, store, {})
        table = next(panel for panel in panels(board) if panel["title"] == "Every objective")
        columns = list(
            {
                key: name
                for key, name in table["transformations"][1]["options"]["renameByName"].items()
                if "#" in key
            }.values()
        )
        rows: dict[str, dict[str, float]] = {}
        for column, answer in zip(columns, ask(table, store, values), strict=True):
            for labels, found in answer.series:
                rows.setdefault(labels["slo_group"], {})[column] = found[0][1]
        detail = {panel["title"]: panel for panel in panels(boards["slo-detail"])}
        of_us = {
            **resolve(boards["slo-detail"], store, {"service": "checkout", "slo": "regional"}),
            "group": "us",
        }
        of_all = {**of_us, "group": ".*"}
        left = [ask(detail["Budget left"], store, each)[0].series[0][1][0][1] for each in (of_us, of_all)]
    assert rows.keys() == {"eu", "us"}
    assert rows["eu"]["Objective"] == rows["us"]["Objective"] == 0.99
    assert rows["us"] == {
        **rows["us"],
        "Budget left": -0.2,
        "Burn rate, 1 h": 2.0,
        "Events, 5 min": 300,
        "Time to exhaustion": 0,
    }
    assert rows["eu"]["Time to exhaustion"] == 86400 and rows["eu"]["Firing"] == 0
    assert left == [-0.2, -0.2], "of several groups the worst"


def test_queries_select_the_chosen_service_and_no_other_whatever_it_is_called(tmp_path, boards):
    """Each printable character of ASCII, in the middle of a name and twice; but the backquote, which ends the string."""
    marks = [mark for mark in map(chr, range(32, 127)) if not mark.isalnum() and mark != "`"]
    names = [
        "a",
        "ab",
        "aab",
        "shop",
        "[ab]",
        "(?i)A",
        "$1",
        "ü ☃",
        *(f"a{mark}{mark}b" for mark in marks),
    ]
    written = {name: name.replace("\\", "\\\\").replace('"', '\\"') for name in names}
    samples = [
        f'target_info{{job="x/{name}",instance="i",service_name="{name}"}} 1 {at}\n'
        for name in written.values()
        for at in range(1772409600, 1772410200, 60)
    ]
    for labels in (
        'job="x/shop/a"',
        'job="ns/shop"',
        'job="ab",service_name="other"',
    ):  # the first two by OTLP
        samples += [
            f'target_info{{{labels},instance="j"}} 1 {at}\n' for at in range(1772409600, 1772410200, 60)
        ]
    query = next(each for each in boards["service"]["templating"]["list"] if each["name"] == "job")["query"][
        "query"
    ]
    assert ":regex}" in query
    with past(
        tmp_path, ["# TYPE target_info gauge\n", *samples, "# EOF\n"], [], 1772409600, 1772410140
    ) as opened:
        expr = query.removeprefix("query_result(").removesuffix(")")
        found = {
            name: sorted(one["metric"]["job"] for one in opened.instant(interpolate(expr, {"service": name})))
            for name in names
        }
    assert found == {**{name: [f"x/{name}"] for name in names}, "shop": ["ns/shop", "x/shop"]}


def test_an_objective_of_time_slices_is_held_to_its_slices_not_to_its_events(tmp_path):
    """A tenth of the events fail, no minute over its 20 %: the promise of 95 % good minutes is kept."""
    text = (
        "service: shop\nslos:\n  - {name: minutes, objective: 95%, time_slices: {length: 2m, limit: 20%}}\n"
    )
    service = services.service(text)
    moments = range(1772409600, 1772409600 + 3600, 15)
    samples = ["# TYPE slo_events counter\n"]
    for outcome, rate in (("good", 9), ("bad", 1), ("excluded", 0)):
        series = f'slo_events_total{{service_name="shop",slo_name="minutes",slo_outcome="{outcome}",job="j",instance="i"}}'
        samples += [f"{series} {rate * index} {at}\n" for index, at in enumerate(moments)]
    board = json.loads(dashboards.files(service)[dashboards.PATHS[names.DASHBOARD_SERVICE]])
    (gauge,) = [panel for panel in panels(board) if panel["title"] == "Error budget: rate against limit"]
    values = {"service": "shop", "environment": ".*", "job": "j", "instance": "i", "datasource": ""}
    with past(tmp_path, [*samples, "# EOF\n"], groups(service), moments[0], moments[-1]) as opened:
        (answer,) = ask(gauge, opened, values)
    (value,) = {float(each) for _, points in answer.series for _, each in points}
    assert value == 0
