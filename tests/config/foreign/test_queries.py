"""Queries of other tools' files: what is left out, refused, and written again as Prometheus reads it."""

import json

import pytest

from slotel.config.foreign.counts import count, ratio
from slotel.config.foreign.promql import UnsupportedQueryError

W = "[{{.window}}]"
EVENTS = f"sum(rate(a{W}))"


@pytest.mark.parametrize(
    ("query", "left_out"),
    [
        (f"sum(sum(rate(a{W})) or vector(1))", "or vector(1)"),
        (f"sum(sum(sum by (x) (rate(a{W}) or on () vector(3))))", "or vector(3)"),
        (f"({EVENTS} or vector(1)) * 60", "or vector(1)"),
        (f"60 * ({EVENTS} or vector(1))", "or vector(1)"),
        (f"({EVENTS} or vector(1)) / 2", "or vector(1)"),
        (f"clamp_min({EVENTS} or vector(1), 0)", "or vector(1)"),
        (f'label_replace({EVENTS} or vector(1), "x", "y", "", "")', "or vector(1)"),
        (f"({EVENTS} or vector(1)) and on () up", "or vector(1)"),
        (f"({EVENTS} or vector(1)) unless on () down == 1", "or vector(1)"),
        (f"({EVENTS} or vector(1)) or (sum(rate(b{W})) or vector(1))", "or vector(1)"),
        (f"({EVENTS} or vector(1)) * on () group_left () info", "or vector(1)"),
        (f"info * on () group_right () ({EVENTS} or vector(1))", "or vector(1)"),
        (f"clamp_min({EVENTS}, 1)", "clamp_min(…, 1)"),
        (f"sum(clamp_min(rate(a{W}), 0.001))", "clamp_min(…, 0.001)"),
        (f"clamp_min({EVENTS}, scalar(x))", "clamp_min(…, scalar(x))"),
    ],
)
def test_what_adds_events_is_left_out_wherever_it_stands(query, left_out):
    found = count(query, is_total=True)
    assert {*found.notes} == {f"'{left_out}' would count events that never happened: it is left out"}
    assert not any(part in found.text for part in ("vector(", "clamp_min", "scalar")) or "(…" not in left_out
    assert "vector(" not in found.text


def test_a_difference_may_still_be_kept_from_being_negative():
    text = count(f"sum(clamp_min(rate(a{W}) - on (x) rate(b{W}), 0))").text
    assert text.startswith("sum (clamp_min(") and text.endswith(", 0))")


@pytest.mark.parametrize("function", ["clamp_max({}, 5)", "clamp({}, 0, 5)", "sum(clamp_max({}, 5))"])
def test_a_limit_on_the_number_of_events_is_refused(function):
    with pytest.raises(UnsupportedQueryError, match="loses the events above its limit"):
        count(function.format(EVENTS))


def test_each_addend_of_all_events_may_be_missing():
    a, b, c = (f"sum (increase({name}{W}))" for name in "abc")
    found = count(f"sum(rate(a{W})) + sum(rate(b{W})) + sum(rate(c{W}))", is_total=True)
    first = f"({a} or 0 * ({b})) + ({b} or 0 * ({a}))"
    assert found.text == f"(({first} or 0 * ({c})) + ({c} or 0 * ({a} or {b})))"
    many = " + ".join(f"sum(rate(a{i}{W}))" for i in range(40))
    assert len(count(many, is_total=True).text) < 100_000


def test_events_of_a_native_histogram_are_counted():
    assert count(f"histogram_count(sum(rate(a{W})))").text == f"histogram_count(sum (increase(a{W})))"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (f'sum(sum by ("http.route", x) (rate(a{W})))', f'sum (sum by ("http.route", x) (increase(a{W})))'),
        (
            f'sum(rate(a{W}) * on ("k8s.pod") group_left ("k8s.node") info)',
            f'sum (increase(a{W}) * on ("k8s.pod") group_left ("k8s.node") info)',
        ),
        ("sum(increase(a[{{.window}}:{{.window}}]))", "sum (increase(a[{{.window}}:{{.window}}]))"),
        (f"sum(increase(a{W} offset {{{{.window}}}}))", f"sum (increase(a{W} offset {{{{.window}}}}))"),
    ],
)
def test_labels_with_dots_and_windows_in_any_place_are_written_as_they_were(query, text):
    assert count(query).text == text


@pytest.mark.parametrize(
    "pattern",
    [
        "a++",
        "a*+",
        "a?+",
        "a{2}+",
        "a**",
        "a+*",
        "a{2}{3}",
        "a{1001}",
        "a{1,2000}",
        "(?x) a b",
        "(?u)a",
        r"\u0041",
    ],
)
def test_a_pattern_that_prometheus_does_not_read_is_refused(pattern):
    with pytest.raises(UnsupportedQueryError, match="RE2"):
        count(f"sum(rate(a{{x=~{json.dumps(pattern)}}}{W}))")


@pytest.mark.parametrize(
    "pattern",
    [
        r"/a\++",
        "[*+]+",
        "[[:digit:]]+",
        "a{1,1000}",
        "a*?",
        "a{2,}?",
        "(?i)a",
        "(?P<n>a)",
        r"\\u0041",
        r"a\{2}+",
        "[]+*]+",
    ],
)
def test_a_pattern_that_prometheus_reads_is_kept(pattern):
    written = json.dumps(pattern)
    assert f"x=~{written}" in count(f"sum(rate(a{{x=~{written}}}{W}))").text


def test_a_ratio_with_a_fallback_is_counted_and_the_fallback_is_said():
    pair = f"sum(rate(e{W})) / sum(rate(t{W}))"
    found = ratio(f"({pair}) or (0 * sum(rate(t{W})))")
    assert (found.total.text, found.notes) == (f"sum (increase(t{W}))", ())
    assert ratio(f"({pair}) or vector(1)").notes == ("'or vector(1)' without any event: it is left out",)
