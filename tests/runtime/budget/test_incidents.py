"""Sentry hears of an objective's incident once, of its rise to a page once, and of its end once."""

from types import SimpleNamespace

import pytest

from slotel.config.slo import Slo
from slotel.runtime.bootstrap import _report_breaches
from slotel.runtime.budget.breaches import Breach
from slotel.runtime.budget.incidents import Incidents
from slotel.runtime.budget.windows import Window
from support.metered import Clock, Metered

SLO = Slo("availability", limit=0.05, objective=0.95)


@pytest.fixture
def clock():
    return Clock(1_000_000.0)


class Told:
    """A watch and what was told after each look; a look every five seconds, as the ticker looks."""

    def __init__(self, clock, slo=SLO):
        self.clock, self.metered = clock, Metered(clock, slo)
        self.incidents = Incidents("shop", clock)

    def look(self):
        changes = tuple(self.metered.detector.check())
        return [
            (incident.breach.key, incident.breach.severity, incident.recovered)
            for incident in self.incidents.after(changes)
        ], len(changes)

    def pass_time(self, seconds):
        found = []
        for _ in range(int(seconds // 5)):
            self.clock.now += 5
            found += self.look()[0]
        return found


def test_a_total_outage_is_one_event_that_names_everything_breached_with_the_worst_in_numbers(clock):
    told = Told(clock)
    told.metered.count(good=20, bad=80)
    changes = tuple(told.metered.detector.check())
    assert len(changes) == 5
    (incident,) = told.incidents.after(changes)
    assert str(incident) == (
        "error budget breached: 'availability' 80 of 100 events bad in 1h, burn rate 16×, above the page threshold of 14.4×; "
        "also breached: page at 6× in 6h, ticket at 3× in 1d, limit of 5% in 1h, ticket at 1× in 3d"
    )
    assert told.pass_time(60) == []


def test_a_total_outage_is_one_line_of_the_log_and_its_end_another(clock, caplog):
    told = Told(clock)
    runtime = SimpleNamespace(
        endpoint=None, breach_detector=told.metered.detector, incidents=told.incidents, sentry=None
    )
    told.metered.count(good=20, bad=80)
    for _ in range(9 * 720):  # nine hours of looks
        _report_breaches(runtime)
        clock.now += 5
    assert [line.split("'")[0] for line in caplog.messages] == [
        "error budget breached: ",
        "error budget recovered: ",
    ]


def test_a_rise_from_ticket_to_page_is_one_more_event_and_further_pages_are_none(clock):
    told = Told(clock)
    told.metered.count(good=90, bad=10)
    assert told.look() == ([("availability", "ticket", False)], 2)
    told.metered.count(bad=60)
    events, _ = told.look()
    assert [severity for _, severity, _ in events] == ["page"]
    told.metered.count(bad=5000)
    assert told.look()[1] >= 1
    assert told.pass_time(30) == []


def test_the_end_is_one_event_when_nothing_is_breached_any_more(clock):
    told = Told(clock)
    told.metered.count(good=20, bad=80)
    assert len(told.look()[0]) == 1
    assert told.pass_time(5 * 3600) == []  # pages and the limit recover, the 3 d ticket's 6 h burn on
    ends = told.pass_time(3 * 3600)
    assert [recovered for _, _, recovered in ends] == [True]


def test_a_second_outage_within_the_incident_is_told_when_it_pages_again(clock):
    told = Told(clock)
    told.metered.count(good=20, bad=80)
    assert len(told.look()[0]) == 1
    assert told.pass_time(2 * 3600) == []
    told.metered.count(bad=2000)
    assert [(severity, recovered) for _, severity, recovered in told.look()[0]] == [("page", False)]


def test_a_ratio_that_wavers_around_its_limit_is_told_at_most_once_per_window(clock):
    slo, begins, ends = Slo("short", limit=0.05, objective=0.95, window=300), 0, 0
    incidents = Incidents("shop", clock)
    for look in range(600):
        clock.now += 5
        breach = Breach(slo, Window(300, 6, 100, 0.06, 1.2), recovered=look % 2 == 1)
        for incident in incidents.after([breach]):
            begins, ends = begins + (not incident.recovered), ends + incident.recovered
    assert (begins, ends) == (10, 10)


def test_what_begins_within_the_window_and_lasts_is_told_when_the_window_is_over(clock):
    incidents = Incidents("shop", clock)
    for recovered in (False, True, False):
        clock.now += 5
        found = [
            each.recovered
            for each in incidents.after([Breach(SLO, Window(3600, 6, 100, 0.06, 1.2), recovered)])
        ]
        assert found == ([] if clock.now == 1_000_015.0 else [recovered])
    clock.now += 3589
    assert list(incidents.after([])) == []
    clock.now += 1
    assert [each.recovered for each in incidents.after([])] == [False]


def test_objectives_have_incidents_of_their_own(clock):
    incidents = Incidents("shop", clock)
    one, other = Metered(clock), Metered(clock, Slo("latency", limit=0.05, objective=0.95))
    one.count(bad=80, good=20)
    other.count(bad=80, good=20)
    changes = (*one.detector.check(), *other.detector.check())
    assert [incident.slo.name for incident in incidents.after(changes)] == ["availability", "latency"]
