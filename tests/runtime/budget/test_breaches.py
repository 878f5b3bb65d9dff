"""A breach is said once, and so is its end: for the limit and for each burn-rate alert."""

import pytest

from slotel.config.slo import DAY, Period, Slo
from support.metered import Clock, Metered


@pytest.fixture
def clock():
    return Clock(1_000_000.0)


def said(metered, *, alerts=False):
    return [
        (breach.key, breach.recovered)
        for breach in metered.detector.check()
        if alerts or breach.alert is None
    ]


def test_a_breach_is_said_once_per_window_and_its_end_once(clock):
    metered = Metered(clock)
    metered.count(good=90, bad=10)
    assert said(metered) == [("availability", False)]
    assert said(metered) == []
    clock.now += 1800
    metered.count(good=10, bad=10)
    assert said(metered) == []
    clock.now += 1801
    metered.count(bad=10)
    assert said(metered) == [("availability", False)]
    clock.now += 7200
    assert said(metered) == [("availability", True)]
    assert said(metered) == []


def test_a_breach_ends_also_when_nothing_of_it_is_left_in_the_history(clock):
    metered = Metered(clock)
    metered.count(good=90, bad=10)
    assert said(metered) == [("availability", False)]
    clock.now += 4 * DAY
    assert said(metered) == [("availability", True)]


def test_a_total_outage_of_a_strict_objective_is_said_without_an_exponent(clock):
    metered = Metered(clock, Slo("availability", 0.0001, 0.9999))
    metered.count(bad=10)
    assert any(
        "burn rate 10,000×, above the page threshold of 14.4×" in str(breach)
        for breach in metered.detector.check()
    )


def test_a_threshold_is_said_as_it_is_compared(clock):
    metered = Metered(clock, Slo("availability", 0.01, 0.99, period=Period(28 * DAY)))
    metered.count(bad=10)
    assert any("above the page threshold of 13.44×" in str(breach) for breach in metered.detector.check())


def test_the_sentence_has_window_counts_rate_and_limit(clock):
    metered = Metered(clock)
    metered.count(good=90, bad=10)
    limit, slowest = metered.detector.check()
    assert (
        str(limit)
        == "error budget breached: 'availability' 10 of 100 events bad in 1h, 10% against a limit of 5%"
    )
    assert str(slowest) == (
        "error budget breached: 'availability' 10 of 100 events bad in 3d, burn rate 2×, above the ticket threshold of 1×"
    )
    metered.count(good=900)
    _, recovered = metered.detector.check()
    assert str(recovered) == (
        "error budget recovered: 'availability' 10 of 1000 events bad in 3d, burn rate 0.2×, against the ticket threshold of 1×"
    )


def test_each_tier_is_said_when_both_its_windows_burn_and_ends_with_its_short_one(clock):
    metered = Metered(clock)
    metered.count(good=20, bad=80)
    assert [key for key, _ in said(metered, alerts=True)] == [
        "availability", "availability/page/1h", "availability/page/6h", "availability/ticket/1d", "availability/ticket/3d",
    ]  # fmt: skip
    clock.now += 310
    assert said(metered, alerts=True) == [("availability/page/1h", True)]
    clock.now += 1800
    assert said(metered, alerts=True) == [("availability/page/6h", True)]


def test_a_tier_that_no_error_rate_can_reach_is_never_said(clock):
    metered = Metered(clock, Slo("loose", limit=0.2, objective=0.8))
    metered.count(bad=1000)
    assert [key for key, _ in said(metered, alerts=True)] == ["loose", "loose/ticket/1d", "loose/ticket/3d"]


def test_a_few_errors_at_low_traffic_breach_nothing(clock):
    metered = Metered(clock)
    metered.count(bad=4)
    assert said(metered, alerts=True) == []
    metered.count(bad=1)
    assert ("availability", False) in said(metered)


def test_the_window_of_the_limit_is_the_objectives(clock):
    metered = Metered(clock, Slo("short", limit=0.05, objective=0.95, window=300))
    metered.count(good=50, bad=50)
    assert said(metered) == [("short", False)]
    clock.now += 320
    assert said(metered) == [("short", True)]


def test_errors_of_all_workers_breach_together(clock):
    """Each has counted fewer bad events than a breach needs."""
    one, other = Metered(clock), Metered(clock)
    for each in (one, other):
        each.count(good=30, bad=3)
        each.windows.roll()
    assert said(one) == []
    one.store.others = lambda _age: [other.store.part()]
    assert said(one) == [("availability", False)]
