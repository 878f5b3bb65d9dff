"""An event that is finished on another thread is the event that sentry-sdk makes at once."""

import copy
import functools
import json
import re
import threading
from datetime import datetime, timezone

import pytest
import sentry_sdk
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sentry_sdk import client as sentry_client
from sentry_sdk.transport import Transport
from sentry_sdk.utils import AnnotatedValue

from slotel.runtime.sentry.transport.encode import serialize as encoded
from slotel.runtime.upstream.sentry import plain_values
from slotel.runtime.upstream.sentry.events import UnserializedEvent, defer_serializing

EventScrubber = pytest.importorskip(
    "sentry_sdk.scrubber", reason="sentry-sdk 3 has no scrubber"
).EventScrubber

OPTIONS = {
    "default": {},
    "cut": {"max_value_length": 20},
    "recursive": {"event_scrubber": EventScrubber(recursive=True)},
}


class Odd:
    def __init__(self, text="odd"):
        self.text = text

    def __repr__(self):
        return f"<Odd {self.text} of {threading.current_thread().name}>"


class Unreadable:
    raises = False

    def __repr__(self):
        if Unreadable.raises:
            raise ValueError("no text")
        return "Unreadable()"  # hypothesis shows what fails

    __str__ = __repr__


class Kept(Transport):
    def __init__(self, options=None):
        super().__init__(options)
        self.events = []

    def capture_envelope(self, envelope):
        self.events.append(envelope.get_event())


