"""What `slotel suggest` drafts from counts of the past: objectives that few events can be held to."""

import pytest

from slotel.compile.suggestion import LADDER, Route, suggest
from slotel.config.slo import MIN_BAD_EVENTS


def fast(events: float, bad: float = 0, name: str = "") -> Route:
    return Route(name, events, bad, {0.1: events - bad})


@pytest.mark.parametrize("events", [1, 124, 130, 1_000, 5_000, 50_000, 5_000_000])
@pytest.mark.parametrize("weeks", [1 / 28, 1, 4])
def test_each_draft_tolerates_the_bad_events_that_an_alert_needs(events, weeks):
    """The same events a week, seen for an hour or for a month, are held to the same."""
    drafts, left_out = suggest([fast(events * weeks)], weeks)
    tolerated = [(1 - draft.objective) * events * 4 for draft in drafts]
    assert all(each >= MIN_BAD_EVENTS * 0.999 for each in tolerated)
    assert bool(drafts) != any(sentence.startswith("the service: ") for sentence in left_out)
    assert bool(drafts) == (events >= 125)


def test_a_service_of_one_event_is_promised_nothing():
    drafts, (sentence,) = suggest([fast(1)], 4)
    assert drafts == []
    assert "too few" in sentence


def test_why_a_stricter_objective_was_not_taken_is_said():
    (few, _), _ = suggest([fast(5_000)], 4)
    (many, _), _ = suggest([fast(5_000_000)], 4)
    assert (few.objective, many.objective) == (0.999, LADDER[0])
    assert "fewer than 5 bad events in four weeks" in few.reason
    assert "stricter" not in many.reason
