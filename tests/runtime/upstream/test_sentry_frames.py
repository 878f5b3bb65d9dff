"""A frame that was described, or sent, before is the frame that sentry-sdk would make anew; nobody's change is another's."""

import copy
import json
import pickle

import pytest
import sentry_sdk
from sentry_sdk import utils
from sentry_sdk.envelope import Item, PayloadRef

from slotel.runtime.sentry.transport.completion import EnvelopeCompletion
from slotel.runtime.upstream.sentry import events as sentry_events
from slotel.runtime.upstream.sentry import plain_values
from slotel.runtime.upstream.sentry.frames import WANTED, FinishedFrames, KnownFrame, caching_frames, copy_of
from support.sentry_tracing import enforcer

SERIALIZE = getattr(utils.serialize_frame, "_slotel_original", utils.serialize_frame)


def fail():
    password = "hunter22"  # noqa: F841 its line holds a secret
    # this line is longer than the texts of a frame, and a text of that length would be cut where the client says so: it is no text of a frame, it is its source
    return json.loads("{")


def in_module(name, line=1):
    functions = {"__name__": "same"}
    exec(compile("\n" * (line - 1) + "def f():\n    raise ValueError\n", name, "exec"), functions)
    return functions["f"]


def stack(fails):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 any
        fails()
    return list(utils.iter_stacks(caught.value.__traceback__))


@pytest.fixture(autouse=True)
def lines_are_added_later(monkeypatch):
    monkeypatch.setattr(utils, "get_source_context", lambda *_, **__: ([], None, []))


@pytest.fixture
def described():
    """Describe the frames of a failure as slotel does, without variables."""
    serialize = caching_frames(SERIALIZE)

    def frames(fails):
        token = WANTED.set(lambda _: False)
        try:
            return [serialize(each.tb_frame, tb_lineno=each.tb_lineno) for each in stack(fails)]
        finally:
            WANTED.reset(token)

    return frames


def plain(fails):
    return [
        {
            name: value
            for name, value in SERIALIZE(each.tb_frame, tb_lineno=each.tb_lineno).items()
            if name != "vars"
        }
        for each in stack(fails)
    ]


@pytest.mark.parametrize("time", ["first", "again"])
def test_a_frame_that_is_known_is_described_as_sentry_sdk_does(described, time):
    assert described(fail) == plain(fail), time
    assert described(fail) == plain(fail)


def test_equal_code_of_two_files_is_told_apart(described):
    functions = [in_module("one.py"), in_module("other.py"), in_module("one.py", line=7)]
    for fails in (*functions, *functions):
        assert described(fails) == plain(fails)


def test_what_a_processor_changes_is_changed_in_its_event_alone(described):
    for _ in range(3):
        mine = described(fail)
        assert mine == plain(fail)
        mine[-1]["function"] = "mine"
        del mine[0]["lineno"]


def test_a_copy_of_a_frame_is_a_dict(described):
    frame = described(fail)[0]
    for copied in (copy.deepcopy(frame), pickle.loads(pickle.dumps(frame))):
        assert type(copied) is dict
        assert copied == frame


class Sent:
    """Sends events as slotel's transport does, without a transport."""

    def __init__(self):
        self.completion = EnvelopeCompletion(enforcer().item, enforcer().headers)

    def __call__(self, event, options=None, in_app=None):
        pending = sentry_events._Pending(
            sentry_events._Hooks(None, utils.handle_in_app, None, sentry_sdk.serializer.serialize)
        )
        pending.options = options or {}
        pending.in_app = in_app or ([], [], None)
        kept, later, odd = plain_values.parts_of(event, unbounded=not options)
        assert not odd
        unfinished = sentry_events.UnserializedEvent(later, kept, {}, pending)
        made = self.completion.payload(Item(PayloadRef(json=unfinished), type="event"))
        return json.loads(json.dumps(made["exception"]))


def event(frames):
    return {"exception": {"values": [{"type": "ValueError", "value": "v", "stacktrace": {"frames": frames}}]}}


@pytest.mark.parametrize("options", [{}, {"max_value_length": 12}, {"max_value_length": 140}])
def test_an_event_of_frames_that_were_sent_is_the_one_that_would_be_made_anew(described, options):
    send = Sent()
    made = [send(event(described(fail)), options) for _ in range(4)]
    assert made == [Sent()(event(plain(fail)), options)] * 4
    if not options:
        frames = made[-1]["values"][0]["stacktrace"]["frames"]
        frame = next(frame for frame in frames if frame["function"] == "fail")
        assert "json.loads" in frame["context_line"]
        assert not any("hunter22" in line for line in frame["pre_context"])


def test_whose_frames_are_the_apps_is_asked_again_for_another_client(described):
    send = Sent()
    for include, exclude in (([], ["json"]), (["json"], []), ([], ["json"])):
        frames = send(event(described(fail)), in_app=(exclude, include, None))["values"][0]["stacktrace"][
            "frames"
        ]
        assert {frame["in_app"] for frame in frames if frame["module"].startswith("json")} == {bool(include)}


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr("slotel.runtime.upstream.sentry.frames._MAX_FRAMES", 3)
    finished = FinishedFrames()
    for number in range(9):
        shared = KnownFrame(lineno=number, context_line="x")
        shared.origin = None
        finished.put_into(event([shared]), [])
        finished.keep(event([copy_of(shared)]))
        assert len(finished._known) <= 3


def test_variables_are_taken_away_where_sentry_sdk_cannot_be_told_to_leave_them_out():
    """sentry-sdk 3 has another signature: with the option of 2 each error beyond the fifth of its kind was lost."""

    def of_3(frame, tb_lineno=None, max_value_length=None, custom_repr=None):
        assert max_value_length is None
        return SERIALIZE(frame, tb_lineno)

    serialize = caching_frames(of_3)
    token = WANTED.set(lambda _: False)
    try:
        for each in stack(fail):
            assert "vars" not in serialize(each.tb_frame, each.tb_lineno, None)
            assert serialize(each.tb_frame, each.tb_lineno, None)["lineno"] == each.tb_lineno
    finally:
        WANTED.reset(token)
