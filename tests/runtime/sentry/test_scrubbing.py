"""Sentry's scrubber is left out only where it would change nothing."""

import copy
import itertools

import pytest

pytest.importorskip("sentry_sdk.scrubber", reason="sentry-sdk 3 has no scrubber")
from sentry_sdk.scrubber import EventScrubber

from slotel.runtime.sentry.transactions.user_hooks import UserHooks

DATA = (
    {},
    {"a": "1"},
    {"Password": "x"},
    {1: "x"},
    {"deep": {"password": "x"}},
    [{"password": "x"}],
    "text",
    None,
)
PARTS = {
    "extra": DATA,
    "user": (*DATA, {"ip_address": "1.2.3.4"}),
    "headers": (*DATA, {"Cookie": "a"}, {"X-Forwarded-For": "1.2.3.4"}),
    "cookies": DATA,
    "data": DATA,
}
FRAMES = {"frames": [{"vars": {"password": "x"}}]}
OTHERS = (
    {"breadcrumbs": {"values": [{"data": {"password": "x"}}]}},
    {"exception": {"values": [{"stacktrace": FRAMES}]}},
    {"stacktrace": FRAMES},
    {"threads": {"values": [{"stacktrace": FRAMES}]}},
    {"request": [{"password": "x"}]},
)


def events():
    for part, values in PARTS.items():
        for value in values:
            yield {part: value} if part in ("extra", "user") else {"request": {"url": "/", part: value}}
    for one, other in itertools.product(PARTS["extra"], PARTS["headers"]):
        yield {"extra": one, "request": {"headers": other}}
    yield from OTHERS


@pytest.mark.parametrize("pii", [True, False])
@pytest.mark.parametrize("denylist", [None, ["a", "deep"], []])
def test_where_it_is_left_out_it_would_have_changed_nothing(denylist, pii):
    scrubber, hooks = EventScrubber(denylist=denylist, send_default_pii=pii), UserHooks(None, None)
    left_out = 0
    for event in events():
        scrubbed = copy.deepcopy(event)
        scrubber.scrub_event(scrubbed)
        if hooks._has_nothing_to_scrub(event, scrubber):
            left_out += 1
            assert scrubbed == event
    assert left_out > 5


def test_names_that_clients_choose_are_not_remembered():
    hooks, scrubber = UserHooks(None, None), EventScrubber()
    for part in ("headers", "cookies", "data"):
        for number in range(100):
            assert hooks._has_nothing_to_scrub({"request": {part: {f"{part}-{number}": "1"}}}, scrubber)
    assert hooks._scrubs == {}


def test_one_of_a_later_release_that_looks_into_more_parts_is_not_left_out():
    class Later(EventScrubber):
        def scrub_contexts(self, event):
            """Of a later release."""

    assert not UserHooks(None, None)._has_nothing_to_scrub({}, Later())
