"""OpenSLO v1 and Sloth files: read where they mean the same, refused feature by feature where they do not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from slotel.config.formats import read_any
from slotel.config.slo import DAY, Period, TimeSlices

SLOTH = """\
version: "prometheus/v1"
service: myservice
slos:
  - name: requests-availability
    objective: 99.9
    description: Requests are answered.
    sli:
      events:
        error_query: sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))
        total_query: sum(rate(http_requests_total[{{.window}}]))
"""
OPENSLO = """\
apiVersion: openslo/v1
kind: SLI
metadata: {name: checkout-errors}
spec:
  ratioMetric:
    counter: true
    bad: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{code=~"5.."}'}}}
    total: {metricSource: {type: Prometheus, spec: {query: http_requests_total}}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  description: Requests are answered.
  service: checkout
  indicatorRef: checkout-errors
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.995}]
"""


def read(text):
    return read_any({}, text, "slo.yaml")


def test_a_sloth_file_becomes_objectives_counted_by_its_queries():
    reading = read(SLOTH)
    assert (reading.problems, reading.notes, reading.service.name) == ((), (), "myservice")
    (slo,) = reading.service.slos
    assert (slo.name, slo.limit, slo.objective, slo.period) == (
        "requests-availability",
        0.001,
        0.999,
        Period(30 * DAY),
    )
    assert slo.queries.bad == 'sum(sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))) * {{.seconds}}'


def test_an_openslo_file_becomes_objectives_counted_by_its_queries():
    reading = read(OPENSLO)
    assert (reading.problems, reading.service.name) == ((), "checkout")
    (slo,) = reading.service.slos
    assert (slo.name, slo.limit, slo.period, slo.description) == (
        "availability",
        0.005,
        Period(28 * DAY),
        "Requests are answered.",
    )
    assert slo.queries.total == "sum(sum(increase(http_requests_total[{{.window}}])))"


def test_openslo_calendar_months_and_time_slices_are_read():
    text = OPENSLO.replace("{duration: 28d, isRolling: true}", "{duration: 1M, isRolling: false}")
    text = text.replace("Occurrences", "Timeslices")
    text = text.replace("{target: 0.995}", "{target: 0.995, timeSliceTarget: 0.95, timeSliceWindow: 1m}")
    (slo,) = read(text).service.slos
    assert (slo.period.calendar, slo.slices) == ("month", TimeSlices(60.0, 0.05))


def test_openslo_good_events_are_turned_round():
    (slo,) = read(OPENSLO.replace("    bad:", "    good:")).service.slos
    assert slo.queries.bad.startswith("clamp_min(sum(sum(increase(http_requests_total[")


REFUSED = {
    "a raw ratio": (SLOTH, "events:\n", "raw: {error_ratio_query: x}\n      events:\n", "slo.yaml:8 slos[0].sli.raw", "no counts"),
    "a plugin": (SLOTH, "events:\n", "plugin: {id: x}\n      events:\n", "slo.yaml:8 slos[0].sli.plugin", "Sloth's own programs"),
    "a fixed window": (SLOTH, "http_requests_total[{{.window}}]", "http_requests_total[5m]", "slos[0].sli.events.total_query", "many windows"),
    "a gauge": (SLOTH, "sum(rate(http_requests_total[{{.window}}]))", "avg_over_time(up[{{.window}}])", "slos[0].sli.events.total_query", "rate(…) or by increase(…)"),
    "an objective of 100": (SLOTH, "99.9", "100", "slo.yaml:5 slos[0].objective", "between 0 and 100"),
    "an unknown key": (SLOTH, "    description", "    descripton", "slo.yaml:6 slos[0].descripton", "unknown key"),
    "a threshold metric": (OPENSLO, "  ratioMetric:", "  thresholdMetric: {}\n  ratioMetric:", "[0].spec.thresholdMetric", "has no events"),
    "ratio time slices": (OPENSLO, "Occurrences", "RatioTimeslices", "[1].spec.budgetingMethod", "averages ratios"),
    "a month of another time zone": (OPENSLO, "{duration: 28d, isRolling: true}", "{duration: 1M, calendar: {timeZone: Asia/Tokyo}}", "[1].spec.timeWindow[0].calendar", "UTC"),
    "a rolling month": (OPENSLO, "28d", "1M", "[1].spec.timeWindow[0].duration", "days or weeks"),
    "another data source": (OPENSLO, "type: Prometheus", "type: Datadog", "[0].spec.ratioMetric.total.metricSource.type", "no Prometheus"),
    "an indicator that is not there": (OPENSLO, "indicatorRef: checkout-errors", "indicatorRef: other", "[1].spec.indicatorRef", "no SLI 'other'"),
    "a name for no label": (SLOTH, "requests-availability", "'{{ x'", "slo.yaml:4 slos[0]", "a name has letters"),
    "brackets that do not match": (SLOTH, "total_query: sum(", "total_query: (sum(", "total_query", "do not match"),
    "an SLO without a spec": (OPENSLO, "spec:\n  description", "spec: []\nsped:\n  description", "[1]", "a mapping spec"),
    "objectives that are no list": (OPENSLO, "[{target: 0.995}]", "5", "[1].spec.objectives", "a list"),
    "time slices of days": (OPENSLO.replace("Occurrences", "Timeslices"), "{target: 0.995}", "{target: 0.9, timeSliceTarget: 0.9, timeSliceWindow: 2d}", "timeSliceWindow", "between 1m and 1h"),
    "a comparison": (OPENSLO, "{target: 0.995}", "{target: 0.995, op: lt, value: 3}", "[1].spec.objectives[0].op", "only ratio metrics"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new", "place", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_feature_that_means_something_else_is_refused_with_its_place_and_the_reason(
    text, old, new, place, reason
):
    assert old in text
    reading = read(text.replace(old, new))
    (problem,) = reading.problems
    assert place in problem.place
    assert reason in problem.expectation
    assert reading.service.slos == ()


def test_two_objectives_of_one_name_are_refused():
    (problem,) = read(SLOTH + SLOTH[SLOTH.index("  - name") :]).problems
    assert "two objectives are named 'requests-availability'" in problem.expectation


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "1M", "0.5", "sum(rate(a[{{.window}}]))"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["spec", "ratioMetric", "x"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from([SLOTH, OPENSLO]), st.integers(0, 40), ANYTHING)
def test_no_wrong_part_of_a_foreign_file_raises(text, where, wrong):
    """Whatever stands in the place of one of its values."""
    documents = list(YAML(typ="safe", pure=True).load_all(text))
    places = [place for document in documents for place in _places(document)]
    part, key = places[where % len(places)]
    part[key] = wrong
    read("\n---\n".join(json.dumps(document) for document in documents))


def _places(part):
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        yield part, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def test_what_slotel_has_its_own_of_is_said_and_does_no_harm():
    reading = read(SLOTH + "    alerting: {name: High, page_alert: {disable: true}}\n")
    assert reading.problems == ()
    assert len(reading.notes) == 2
    assert "slo.yaml:11 slos[0].alerting" in reading.notes[0]


def test_a_service_that_is_given_a_sloth_file_says_what_it_is():
    from slotel.config.service import read_service

    assert any("Sloth's" in problem.expectation for problem in read_service({}, SLOTH).problems)
