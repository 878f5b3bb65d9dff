"""What plain sentry-sdk sends arrives with slotel, once, with the same options in force: scopes, threads, logs, monitors."""

import json

import pytest
import sentry_sdk

from support.sentry_app import run_app

pytestmark = pytest.mark.skipif(
    not hasattr(sentry_sdk, "start_transaction"), reason="sentry-sdk 3 has no start_transaction"
)
KINDS = (
    "event",
    "transaction",
    "check_in",
    "log",
    "trace_metric",
    "session",
    "sessions",
    "user_report",
    "feedback",
)
SAME = (
    "logentry", "message", "transaction", "level", "tags", "fingerprint", "server_name", "dist", "release", "environment",
    "monitor_slug", "monitor_config", "status", "measurements", "user",
)  # fmt: skip


def crumbs(payload):
    return [each.get("message") for each in (payload.get("breadcrumbs") or {}).get("values") or ()]


def exceptions(payload):
    """Type, text, mechanism, and the innermost frame of each."""
    for each in (payload.get("exception") or {}).get("values") or ():
        frames = (each.get("stacktrace") or {}).get("frames") or [{}]
        shown = {key: frames[-1].get(key) for key in ("function", "in_app", "context_line")}
        variables = {
            key: value for key, value in (frames[-1].get("vars") or {}).items() if key in ("text", "local")
        }
        yield [
            each["type"],
            each["value"],
            each.get("mechanism", {}).get("type"),
            len(frames),
            shown,
            variables,
        ]


def told(kind, payload):
    if kind in ("log", "trace_metric"):
        for each in payload["items"]:
            attributes = {
                key for key in each["attributes"] if not key.startswith(("sentry.sdk", "sentry.trace"))
            }
            yield [kind, each.get("body") or each["name"], each.get("value"), sorted(attributes)]
        return
    same = {key: payload[key] for key in SAME if payload.get(key)}
    same["extra"] = {key: value for key, value in (payload.get("extra") or {}).items() if key != "sys.argv"}
    same["contexts"] = sorted(set(payload.get("contexts") or ()) - {"otel"})
    same["spans"] = [
        (
            span["op"], span["description"], span["data"].get("nested"),
            {name: value for name, value in span["data"].items() if name.startswith("flag.")},
        )
        for span in payload.get("spans", ())
    ]  # fmt: skip
    contexts = payload.get("contexts") or {}
    same["data"] = (contexts.get("trace") or {}).get("data", {}).get("nested")
    same["of the transaction"] = contexts.get("of the transaction")
    yield [kind, same, list(exceptions(payload)), crumbs(payload), bool(payload.get("threads"))]


def run(how):
    ran = run_app(how, "whole_api.py", SENTRY_TRACES_SAMPLE_RATE="1")
    lines = [
        json.dumps(line, sort_keys=True)
        for kind in KINDS
        for payload in ran.payloads(kind)
        for line in told(kind, payload)
    ]
    attached = sorted(
        (
            header["filename"],
            header.get("content_type"),
            str(payload),
            *[each["type"] for each, _ in envelope.items],
        )
        for envelope in ran.envelopes
        for header, payload in envelope.items
        if header["type"] == "attachment"
    )
    return json.loads(ran.stdout), sorted(lines), attached


def test_all_that_plain_sentry_sdk_sends_arrives_once():
    slotel, plain = run("slotel"), run("plain")
    assert slotel[0] == plain[0]
    assert slotel[1] == plain[1]
    assert slotel[2] == plain[2]
    assert [name for name, *_ in plain[2]] == ["a.txt", "each.txt"]
    assert len(plain[1]) > 20
