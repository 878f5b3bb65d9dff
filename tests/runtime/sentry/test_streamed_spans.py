"""The API of streamed spans, `sentry_sdk.traces`, makes and reads OpenTelemetry spans: beside plain sentry-sdk."""

import json

import pytest
from sentry_sdk import traces

from support.sentry_app import run_app

pytestmark = pytest.mark.skipif(
    not hasattr(traces, "get_current_span"), reason="an older sentry-sdk, whose API has less"
)


def run(how):
    ran = run_app(how, "streamed.py", SENTRY_TRACES_SAMPLE_RATE="1")
    spans = {}
    for batch in ran.payloads("span"):
        for each in batch["items"]:
            op = each["attributes"].get("sentry.op", {}).get("value")
            spans[each["span_id"]] = (each["name"], op, each["status"], each.get("parent_span_id"))
    for event in ran.payloads("transaction"):
        trace = event["contexts"]["trace"]
        for each in (trace, *event["spans"]):
            failed = "error" if each.get("status") == "internal_error" else "ok"
            name, op = each.get("description", event["transaction"]), each["data"].get("sentry.op")
            spans[each["span_id"]] = (name, op, failed, each.get("parent_span_id"))
    event, later = ran.payloads("event")
    parents = {span_id: name for span_id, (name, *_) in spans.items()}
    tree = sorted(
        (*told[:3], parents.get(told[3], told[3])) for told in spans.values() if told[1] != "http.client"
    )
    found = json.loads(ran.stdout)
    found["later"] = later["message"], later.get("transaction"), later["transaction_info"]
    return found, tree, parents[event["contexts"]["trace"]["span_id"]], ran.stderr


@pytest.fixture(scope="module")
def both():
    return run("slotel"), run("plain")


def test_the_code_finds_the_same(both):
    (slotel, _, _, log), (plain, _, _, _) = both
    assert slotel == plain
    assert slotel["current"] and slotel["continues"] and slotel["anew"] and slotel["none"]
    assert "Failed to detach" not in log
    assert "Using span streaming API" not in log


def test_the_same_spans_stand_below_each_other(both):
    (_, slotel, _, _), (_, plain, _, _) = both
    assert len(plain) == 14
    named = [(name, op or None, status, parent or None) for name, op, status, parent in slotel]
    assert named == [(name, op or None, status, parent or None) for name, op, status, parent in plain]


def test_an_error_belongs_to_the_span_that_it_failed(both):
    """Plain sentry-sdk gives it to the one that was current when it was captured."""
    (_, _, slotel, _), (_, _, plain, _) = both
    assert (slotel, plain) == ("fails", "renamed")
