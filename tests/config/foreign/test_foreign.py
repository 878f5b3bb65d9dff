"""OpenSLO v1 and Sloth files: read where they mean the same, refused feature by feature where they do not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from slotel.config.foreign.formats import Source, read_any, read_files
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
    assert slo.queries.bad == 'sum (increase(http_requests_total{code=~"5.."}[{{.window}}]))'


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
    assert slo.queries.total == "sum (increase(http_requests_total[{{.window}}]))"


def test_each_condition_of_an_openslo_alert_policy_is_named_with_what_stands_in_its_place():
    policies = """\
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast}
spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1h, alertAfter: 5m}}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: ours}
spec: {alertWhenBreaching: true, conditions: [{conditionRef: fast}]}
"""
    text = OPENSLO.replace(
        "  budgetingMethod", "  alertPolicies: [{alertPolicyRef: ours}]\n  budgetingMethod"
    )
    reading = read(text + policies)
    (note,) = [each for each in reading.notes if "alert condition" in str(each)]
    assert (reading.problems, len(reading.service.slos)) == ((), 1)
    assert "(burnrate gt 2 over 1h, severity page) is not compiled" in str(note)
    assert "slotel's burn-rate alerts" in str(note)


def test_openslo_calendar_months_and_time_slices_are_read():
    text = OPENSLO.replace("{duration: 28d, isRolling: true}", "{duration: 1M, isRolling: false}")
    text = text.replace("Occurrences", "Timeslices")
    text = text.replace("{target: 0.995}", "{target: 0.995, timeSliceTarget: 0.95, timeSliceWindow: 1m}")
    (slo,) = read(text).service.slos
    assert (slo.period.calendar, slo.slices) == ("month", TimeSlices(60.0, 0.05))


def test_openslo_good_events_are_turned_round():
    (slo,) = read(OPENSLO.replace("    bad:", "    good:")).service.slos
    total = "sum (increase(http_requests_total[{{.window}}]))"
    good = 'sum (increase(http_requests_total{code=~"5.."}[{{.window}}]))'
    assert slo.queries.bad == f"{total} - ({good} or {{{{.zero}}}})"
    assert slo.queries.operands == ('http_requests_total{code=~"5.."}',)


def test_a_metric_that_its_name_calls_a_counter_is_counted_as_one_though_the_file_does_not_say_so():
    """Its values at instants, summed up, would compare what was counted since each process began."""
    stated, unstated = (read(text) for text in (OPENSLO, OPENSLO.replace("    counter: true\n", "")))
    assert unstated.service.slos[0].queries == stated.service.slos[0].queries
    assert any("its name is a counter's" in note for note in unstated.notes)
    gauge = read(OPENSLO.replace("    counter: true\n", "").replace("http_requests_total", "http_requests"))
    assert "sum_over_time" in gauge.service.slos[0].queries.total


PYRRA = """\
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: api-latency, namespace: monitoring, labels: {pyrra.dev/team: a, pyrra.dev/service: api}}
spec:
  target: "99.5"
  window: 2w
  indicator:
    latency:
      success: {metric: 'd_seconds_bucket{le="0.1"}'}
      total: {metric: d_seconds_count}
      grouping: [cluster]
