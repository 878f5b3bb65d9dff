"""The sliding windows of the error budget, with a clock from outside."""

import random

import pytest

from slotel.config.slo import HOUR
from slotel.runtime.budget.history import FINE_WIDTH
from support.metered import Clock, Metered


@pytest.fixture
def clock():
    return Clock(1_000_000.0)


def test_a_window_holds_what_happened_within_it_and_forgets_it_after(clock):
    metered = Metered(clock)
    metered.count(good=90, bad=10)
    assert metered.seen() == (10, 100)
    clock.now += 3580
    assert metered.seen() == (10, 100)
    clock.now += 40
    assert metered.seen() == (0, 0)


def test_windows_agree_with_a_list_of_all_events_to_the_bucket(clock):
    """Compared with brute force over random histories with pauses."""
    randomness = random.Random(7)
    metered, history = Metered(clock), []
    for _ in range(2000):
        clock.now += randomness.choice((0.2, 1.0, 7.0, 60.0))
        good, bad = randomness.randrange(4), randomness.randrange(2)
        metered.count(good=good, bad=bad)
        history.append((clock.now, good, bad))
    for seconds, width in ((300, FINE_WIDTH), (1800, FINE_WIDTH), (3600, FINE_WIDTH), (21600, 300)):
        first = (int(clock.now // width) - int(seconds // width) + 1) * width
        bad = sum(b for at, _, b in history if at >= first)
        total = sum(g + b for at, g, b in history if at >= first)
        assert metered.seen(seconds) == (bad, total)


def test_excluded_events_count_for_nothing(clock):
    metered = Metered(clock)
    metered.count(excluded=100, bad=1, good=1)
    assert metered.seen() == (1, 2)


def test_no_events_burn_nothing_and_leave_everything(clock):
    metered = Metered(clock)
    window = metered.windows.window(0, HOUR)
    assert (window.ratio, window.burn, metered.windows.remaining(0)) == (0.0, 0.0, 1.0)


def test_gauges_are_there_for_every_objective_and_window(clock):
    metered = Metered(clock)
    metered.count(good=99, bad=1)
    gauges = {family.name: dict(family.series) for family in metered.windows.families()}
    assert gauges["error_budget_limit_ratio"] == {("availability",): (0.05,)}
    assert gauges["error_budget_error_ratio"]["availability", "5m"] == (0.01,)
    assert gauges["error_budget_burn_rate"]["availability", "1h"] == pytest.approx((0.2,))
    assert gauges["error_budget_remaining_ratio"]["availability",] == pytest.approx((0.8,))
    assert set(gauges["error_budget_error_ratio"]) == {
        ("availability", window) for window in ("5m", "30m", "1h", "6h")
    }


def test_memory_is_bounded_however_long_it_runs(clock):
    metered = Metered(clock)
    metered.count(good=1)
    before = len(metered.store.cells)
    for _ in range(5000):
        clock.now += 97
        metered.count(good=1)
    assert len(metered.store.cells) == before
