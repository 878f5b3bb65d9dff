"""What code around a framework says of a request before the framework's span begins is that request's: beside plain sentry-sdk."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentry_sdk

from support.sentry_app import run_app

pytestmark = pytest.mark.skipif(
    not hasattr(sentry_sdk, "start_transaction"), reason="sentry-sdk 3 has no start_transaction"
)
REQUESTS = 5
PROGRAMS = 60


def ids(span):
    return span["trace_id"], span["span_id"]


def orphans(transaction):
    """The spans whose parent is not in their transaction."""
    own = transaction["contexts"]["trace"]
    known = {own["span_id"], *(span["span_id"] for span in transaction["spans"])}
    return [
        span["description"]
        for span in transaction["spans"]
        if span["parent_span_id"] not in known or span["trace_id"] != own["trace_id"]
    ]


def run(how, scene, *programs, mark="asked"):
    uses = ["django" if scene == "given" else scene]
    ran = run_app(how, "outer.py", how, scene, *programs, uses=uses, SENTRY_TRACES_SAMPLE_RATE="1")
    transactions = [each for each in ran.payloads("transaction") if mark in each["tags"]]
    return json.loads(ran.stdout), transactions, ran.payloads("event")


@pytest.mark.parametrize("scene", ["flask", "django", "given"])
def test_it_is_on_the_requests_transaction_and_the_request_leaves_nothing_behind(scene):
    pytest.importorskip("flask" if scene == "flask" else "django")
    (_, theirs, _), (printed, ours, _) = run("plain", scene), run("slotel", scene)
    asked = [
        each for each in theirs if each["transaction"] != "/fails"
    ]  # a request later, on the same thread
    assert len(asked) == REQUESTS
    said = sorted((each["tags"]["before"], each["tags"]["asked"], each["user"]["id"]) for each in asked)
    assert (
        sorted((each["tags"]["before"], each["tags"]["asked"], each["user"]["id"]) for each in ours) == said
    )
    assert sorted(each["tags"]["tenant"] for each in ours) == sorted(before for before, _, _ in said)
    assert [[span["description"] for span in each["spans"]] for each in ours] == [["looks up"]] * REQUESTS
    assert not any("continued" in each["transaction"] for each in ours)
    assert printed["open"] == [0]


def test_an_event_processor_of_the_outer_scope_completes_an_error_beside_the_integration_that_the_app_names():
    pytest.importorskip("django")
    (_, _, (theirs,)), (_, _, (ours,)) = run("plain", "given"), run("slotel", "given")
    assert (theirs["request"]["cookies"], theirs["extra"]["noted"]) == ({"foo": "bar"}, True)
    assert ours["extra"]["noted"] is True
    assert ours["request"]["cookies"] == theirs["request"]["cookies"]
    assert ours["tags"]["before"] == theirs["tags"]["before"]


@pytest.mark.parametrize("scene", ["flask", "django", "fastapi"])
def test_what_code_around_the_framework_does_is_in_the_trace_of_the_request(scene):
    """In whatever order it makes spans, ends them, reports, and asks for the trace."""
    pytest.importorskip(scene)
    with ThreadPoolExecutor() as both:
        found = both.map(lambda how: run(how, scene, "programs", mark="program"), ("plain", "slotel"))
    (_, theirs, _), (printed, ours, messages) = found
    assert printed["open"] == [0]
    assert len(ours) == len(theirs) == PROGRAMS
    for transactions in (theirs, ours):
        assert all(orphans(each) == [] for each in transactions)
    spans = {
        each["tags"]["program"]: {ids(each["contexts"]["trace"]), *map(ids, each["spans"])} for each in ours
    }
    said = [(each["message"], ids(each["contexts"]["trace"])) for each in messages]
    sent = [
        (number, tuple(header.split("-")[:2]))
        for number, all_ in printed["headers"].items()
        for header in all_
    ]
    told = [each["contexts"]["trace"]["data"].get("asked") for each in ours]
    assert min(map(len, (said, sent, list(filter(None, told))))) > PROGRAMS / 6
    assert all(number in (None, each["tags"]["program"]) for number, each in zip(told, ours, strict=True))
    assert [each for each in (*said, *sent) if each[1] not in spans[each[0]]] == []
    (name,) = {each["transaction"] for each in ours}
    assert (
        name == {"flask": "GET /<any(asks, does):what>", "django": "GET does", "fastapi": "GET /does"}[scene]
    )
