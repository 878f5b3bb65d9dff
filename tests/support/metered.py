"""A meter that is fed as the measuring stage feeds it, with a clock from outside."""

from slotel.config.slo import HOUR, Slo
from slotel.runtime.budget.breaches import BreachDetector
from slotel.runtime.budget.windows import BudgetWindows
from slotel.runtime.metrics.store.store import Store

SLO = Slo("availability", limit=0.05, objective=0.95)


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


class Metered:
    """A meter whose counters are added to as the measuring stage does it."""

    def __init__(self, clock, slo=SLO, store=None):
        self.store = store or Store(clock=clock)
        self.windows = BudgetWindows(self.store, (slo,), clock)
        self._cells = self.windows.counter_cells(slo)
        self._events = self.windows._events
        self._clock = clock
        self.detector = BreachDetector(self.windows, clock)

    def count(self, good=0, bad=0, excluded=0):
        if self._clock.now * 1e9 >= self.windows.bucket_ends_ns:
            self.windows.roll()
        for outcome, number in (("good", good), ("bad", bad), ("excluded", excluded)):
            if number:
                self._events.add(self._cells[outcome], number)

    def seen(self, seconds=HOUR):
        window = self.windows.window(0, seconds)
        return window.bad, window.total
