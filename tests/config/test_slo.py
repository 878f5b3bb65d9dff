"""Objectives, budgets and burn rates."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.config.slo import (
    BURN_RATE_ALERTS,
    DAY,
    HOUR,
    BadRules,
    Event,
    Period,
    Selection,
    Slo,
    budget_remaining,
    burn_rate,
    classify,
    matches,
    time_to_exhaustion,
)

SLO = Slo("availability", limit=0.001, objective=0.999)


def event(kind="SERVER", seconds=0.01, outcome="good", http_status=200, *, timed=True, **attributes):
    return Event(
        kind,
        seconds,
        outcome,
        http_status,
        {key.replace("__", "."): value for key, value in attributes.items()},
        timed,
    )


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (event(), "good"),
        (event(kind="CLIENT"), None),
        (event(kind="CONSUMER", http_status=None), "good"),
        (event(http_status=404), "good"),
        (event(http_status=500), "bad"),
        (event(http_status=503, outcome="bad"), "bad"),
        (event(outcome="bad", http_status=None), "bad"),
        (event(http_status=499, outcome="excluded"), "excluded"),
        (event(http_status=None, outcome="excluded"), "excluded"),
        (event(http__route="/healthz"), "excluded"),
        (event(http__route="/healthz", http_status=500), "excluded"),
        (event(http__route="/health/cart"), "good"),
    ],
)
def test_each_kind_of_span_has_its_outcome(seen, outcome):
    assert classify(SLO, seen) == outcome


@pytest.mark.parametrize("explicit", ["good", "bad", "excluded"])
def test_an_explicit_outcome_beats_every_rule(explicit):
    assert classify(SLO, event(http_status=500), explicit) == explicit
    assert classify(SLO, event(http__route="/healthz"), explicit) == explicit


def test_an_outcome_that_is_none_of_the_three_is_no_outcome():
    assert classify(SLO, event(http_status=500), "splendid") == "bad"


def test_a_slow_event_is_bad_for_a_latency_objective_only_beyond_its_threshold():
    slo = Slo("fast", limit=0.01, objective=0.99, latency=0.3)
    assert [classify(slo, event(seconds=seconds)) for seconds in (0.299, 0.3, 0.301)] == [
        "good",
        "good",
        "bad",
    ]
    assert classify(slo, event(seconds=3600, timed=False)) == "good"


def test_the_files_rules_come_before_the_outcome_table():
    slo = Slo("jobs", limit=0.01, objective=0.99, bad=BadRules(attributes={"celery.state": ("RETRY",)}))
    assert classify(slo, event(outcome="excluded", celery__state="RETRY")) == "bad"
    assert classify(slo, event(outcome="excluded", celery__state="REJECTED")) == "excluded"


def test_a_selection_takes_what_it_includes_and_leaves_what_it_excludes():
    slo = Slo(
        "checkout",
        limit=0.01,
        objective=0.99,
        select=Selection(include={"http.route": ("/checkout/*",)}, exclude={"synthetic": ("true",)}),
        bad=BadRules(http_5xx=False, attributes={"payment": ("refused",)}),
    )
    assert classify(slo, event(http__route="/checkout/card")) == "good"
    assert classify(slo, event(http__route="/cart")) is None
    assert classify(slo, event()) is None
    assert classify(slo, event(http__route="/checkout/card", synthetic="true")) == "excluded"
    assert classify(slo, event(http__route="/checkout/card", http_status=500)) == "good"
    assert classify(slo, event(http__route="/checkout/card", payment="refused")) == "bad"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("/a", "/a", True),
        ("/a", "/ab", False),
        ("/a*", "/ab", True),
        ("*b", "/ab", True),
        ("/*/c", "/a/b/c", True),
        ("/*b*/c", "/a/c", False),
        ("a*a", "a", False),
        ("*", "", True),
        ("/a.c", "/abc", False),
    ],
)
def test_a_star_stands_for_any_characters_and_nothing_else_is_special(pattern, text, expected):
    assert matches((pattern,), text) is expected


def test_the_tiers_of_thirty_days_are_those_of_the_workbook():
    assert [alert.burn_rate(30 * DAY) for alert in BURN_RATE_ALERTS] == [14.4, 6.0, 3.0, 1.0]


def test_the_tiers_of_another_period_spend_the_same_share():
    for alert in BURN_RATE_ALERTS[:3]:
        assert alert.burn_rate(28 * DAY) * alert.long / (28 * DAY) == pytest.approx(alert.share)


def test_no_tier_of_a_short_period_alerts_within_the_budget():
    assert [alert.burn_rate(7 * DAY) for alert in BURN_RATE_ALERTS] == [3.36, 1.4, 1.0, 1.0]


def test_a_five_percent_limit_keeps_the_first_tier_and_seven_percent_loses_it():
    assert len(Slo("a", limit=0.05, objective=0.95).unreachable_alerts()) == 0
    assert [alert.long for alert in Slo("a", limit=0.07, objective=0.93).unreachable_alerts()] == [HOUR]
    assert len(Slo("a", limit=0.01, objective=0.99, period=Period(90 * DAY)).burn_rate_alerts()) == 4


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.floats(1e-6, 0.999))
def test_what_is_burnt_and_what_remains_are_the_whole_budget(bad, more, limit):
    total = bad + more
    assert burn_rate(bad, total, limit) + budget_remaining(bad, total, limit) == pytest.approx(1.0)


def test_no_events_burn_nothing():
    assert burn_rate(0, 0, 0.01) == 0.0
    assert budget_remaining(0, 0, 0.01) == 1.0
    assert time_to_exhaustion(1.0, 0.0, 30 * DAY) == math.inf


def test_an_overspent_budget_is_exhausted_now():
    assert time_to_exhaustion(-0.5, 2.0, 30 * DAY) == 0.0


@pytest.mark.parametrize("route", ["/healthz", "healthz", "healthz/", "/healthz/"])
def test_a_health_route_is_excluded_as_any_framework_writes_it(route):
    event = Event("SERVER", 0.1, "good", 200, {"http.route": route})
    assert classify(Slo("availability", 0.01, 0.99), event) == "excluded"