WORDS = st.sampled_from(["a", "password", "b.c", "x" * 30, "é", "\x00", "\ud800", ""])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.binary(max_size=5), st.dates(), st.datetimes(),
    st.builds(Odd), st.builds(Unreadable), st.just(AnnotatedValue("cut", {"len": 9})), st.just({1, 2}),
)  # fmt: skip
DATA = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=12),
        st.dictionaries(st.one_of(WORDS, st.integers()), inner, max_size=12),
        st.tuples(inner, inner),
    ),
    max_leaves=25,
)
DICTS = st.dictionaries(WORDS, DATA, max_size=6)
FRAMES = st.fixed_dictionaries(
    {"function": WORDS, "module": st.sampled_from(["shop.cart", "json.decoder", "sentry_sdk.x", None]), "lineno": st.integers(1, 9)},
    optional={"vars": st.dictionaries(WORDS, WORDS), "abs_path": st.sampled_from(["/srv/a.py", "/x/site-packages/b.py"])},
)  # fmt: skip
EXCEPTIONS = st.fixed_dictionaries(
    {"type": WORDS, "value": WORDS, "mechanism": DICTS},
    optional={"stacktrace": st.one_of(
        st.fixed_dictionaries({"frames": st.lists(FRAMES, max_size=4)}), st.just(AnnotatedValue(None, {"rem": [["!limit", "x"]]}))
    )},
)  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {"exception": st.fixed_dictionaries({"values": st.lists(EXCEPTIONS, max_size=2)})},
    optional={
        "message": DATA, "extra": DICTS, "tags": DICTS, "user": DICTS, "contexts": st.dictionaries(WORDS, DICTS, max_size=3),
        "request": st.fixed_dictionaries({"headers": DICTS}, optional={"data": DATA}), "fingerprint": st.lists(WORDS), "level": WORDS,
        "breadcrumbs": st.fixed_dictionaries({"values": st.lists(st.fixed_dictionaries({"timestamp": st.datetimes(), "data": DICTS}), max_size=3)}),
        "threads": st.fixed_dictionaries({"values": st.lists(st.fixed_dictionaries({"stacktrace": st.fixed_dictionaries({"frames": st.lists(FRAMES, max_size=2)})}), max_size=1)}),
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def deferring():
    """Switch deferring on or off; put sentry-sdk's own functions back at the end."""
    kind = sentry_client._Client
    names = [
        (kind, "_prepare_event"),
        (sentry_client, "handle_in_app"),
        (EventScrubber, "scrub_event"),
        (sentry_client, "serialize"),
    ]
    before = [getattr(holder, name) for holder, name in names]
    wanted = [True]
    defer_serializing(lambda client: wanted[0])

    def switch(on):
        wanted[0] = on

    yield switch
    for (holder, name), function in zip(names, before, strict=True):
        setattr(holder, name, function)


@functools.cache
def client_of(name):
    return client(**OPTIONS[name])


def client(**options):
    return sentry_sdk.Client(
        "http://k@127.0.0.1/1", transport=Kept(), default_integrations=False, release="r", **options
    )


def captured(how, event):
    Unreadable.raises = True
    how.capture_event(
        {"event_id": "a" * 32, "timestamp": datetime(2026, 1, 1, tzinfo=timezone.utc), **event},
        {},
        sentry_sdk.Scope(),
    )
    Unreadable.raises = False
    return how.transport.events.pop()


def finished_elsewhere(event):
    found = []
    thread = threading.Thread(target=lambda: found.append(event.finished()), name="other")
    thread.start()
    thread.join()
    return found[0]


def without_ids(event):
    text = encoded({key: value for key, value in event.items() if key != "_meta"}).decode()
    made = json.loads(re.sub(r"0x[0-9a-f]+", "0x", text))  # two copies have two addresses
    made.get("contexts", {}).pop("trace", None)
    return made


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(event=EVENTS)
def test_the_finished_event_is_sentry_sdks_own(deferring, event):
    for options in OPTIONS:
        both = client_of(options)
        deferring(False)
        expected = captured(both, copy.deepcopy(event))
        deferring(True)
        made = captured(both, copy.deepcopy(event))
        made = finished_elsewhere(made) if isinstance(made, UnserializedEvent) else made
        assert without_ids(made) == without_ids(expected), options


def test_what_the_app_changes_later_is_not_in_the_event(deferring):
    deferring(True)
    cart = {"items": ["apple"]}
    made = captured(client(), {"extra": {"cart": cart}, "contexts": {"cart": cart}})
    cart["items"].append("pear")
    made = finished_elsewhere(made)
    assert made["extra"] == {"cart": {"items": ["apple"]}}
    assert made["contexts"]["cart"] == {"items": ["apple"]}


def test_an_objects_text_is_made_on_the_thread_that_captures(deferring):
    deferring(True)
    made = captured(client(), {"extra": {"it": Odd("cart")}})
    assert finished_elsewhere(made)["extra"]["it"] == f"<Odd cart of {threading.current_thread().name}>"


def test_a_huge_text_is_not_kept_whole(deferring):
    deferring(True)
    made = captured(client(), {"extra": {"it": "x" * 5_000_000}, "message": "y" * 5_000_000})
    assert len(made["extra"]["it"]) == len(made["message"]) == plain_values.LONGEST


def test_without_the_right_to_defer_and_for_other_events_nothing_changes(deferring):
    deferring(True)
    deferred = captured(client(), {"message": "m"})
    assert type(deferred) is UnserializedEvent
    how = client()
    how.transport.capture_envelope = lambda envelope: how.transport.events.append(
        envelope.items[0].payload.json
    )
    assert type(captured(how, {"type": "transaction", "spans": []})) is dict
    deferring(False)
    assert type(captured(client(), {"message": "m"})) is dict


def test_a_finishing_that_fails_loses_no_event(deferring, monkeypatch):
    deferring(True)
    made = captured(
        client(),
        {
            "message": "m",
            "exception": {"values": [{"type": "E", "stacktrace": {"frames": [{"function": "f"}]}}]},
        },
    )
    monkeypatch.setattr(made._pending, "options", {"no_such_option": object(), "max_value_length": None})
    monkeypatch.setattr(
        made._pending, "hooks", made._pending.hooks._replace(serialize=lambda *_, **__: 1 / 0)
    )
    finished = finished_elsewhere(made)
    assert finished["message"] == "m"
    assert finished["exception"]["values"][0]["stacktrace"]["frames"][0]["function"] == "f"