"""

REFUSED = {
    "a raw ratio at an instant": (SLOTH, "events:\n", "raw: {error_ratio_query: x}\n      events:\n", "slo.yaml:8 slos[0].sli.raw", "many windows"),
    "a plugin": (SLOTH, "events:\n", "plugin: {id: x}\n      events:\n", "slo.yaml:8 slos[0].sli.plugin", "Sloth's own programs"),
    "a fixed window": (SLOTH, "http_requests_total[{{.window}}]", "http_requests_total[5m]", "slos[0].sli.events.total_query", "many windows"),
    "a gauge": (SLOTH, "sum(rate(http_requests_total[{{.window}}]))", "avg_over_time(up[{{.window}}])", "slos[0].sli.events.total_query", "an average is not a number of events"),
    "an objective of 100": (SLOTH, "99.9", "100", "slo.yaml:5 slos[0].objective", "above 0 and below 100"),
    "an unknown key of OpenSLO": (OPENSLO, "budgetingMethod", "budgettingMethod", "[1].spec.budgettingMethod", "unknown key"),
    "a threshold without a value": (OPENSLO, "  ratioMetric:", "  thresholdMetric: {metricSource: {type: Prometheus, spec: {query: up}}}\n  ratioMetric:", "[1].spec.objectives[0]", "expected one of lte"),
    "another budgeting method": (OPENSLO, "Occurrences", "Average", "[1].spec", "expected Occurrences, Timeslices"),
    "an alert policy that is not there": (OPENSLO, "  budgetingMethod", "  alertPolicies: [{alertPolicyRef: x}]\n  budgetingMethod", "[1].spec.alertPolicies[0]", "no AlertPolicy 'x'"),
    "a data source that is not there": (OPENSLO, "type: Prometheus, spec: {query: http_requests_total}", "metricSourceRef: y, spec: {query: http_requests_total}", "[1].spec.indicatorRef", "no DataSource 'y'"),
    "a composite": (OPENSLO, "{target: 0.995}", "{target: 0.995, indicatorRef: x}", "[1].spec.objectives[0].indicatorRef", "composite"),
    "a version after v1": (OPENSLO, "apiVersion: openslo/v1\nkind: SLO", "apiVersion: openslo/v2\nkind: SLO", "slo.yaml:10 [1]", "convert the document"),
    "a month of another time zone": (OPENSLO, "{duration: 28d, isRolling: true}", "{duration: 1M, calendar: {timeZone: Asia/Tokyo}}", "[1].spec.timeWindow[0].calendar", "UTC"),
    "a rolling month": (OPENSLO, "28d", "1M", "[1].spec.timeWindow[0].duration", "days or weeks"),
    "another data source": (OPENSLO, "type: Prometheus", "type: Datadog", "[1].spec.indicatorRef", "Datadog is not Prometheus"),
    "an indicator that is not there": (OPENSLO, "indicatorRef: checkout-errors", "indicatorRef: other", "[1].spec.indicatorRef", "no SLI 'other'"),
    "no indicator at all": (OPENSLO, "  indicatorRef: checkout-errors\n", "", "[1].spec", "expected indicator or indicatorRef"),
    "a time window within an objective": (OPENSLO, "{target: 0.995}", "{target: 0.995, timeWindow: [{duration: 7d}]}", "[1].spec.objectives[0].timeWindow", "unknown key"),
    "a window that is no list": (OPENSLO, "[{duration: 28d, isRolling: true}]", "{duration: 28d, isRolling: true}", "[1].spec.timeWindow", "expected a list"),
    "a window without its length": (OPENSLO, "{duration: 28d, isRolling: true}", "{isRolling: true}", "[1].spec.timeWindow[0]", "duration is missing"),
    "a target of 100 %": (OPENSLO, "{target: 0.995}", "{targetPercent: 100}", "[1].spec.objectives[0].targetPercent", "above 0 and below 1"),
    "a ratio as Sloth's objective": (SLOTH, "99.9", "0.999", "slo.yaml:5 slos[0].objective", "write 99.9 for 0.999"),
    "a ratio as Pyrra's target": (PYRRA, 'target: "99.5"', "target: 0.995", "slo.yaml:5 spec.target", "write 99.5 for 0.995"),
    "a name for no label": (SLOTH, "requests-availability", "'{{ x'", "slo.yaml:4 slos[0]", "a name has letters"),
    "brackets that do not match": (SLOTH, "total_query: sum(", "total_query: (sum(", "total_query", "line 1, column 45: expected ')', the query ends"),
    "an SLO without a spec": (OPENSLO, "spec:\n  description", "spec: []\nsped:\n  description", "[1]", "a mapping spec"),
    "objectives that are no list": (OPENSLO, "[{target: 0.995}]", "5", "[1].spec.objectives", "a list"),
    "time slices of days": (OPENSLO.replace("Occurrences", "Timeslices"), "{target: 0.995}", "{target: 0.9, timeSliceTarget: 0.9, timeSliceWindow: 2d}", "timeSliceWindow", "between 1m and 1h"),
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
    assert "two objectives of 'myservice' are named 'requests-availability'" in problem.expectation


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "1M", "0.5", "sum(rate(a[{{.window}}]))"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["spec", "ratioMetric", "x"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


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


CRD = """\
apiVersion: sloth.slok.dev/v1
kind: PrometheusServiceLevel
metadata: {name: x, namespace: monitoring}
spec:
  service: myservice
  labels: {owner: team-a, tier: 2}
  slos:
    - name: requests-availability
      objective: 99.9
      labels: {category: availability}
      sli:
        events:
          errorQuery: sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))
          totalQuery: sum(rate(http_requests_total[{{.window}}]))
      alerting:
        name: HighErrors
        labels: {routing_key: team-a}
        annotations: {summary: "{{ $labels.sloth_slo }} is bad"}
        pageAlert: {labels: {severity: critical}}
        ticketAlert: {disable: true}
