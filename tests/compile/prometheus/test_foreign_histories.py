"""Objectives of OpenSLO and Sloth files get histories, too, where their queries tell which series they count."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slotel.cli.generate import compile_all
from slotel.compile.prometheus.example_series import example_series
from slotel.compile.warnings import warnings
from slotel.config.foreign.formats import read_any
from slotel.config.foreign.parsing import terms
from slotel.config.foreign.promql import UnsupportedQueryError
from slotel.config.slo import Queries
from support.promtool import check_rules, run_tests, write

W = "[{{.window}}]"
SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(requests_total{code=~"(5..|429)"}[{{.window}}]))
        total_query: sum(rate(requests_total[{{.window}}]))
  - name: latency
    objective: 95
    sli:
      events:
        error_query: |
          sum(rate(request_seconds_count{job="shop"}[{{.window}}]))
          - sum(rate(request_seconds_bucket{job="shop",le="0.3"}[{{.window}}]))
        total_query: sum(rate(request_seconds_count{job="shop"}[{{.window}}]))
"""
OPENSLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: good-orders}
spec:
  service: shop
  budgetingMethod: Timeslices
  indicator:
    metadata: {name: orders}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'orders_total{status!~"failed|lost"}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: orders_total}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.99, timeSliceTarget: 0.95, timeSliceWindow: 1m}]
"""
HISTORIES = (
    "total outage", "slow burn", "over the limit", "under the limit", "no error ever", "silence", "one error",
    "a worker restarts", "recovery", "absence",
)  # fmt: skip


def service(text):
    reading = read_any({}, text, "foreign.yaml")
    assert reading.problems == ()
    return reading.service


@pytest.mark.real
@pytest.mark.parametrize(
    "text",
    [pytest.param(SLOTH, marks=pytest.mark.long), OPENSLO],
    ids=["Sloth", "OpenSLO with time slices"],
)
def test_the_rules_of_a_foreign_file_pass_the_histories_that_ship_with_them(text, tmp_path):
    files = compile_all(service(text))
    for history in HISTORIES:
        assert files["prometheus/rules.test.yaml"].count(history) >= len(service(text).slos)
    directory = write(tmp_path, files)
    check_rules(directory)
    passed, output = run_tests(directory)
    assert passed, output


@pytest.mark.real
def test_the_histories_of_a_foreign_file_find_a_broken_rule(tmp_path):
    files = compile_all(service(OPENSLO))
    rules = files["prometheus/rules.yaml"]
    assert "> bool 0.05" in rules
    directory = write(
        tmp_path, {**files, "prometheus/rules.yaml": rules.replace("> bool 0.05", "> bool 0.01")}
    )
    assert not run_tests(directory)[0]


@pytest.mark.parametrize(
    ("bad", "total", "good_event", "bad_event"),
    [
        (
            f'sum(rate(r{{code=~"5.."}}{W}))', f"sum(rate(r{W}))",
            ("r",), ('r{code="500"}',),
        ),
        (
            f"sum(increase(errors_total{W})) or vector(0)", f'sum by (job) (increase(all_total{{job!=""}}{W}))',
            ('all_total{job="200"}',), ('all_total{job="200"}', "errors_total"),
        ),
        (
            f'sum(rate(h{{le="+Inf"}}{W})) - sum(rate(h{{le="0.5"}}{W}))', f'sum(rate(h{{le="+Inf"}}{W}))',
            ('h{le="+Inf"}', 'h{le="0.5"}'), ('h{le="+Inf"}',),
        ),
        (
            f'sum(rate(r{{route=~"/cart/.+",code!~"[2-4].."}}{W}))', f'sum(rate(r{{route=~"/cart/.+"}}{W}))',
            ('r{route="/cart/0",code="200"}',), ('r{route="/cart/0"}',),
        ),
    ],
)  # fmt: skip
def test_series_are_found_that_queries_count_as_one_event(bad, total, good_event, bad_event):
    found = example_series(Queries(bad, total))
    assert (found.good, found.bad) == (good_event, bad_event)


def test_queries_beyond_the_reader_are_said_and_have_no_histories():
    text = SLOTH.replace(
        "total_query: sum(rate(requests_total[{{.window}}]))",
        "total_query: sum(rate(requests_total[{{.window}}] offset 5m))",
    )
    files = compile_all(service(text))
    (note,) = [line for line in warnings(service(text)) if "histories" in line]
    assert note.startswith("rules.test.yaml has no histories for 'availability': the series that its queries")
    assert "# No histories for 'availability'" in files["prometheus/rules.test.yaml"]
    assert 'slo="latency"' in files["prometheus/rules.test.yaml"]


def test_queries_that_no_event_can_satisfy_are_said():
    with pytest.raises(UnsupportedQueryError, match="no series were found that make one bad event"):
        example_series(Queries(f'sum(rate(r{{code="5",code!="5"}}{W}))', f"sum(rate(r{W}))"))


@example("(" * 5000)
@example("0/0")
@given(st.text(alphabet='sumrate(){}[]=~!"ab05.|*+-/, {{.window}}', max_size=80))
def test_no_query_raises_anything_else(text):
    with contextlib.suppress(UnsupportedQueryError):
        terms(text)


@given(st.from_regex(r"[a-z0-9.|()\[\]?*+^$-]{1,20}"))
def test_no_pattern_raises_anything_else(pattern):
    with contextlib.suppress(UnsupportedQueryError):
        example_series(Queries(f'sum(rate(r{{a=~"{pattern}"}}{W}))', f"sum(rate(r{W}))"))


def test_an_objective_whose_alerts_have_templates_as_labels_has_no_histories():
    text = (
        SLOTH.partition("  - name: latency")[0]
        + "    alerting: {page_alert: {labels: {at: '{{ $value }}'}}}\n"
    )
    (note,) = [line for line in warnings(service(text)) if "histories" in line]
    assert note.endswith("'availability': labels of its alerts are templates")


def test_a_pattern_that_python_reads_otherwise_than_prometheus_makes_no_series():
    for pattern in ("5[[:digit:]]+", "[a&&b]"):
        with pytest.raises(UnsupportedQueryError, match="is not read"):
            example_series(Queries(f'sum(rate(r{{a=~"{pattern}"}}{W}))', f"sum(rate(r{W}))"))
