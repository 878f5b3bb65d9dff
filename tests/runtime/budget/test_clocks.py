"""The live budget under clocks that are wrong: the wall clock steps, a span ends at another time, a machine sleeps."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.config.slo import Slo
from slotel.runtime.budget.windows import BudgetWindows
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.process import clock as clocks
from slotel.runtime.process.clock import SteadyClock

HOUR_AGO_OR_AHEAD = [-86400 * 365, -3600, -11, -1, 0, 1, 11, 3600, 86400 * 365]


class Machine:
    """A machine whose wall clock can be set."""

    def __init__(self):
        self.passed = 0.0
        self.offset = 1_700_000_000.0

    def steady(self):
        return 1_700_000_000.0 + self.passed

    def wall(self):
        return self.offset + self.passed


class Metered:
    """Counts as SpanMetrics does: the windows roll when a span ends at or after the end of the bucket."""

    def __init__(self, machine):
        self.machine = machine
        slo = Slo("availability", limit=0.01, objective=0.99)
        store = Store()
        self.windows = BudgetWindows(store, (slo,), machine.steady, "x", machine.wall)
        self.cells = self.windows.counter_cells(slo)
        self.counter = self.windows._events
        self.rolls = 0
        roll = self.windows.roll

        def counted():
            self.rolls += 1
            roll()

        self.windows.roll = counted

    def request(self, outcome="bad", ends_in=0.0):
        if (self.machine.wall() + ends_in) * 1e9 >= self.windows.bucket_ends_ns:
            self.windows.roll()
        self.counter.add(self.cells[outcome])

    def bad(self, seconds=300):
        return self.windows.window(0, seconds).bad


def test_one_span_that_ends_a_year_ahead_takes_nothing_from_the_window():
    metered = Metered(Machine())
    for _ in range(50):
        metered.request()
    metered.request("good", ends_in=365 * 86400)
    for _ in range(1000):
        metered.request()
    assert metered.bad() == 1050


@pytest.mark.parametrize("step", HOUR_AGO_OR_AHEAD)
def test_a_step_of_the_wall_clock_moves_no_event_in_or_out_of_a_window(step):
    """Oracle: the same events without a step."""
    with_step, without = Metered(Machine()), Metered(Machine())
    for metered in (with_step, without):
        for number in range(90):
            metered.machine.passed += 5
            if number == 45 and metered is with_step:
                metered.machine.offset += step
            metered.request("bad" if number % 3 else "good")
            if number % 2:
                metered.windows.roll()  # the tick
    for seconds in (300, 1800):
        assert abs(with_step.bad(seconds) - without.bad(seconds)) <= 2, "one bucket"


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(-4000, 4000), st.integers(-10_000, 10_000)), max_size=60
    )
)
def test_whatever_the_clock_does_the_hour_has_every_event_of_the_hour(steps):
    """Each step: seconds that pass, a step of the wall clock, how far from it a span ends."""
    machine = Machine()
    metered = Metered(machine)
    for passed, step, ends_in in steps:
        machine.passed += passed
        machine.offset += step
        metered.request(ends_in=ends_in)
    assert metered.bad(3600) == len(steps)


def test_a_clock_that_stepped_costs_no_roll_for_each_span():
    """An hour ahead, every span would end after the bucket, were its end not set anew by the same clock."""
    machine = Machine()
    metered = Metered(machine)
    machine.offset += 3600
    for _ in range(100):
        metered.request()
    assert metered.rolls <= 2


def test_a_suspended_machines_time_passes(monkeypatch):
    booted, slept = 1000.0, [0.0]
    monkeypatch.setattr(clocks, "since_boot", lambda: booted + slept[0])
    clock = SteadyClock()
    before = clock()
    slept[0] = 8 * 3600
    assert clock() - before == 8 * 3600
    assert abs(SteadyClock().booted + clocks.since_boot() - time.time()) < 2


def test_the_steady_clock_is_the_wall_clock_until_somebody_sets_it():
    assert abs(SteadyClock()() - time.time()) < 1.5