"""


def test_what_a_sloth_file_says_of_its_alerts_is_kept():
    reading = read(CRD)
    assert (reading.problems, reading.notes) == ((), ())
    (slo,) = reading.service.slos
    assert slo.labels == {"owner": "team-a", "tier": "2", "category": "availability"}
    assert (slo.alerting.name, slo.alerting.ticket.is_disabled) == ("HighErrors", True)
    assert slo.alerting.page.labels == {"severity": "critical"}


def test_openslo_before_v1_is_read():
    text = """\
apiVersion: openslo/v1alpha
kind: SLO
metadata: {name: availability}
spec:
  service: shop
  budgetingMethod: Occurrences
  objectives:
    - ratioMetrics:
        incremental: true
        good: {source: prometheus, queryType: promql, query: 'ok_total'}
        total: {source: prometheus, queryType: promql, query: 'all_total'}
      target: 0.99
  timeWindows: [{count: 2, unit: Week}]
"""
    reading = read(text)
    assert (reading.problems, reading.service.name) == ((), "shop")
    (slo,) = reading.service.slos
    assert (slo.queries.total, slo.period) == ("sum (increase(all_total[{{.window}}]))", Period(14 * DAY))


def test_a_whole_edge_of_a_bucket_is_found_in_prometheus_2_and_3():
    """Prometheus 3 writes it with a decimal point."""
    (slo,) = read(SLOTH.replace('code=~"5.."', 'le="10"')).service.slos
    assert 'le=~"10|10\\\\.0"' in slo.queries.bad
    (slo,) = read(SLOTH.replace('code=~"5.."', 'le="0.5"')).service.slos
    assert 'le="0.5"' in slo.queries.bad


def test_what_sloth_reads_past_is_said():
    reading = read(SLOTH.replace("    description", "    descripton"))
    assert reading.problems == ()
    assert reading.notes[0].startswith("slo.yaml:6 slos[0].descripton: unknown key, as to Sloth")


def test_a_group_by_a_label_of_the_rules_has_it_under_another_name():
    (slo,) = read(SLOTH.replace("sum(rate", "sum by (service) (rate")).service.slos
    assert slo.queries.groups == ("exported_service",)


def test_a_raw_ratio_of_two_counts_is_counted_and_another_is_averaged_over_time():
    raw = SLOTH[: SLOTH.index("      events:")] + "      raw: {error_ratio_query: '%s'}\n"
    (slo,) = read(raw % "1 - sum(rate(good[{{.window}}])) / sum(rate(all[{{.window}}]))").service.slos
    assert slo.queries.total == "sum (increase(all[{{.window}}]))"
    assert slo.queries.operands == ("good",)
    (slo,) = read(raw % "1 - avg by (site) (avg_over_time(probe_success[{{ .window }}]))").service.slos
    assert (slo.queries.groups, slo.queries.total) == (
        ("site",), "sum by (site) (count_over_time(probe_success[{{.window}}]))",
    )  # fmt: skip
    (slo,) = read(raw % "max(quantile_over_time(0.9, loss[{{.window}}]))").service.slos
    assert slo.queries.ratio == "max (quantile_over_time(0.9, loss[{{.window}}]))"
    assert slo.unit == "minutes"


def test_an_openslo_threshold_is_a_ratio_of_instants():
    text = OPENSLO.replace(OPENSLO[OPENSLO.index("  ratioMetric") : OPENSLO.index("---")], "")
    text = text.replace(
        "spec:\n---",
        "spec: {thresholdMetric: {metricSource: {type: Prometheus, spec: {query: 'max(cpu)'}}}}\n---",
    )
    text = text.replace("{target: 0.995}", "{op: lte, value: 0.5, target: 0.99}")
    (slo,) = read(text).service.slos
    assert slo.queries.ratio == "(max (cpu)) > bool 0.5"
    assert slo.slices == TimeSlices(30.0, is_averaged=True)


def test_openslo_documents_refer_to_others_in_any_file_and_in_lists():
    data = (
        "- apiVersion: openslo/v1\n  kind: DataSource\n  metadata: {name: prom}\n  spec: {type: Prometheus}\n"
    )
    data += "- apiVersion: openslo/v1\n  kind: Service\n  metadata: {name: checkout}\n  spec: {}\n"
    sli, slo = OPENSLO.replace("type: Prometheus,", "metricSourceRef: prom,").split("---\n")
    (reading,) = read_files({}, [Source("slo.yaml", slo), Source("data.yaml", data), Source("sli.yaml", sli)])
    assert (reading.problems, reading.service.name, len(reading.service.slos)) == ((), "checkout", 1)


def test_a_pyrra_objective_is_read():
    (reading,) = read_files({}, [Source("slo.yaml", PYRRA)])
    assert (reading.problems, reading.service.name) == ((), "api")
    (slo,) = reading.service.slos
    assert (slo.name, slo.limit, slo.period, slo.labels) == (
        "api-latency",
        0.005,
        Period(14 * DAY),
        {"team": "a"},
    )
    assert slo.queries.groups == ("cluster",)
    assert slo.queries.operands == ('d_seconds_bucket{le="0.1"}',)
    gauge = PYRRA[: PYRRA.index("    latency")] + "    bool_gauge: {metric: 'probe_success{job=\"x\"}'}\n"
    (slo,) = read(gauge).service.slos
    assert slo.queries.total == 'sum (count_over_time(probe_success{job="x"}[{{.window}}]))'
    without_effect = "{name: x, absent: false, absentName: Gone, pages: true}"
    silent = read(PYRRA.replace("window: 2w", f"window: 2w\n  alerting: {without_effect}"))
    named = [note.partition(": ")[0] for note in silent.notes]
    assert named == [f"slo.yaml:7 spec.alerting.{key}" for key in ("absent", "absentName", "pages")]


def test_two_services_whose_objectives_share_an_id_are_refused():
    other = SLOTH.replace("myservice", "myservice-requests").replace("requests-availability", "availability")
    first, second = read_files({}, [Source("a.yaml", SLOTH), Source("b.yaml", other)])
    assert first.problems == ()
    assert (
        "'myservice-requests-availability' is also that of service 'myservice'"
        in second.problems[0].expectation
    )


def test_a_file_that_is_nested_too_deep_is_refused():
    reading = read(SLOTH + "labels: " + "[" * 200 + "]" * 200 + "\n")
    assert "not valid YAML" in reading.problems[0].expectation


def test_a_service_that_is_given_a_sloth_file_says_what_it_is():
    from slotel.config.service import read_service

    assert any("Sloth's" in problem.expectation for problem in read_service({}, SLOTH).problems)


def test_objects_of_other_kinds_in_the_same_file_are_passed_over():
    deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n---\n"
    reading = read(deployment + CRD)
    assert (reading.problems, reading.service.name, len(reading.service.slos)) == ((), "myservice", 1)
    for right, wrong in (("kind: Prom", "kind: Porm"), ("sloth.slok.dev", "slothslok.dev")):
        (problem,) = read_all(f"{deployment}{CRD}---\n{CRD.replace(right, wrong)}")
        assert "no objective of a known format" in problem.expectation
    bare = deployment + CRD + "---\n" + SLOTH.replace('version: "prometheus/v1"\n', "")
    assert len(read_all(bare)) == 1


def read_all(text):
    return [problem for reading in read_files({}, [Source("slo.yaml", text)]) for problem in reading.problems]


def test_what_looks_like_a_number_is_kept_as_it_is_written():
    text = SLOTH.replace("myservice", "007").replace("requests-availability", "1.10")
    text += "    alerting: {labels: {release: 2024.10, code: 0644, big: 1_000, tier: 1}}\n"
    reading = read(text)
    (slo,) = reading.service.slos
    assert (reading.problems, reading.service.name, slo.name) == ((), "007", "1.10")
    assert slo.alerting.labels == {"release": "2024.10", "code": "0644", "big": "1_000", "tier": "1"}


def test_a_label_of_the_objective_gives_way_to_the_same_label_of_its_groups():
    """The rules would write it over that of each group, and match none of them any more."""
    text = SLOTH.replace("sum(rate", "sum by (team) (rate").replace(
        "    description", "    labels: {team: a, tier: '1'}\n    description"
    )
    reading = read(text)
    (slo,) = reading.service.slos
    assert (slo.queries.groups, slo.labels) == (("team",), {"tier": "1"})
    assert reading.notes == (
        "slo.yaml:6 slos[0].labels.team: the queries group by 'team': their value is kept",
    )


def test_names_that_prometheus_writes_itself_are_no_labels_of_alerts():
    assert (
        "refuses the name '__name__'"
        in read(SLOTH + "    alerting: {labels: {__name__: x}}\n").problems[0].expectation
    )
    reading = read(SLOTH + "    alerting: {page_alert: {labels: {alertname: x, a: b}}}\n")
    assert reading.service.slos[0].alerting.page.labels == {"a": "b"}
    assert "give alerting.name" in reading.notes[0]


def test_a_text_is_neither_true_nor_false():
    """Else `disable: "false"` would take an alert away."""
    places = {
        "slos[0].alerting.page_alert.disable": SLOTH + "    alerting: {page_alert: {disable: 'false'}}\n",
        "spec.alerting.disabled": PYRRA + "  alerting: {disabled: 'false'}\n",
        "spec.indicatorRef": OPENSLO.replace("counter: true", "counter: 'false'"),
    }
    for place, text in places.items():
        (problem,) = read(text).problems
        assert problem.place.endswith(place)
        assert "expected true or false, not 'false'" in problem.expectation
    for text, is_disabled in (("false", False), ("no", False), ("Off", False), ("yes", True), ("on", True)):
        reading = read(f"{SLOTH}    alerting: {{page_alert: {{disable: {text}}}}}\n")
        assert reading.problems == ()
        assert reading.service.slos[0].alerting.page.is_disabled is is_disabled


def test_good_events_that_are_a_sum_need_one_of_its_addends_and_a_difference_no_failure():
    def queries(good):
        text = OPENSLO.replace("    bad:", "    good:").replace(
            "'http_requests_total{code=~\"5..\"}'", f"'{good}'"
        )
        reading = read(text)
        assert reading.problems == ()
        return reading.service.slos[0].queries

    total, ok, late = (
        f"sum (increase({name}[{{{{.window}}}}]))" for name in ("http_requests_total", "ok", "late")
    )
    found = queries("sum(ok) + sum(late)")
    assert found.operands == ("ok or late",)
    assert found.bad == f"{total} - ((({ok} or {{{{.zero}}}}) + ({late} or {{{{.zero}}}})) or {{{{.zero}}}})"
    found = queries("sum(ok) - sum(late)")
    assert found.operands == ("ok",)
    assert found.bad == f"{total} - ((({ok} or {{{{.zero}}}}) - ({late} or {{{{.zero}}}})) or {{{{.zero}}}})"
