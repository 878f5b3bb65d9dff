"""Every type of item that sentry-sdk sends passes the redactor, and still says what it has to."""

import re

import pytest
import sentry_sdk

from slotel.config.names import REDACTED
from slotel.config.tags import TagPolicy
from slotel.runtime.redaction.enforcer import Enforcer
from support.sentry_app import run_app

pytestmark = pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="an app of sentry-sdk 2")
MARKED = re.compile(r"SEK[0-9a-f]{8}RET")


@pytest.fixture(scope="module", params=["slotel", "own", "printed", "plain"])
def sent(request):
    printed = {"SENTRY_PRINT_ENVELOPES": "1"} if request.param == "printed" else {}
    ran = run_app(request.param, "items.py", "own" if request.param == "own" else "given", **printed)
    items = {}
    for envelope in ran.envelopes:
        for header, payload in envelope.items:
            items.setdefault(header["type"], []).append((header, payload, envelope.header))
    return request.param, items, ran.stdout + ran.stderr


def test_no_item_of_any_type_shows_a_secret(sent):
    how, items, said = sent
    shown = {kind: sorted(set(MARKED.findall(repr(found)))) for kind, found in items.items()}
    leaking = {kind for kind, found in shown.items() if found}
    if how == "plain":
        assert leaking >= {"event", "attachment", "check_in", "log", "feedback", "from_the_future"}, (
            "the mark"
        )
    else:
        assert leaking == set(), shown
        assert MARKED.findall(said) == []


def test_every_item_arrives_with_what_is_no_secret(sent):
    how, items, _ = sent
    given = {
        "event", "attachment", "check_in", "log", "trace_metric", "session", "profile_chunk", "feedback", "user_report",
        "client_report", "from_the_future", "statsd",
    }  # fmt: skip
    assert items.keys() == given, how
    assert items["session"][0][1]["sid"] == "01234567-89ab-cdef-0123-456789abcdef"
    check_in = items["check_in"][0][1]
    assert check_in["monitor_slug"] == "nightly"
    assert check_in["monitor_config"]["schedule"]["value"] == "0 0 * * *"
    assert b"\x00\x01SEKbinaryRET\xff" in [attachment[1] for attachment in items["attachment"]]
    assert all(item[1]["kept"] == "KEPT" for item in items["from_the_future"])
    chunk = items["profile_chunk"][0][1]
    assert chunk["profile"]["samples"]
    assert {"function", "filename", "lineno"} <= chunk["profile"]["frames"][0].keys()
    assert items["trace_metric"][0][1]["items"][0]["name"] == "carts"


def test_numbers_of_a_profile_and_keys_of_the_protocol_stay_as_they_are():
    enforcer = Enforcer(TagPolicy(), lambda tag, action: None)
    session = {"sid": "a" * 32, "did": "bob", "attrs": {"release": "r", "user_agent": "x password=y"}}
    assert enforcer.item("session", session) == {
        **session, "attrs": {"release": "r", "user_agent": f"x password={REDACTED}"},
    }  # fmt: skip
    samples = [{"elapsed_since_start_ns": "4111111111111111", "stack_id": 0, "thread_id": "1"}]
    profile = {
        "profile": {"samples": samples, "stacks": [[0]], "frames": [{"function": "f"}]},
        "trace_id": "1",
    }
    assert enforcer.item("profile", profile) == profile
    spans = {"items": [{"name": "GET", "attributes": {"url": {"value": "https://u:p@h/", "type": "string"}}}]}
    assert enforcer.item("span", spans)["items"][0]["attributes"]["url"] == {
        "value": f"https://{REDACTED}@h/", "type": "string",
    }  # fmt: skip
