"""Time slices in the live meter: a slice is good or bad by what all workers counted in it."""

import random
from collections import defaultdict

import pytest

from slotel.config.slo import DAY, HOUR, Slo, TimeSlices
from slotel.runtime.budget.history import SETTLED
from slotel.runtime.metrics.store.family import ProcessSnapshot
from slotel.runtime.metrics.workers.compaction import add_up
from support.metered import Clock, Metered

MINUTE = 60


def sliced(seconds=MINUTE, limit=0.05):
    return Slo("sliced", limit=0.1, objective=0.9, slices=TimeSlices(seconds, limit))


@pytest.fixture
def clock():
    return Clock(1_000_020.0)


def at_slice(clock, number):
    """Go to ten seconds after the begin of a slice, counted from the first."""
    clock.now = 1_000_020.0 + number * MINUTE + 10


def test_a_slice_is_bad_by_its_own_events_whatever_their_number(clock):
    """A thousand good requests in one minute do not make up for one bad of two in another."""
    metered = Metered(clock, sliced())
    at_slice(clock, 0)
    metered.count(good=1000)
    at_slice(clock, 1)
    metered.count(good=1, bad=1)
    at_slice(clock, 2)
    metered.count(good=99, bad=1)
    at_slice(clock, 3)
    metered.windows.roll()
    clock.now += 1
    assert metered.seen() == (1, 3)


def test_a_slice_without_events_is_good_and_counts(clock):
    metered = Metered(clock, sliced())
    at_slice(clock, 0)
    metered.count(bad=1)
    at_slice(clock, 10)
    assert metered.seen() == (1, 10)
    window = metered.windows.window(0, HOUR)
    assert (window.ratio, window.burn, window.unit) == (0.1, pytest.approx(1.0), "time slices")


def test_a_slice_counts_when_it_is_over_and_all_workers_have_told(clock):
    metered = Metered(clock, sliced())
    metered.count(bad=1)
    assert metered.seen() == (0, 0)
    clock.now += MINUTE + SETTLED - 1
    assert metered.seen() == (0, 0)
    clock.now += 1
    assert metered.seen() == (1, 1)


def test_an_event_after_the_boundary_belongs_to_the_next_slice_even_within_a_bucket(clock):
    """Slices of 15 s are no multiple of the buckets of 10 s."""
    clock.now = 1_000_000.0
    metered = Metered(clock, sliced(seconds=15))
    clock.now = 1_000_004.0
    metered.count(good=99)
    clock.now = 1_000_006.0
    metered.count(bad=1)
    clock.now = 1_000_030.0
    assert metered.seen() == (1, 2)


def test_slices_agree_with_brute_force_over_a_random_history(clock):
    randomness = random.Random(5)
    metered, slices, begin = Metered(clock, sliced()), defaultdict(lambda: [0, 0]), clock.now
    for _ in range(3000):
        clock.now += randomness.choice((0.5, 2.0, 15.0, 90.0, 400.0))
        good, bad = randomness.randrange(12), int(randomness.random() < 0.1)
        metered.count(good=good, bad=bad)
        found = slices[int(clock.now // MINUTE)]
        found[0] += good
        found[1] += bad
    last = int((clock.now - SETTLED) // MINUTE) - 1
    for seconds in (300, 1800, 3600, 21600, DAY, 3 * DAY):
        chosen = range(max(last - int(seconds // MINUTE) + 1, int(begin // MINUTE)), last + 1)
        bad = sum(slices[at][1] / sum(slices[at]) > 0.05 for at in chosen if sum(slices[at]))
        assert metered.seen(seconds) == (bad, len(chosen))
    assert metered.seen(3 * DAY)[0] > 100


def test_a_slice_is_judged_by_the_events_of_all_workers(clock):
    """1 of 4 is bad in one worker; with the other's 36 good ones it is 1 of 40, and the slice is good."""
    one, other = Metered(clock, sliced()), Metered(clock, sliced())
    one.store.created = clock.now - 600
    for number, (bad, good, good_elsewhere) in enumerate(((1, 3, 36), (1, 3, 0), (0, 4, 0))):
        at_slice(clock, number)
        one.count(good=good, bad=bad)
        other.count(good=good_elsewhere)
    at_slice(clock, 4)
    one.windows.roll()
    other.windows.roll()
    assert one.seen() == (2, 10 + 4)
    one.store.others = lambda _age: [other.store.part()]
    assert one.seen() == (1, 10 + 4)
    other.store.others = lambda _age: [one.store.part()]
    assert other.seen() == (1, 10 + 4)


def test_a_dead_workers_slices_are_judged_with_the_others_after_they_were_folded(clock):
    dead, living = Metered(clock, sliced()), Metered(clock, sliced())
    at_slice(clock, 0)
    dead.count(bad=1, good=1)
    living.count(good=98)
    at_slice(clock, 1)
    dead.count(bad=2)
    at_slice(clock, 2)
    dead.windows.roll()
    clock.now += MINUTE
    tables = add_up([dead.store.part()], 100)
    cells, rows = dead.store.part().cells[:0], []
    for shape, standing in tables:
        slots = {}
        for values, row in standing.items():
            slots[values] = len(cells)
            cells.extend(row)
        rows.append((shape, slots))
    base = ProcessSnapshot(dead.store.created, tuple(rows), cells, {})
    living.store.others = lambda _age: [base]
    assert living.seen() == (1, 3)


def test_memory_does_not_grow_with_time_and_is_bounded_by_three_days_of_slices(clock):
    metered = Metered(clock, sliced(seconds=10))
    before = len(metered.store.cells)
    assert before * 8 < 700_000
    for _ in range(3000):
        clock.now += 3700
        metered.count(good=1, bad=1)
    assert len(metered.store.cells) == before


def test_breach_and_recovery_are_of_slices(clock):
    metered = Metered(clock, sliced())
    for number in range(6):
        at_slice(clock, number)
        metered.count(good=1, bad=1)
        metered.windows.roll()
    at_slice(clock, 7)
    limit = next(iter(metered.detector.check()))
    assert (
        str(limit)
        == "error budget breached: 'sliced' 6 of 7 time slices bad in 1h, 85.7% against a limit of 10%"
    )
    clock.now += 70 * MINUTE
    assert ("sliced", True) in [(breach.key, breach.recovered) for breach in metered.detector.check()]
