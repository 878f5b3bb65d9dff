"""Programs of random calls of sentry-sdk's API say the same under plain sentry-sdk and under slotel, in every place."""

import json
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentry_sdk

from support.sentry_app import run_app

pytestmark = pytest.mark.skipif(sentry_sdk.VERSION.startswith("3"), reason="sentry-sdk 3 streams spans")

PROGRAMS = 400 if os.environ.get("LONG") == "1" else 50
SAID = ("level", "logger", "user", "extra", "fingerprint", "logentry", "message")
OF_SDK = {"trace", "otel", "runtime", "response", "profile"}
"""Contexts with comparisons of their own, or of the process."""
OF_SLOTEL = {"service", "status", "http.status_code", "asgi.type"}
"""Tags that the page on parity lists."""


def sent(how, where):
    """What each program has sent: programs → items of a kind."""
    ran = run_app(
        how, "random_calls.py", where, "0", str(PROGRAMS),
        uses=("flask", "fastapi", "django"), SENTRY_TRACES_SAMPLE_RATE="1", OTEL_SERVICE_NAME="shop",
    )  # fmt: skip
    found = defaultdict(lambda: {"event": [], "transaction": []})
    for kind in ("event", "transaction"):
        for payload in ran.payloads(kind):
            if program := (payload.get("tags") or {}).get("program"):
                found[program][kind].append(payload)
    return found


def exceptions(event):
    return [
        (each["type"], each["value"], (each.get("mechanism") or {}).get("handled"))
        for each in (event.get("exception") or {}).get("values") or ()
    ]


def key(payload):
    entry = payload.get("logentry") or {}
    return str([exceptions(payload)[-1:], entry.get("message"), entry.get("params"), payload.get("message")])


def own(payload):
    """What a program says of an event or a transaction."""
    contexts = {name: value for name, value in payload["contexts"].items() if name not in OF_SDK}
    crumbs = payload.get("breadcrumbs") or {}
    return {
        **{name: payload.get(name) or None for name in SAID},
        "extra": {name: value for name, value in (payload.get("extra") or {}).items() if name != "sys.argv"},
        "tags": {name: str(value) for name, value in payload["tags"].items() if name not in OF_SLOTEL},
        "contexts": contexts,
        "exceptions": exceptions(payload),
        "breadcrumbs": [
            {name: value for name, value in crumb.items() if name != "timestamp"}
            for crumb in crumbs.get("values", ())
            if crumb.get("type") != "http"  # until sentry-sdk 2.69 a span whose op is `http.client` is one
        ],
    }


def is_of_django(span):
    """Plain sentry-sdk has spans of Django's signals and middlewares."""
    return span["op"] in ("event.django", "middleware.django")


def spans_of(transactions):
    """Names of spans and transactions by their ids; for a span of Django the root's."""
    named = {each["contexts"]["trace"]["span_id"]: "root" for each in transactions}
    spans = [span for each in transactions for span in each["spans"]]
    return named | {span["span_id"]: "root" if is_of_django(span) else span["description"] for span in spans}


def event_of(event, named):
    trace = event["contexts"]["trace"]
    return own(event) | {"span": named.get(trace["span_id"])}


def transaction_of(transaction, named):
    trace = transaction["contexts"]["trace"]
    spans = [
        (span["op"], span["description"], span.get("status"), named.get(span["parent_span_id"]),
         json.dumps({name: value for name, value in (span.get("tags") or {}).items() if name not in OF_SLOTEL}, sort_keys=True))
        for span in transaction["spans"]
        if not is_of_django(span)
        and not span["description"].endswith("/envelope/")  # plain sentry-sdk's own request, in a request's thread
    ]  # fmt: skip
    return {
        **own(transaction),
        "op": trace["op"],
        "status": trace.get("status"),
        "spans": sorted(spans, key=str),
    }


@pytest.mark.parametrize(
    "where",
    [
        "script",
        "flask",
        *(pytest.param(each, marks=pytest.mark.long) for each in ("django", "fastapi", "fastapi awaited")),
    ],
)
def test_random_calls_say_the_same_as_under_plain_sentry_sdk(where):
    with ThreadPoolExecutor() as both:
        plain, slotel = both.map(sent, ("plain", "slotel"), (where, where))
    assert len(plain) > PROGRAMS / 2
    assert slotel.keys() == plain.keys()
    for program, theirs in plain.items():
        ours = slotel[program]
        events = [sorted(each["event"], key=key) for each in (theirs, ours)]
        assert Counter(map(key, events[1])) == Counter(map(key, events[0])), program
        names = [spans_of(each["transaction"]) for each in (theirs, ours)]
        for one, other in zip(*events, strict=True):
            assert event_of(other, names[1]) == event_of(one, names[0]), (program, key(one))
            if one.get("transaction") == "given":  # not under FastAPI: its integration names each event
                assert other["transaction"] == "given", (program, key(one))
        made = [
            sorted(
                (transaction_of(each, named) for each in found["transaction"]),
                key=lambda one: str(one["spans"]),
            )
            for found, named in zip((theirs, ours), names, strict=True)
        ]
        assert made[1] == made[0], program


def test_tags_of_spans_have_no_secrets(tmp_path):
    app = tmp_path / "app.py"
    app.write_text(
        "import sentry_sdk\n"
        "with sentry_sdk.start_transaction(name='t', op='task') as whole, sentry_sdk.start_span(op='part', name='s') as span:\n"
        "    for each in (whole, span):\n"
        "        each.set_tag('password', 'geheim-1')\n"
        "        each.set_tag('shop.pin', 'geheim-2')\n"
        "        each.set_tag('url', 'https://kate:geheim-3@host/')\n"
        "        each.set_tag('team', 'payments')\n"
    )
    config = tmp_path / "slotel.yaml"
    config.write_text("version: 1\ntags:\n  redact: ['*.pin']\n")
    [sent] = run_app("slotel", str(app), SENTRY_TRACES_SAMPLE_RATE="1", SLOTEL_CONFIG=str(config)).payloads(
        "transaction"
    )
    assert "geheim" not in json.dumps(sent)
    for tags in (sent["tags"], sent["spans"][0]["tags"]):
        assert {name: tags[name] for name in ("password", "shop.pin", "team")} == {
            "password": "[Filtered]", "shop.pin": "[Filtered]", "team": "payments",
        }  # fmt: skip


def test_spans_of_a_thread_that_outlives_its_transaction_are_not_sent_as_under_plain_sentry_sdk(tmp_path):
    app = tmp_path / "app.py"
    app.write_text(
        "import os, threading, sentry_sdk\n"
        "sentry_sdk.init(os.environ['SENTRY_DSN'], traces_sample_rate=1.0)\n"
        "over = threading.Event()\n"
        "def polls():\n"
        "    with sentry_sdk.start_span(op='poll', name='within'): pass\n"
        "    begun.set(); over.wait()\n"
        "    with sentry_sdk.start_span(op='poll', name='after'):\n"
        "        with sentry_sdk.start_span(op='poll', name='below'): pass\n"
        "    with sentry_sdk.start_transaction(op='poll', name='own'): pass\n"
        "begun = threading.Event()\n"
        "with sentry_sdk.start_transaction(op='task', name='request'):\n"
        "    thread = threading.Thread(target=polls); thread.start(); begun.wait()\n"
        "over.set(); thread.join()\n"
    )
    plain, slotel = (
        {
            each["transaction"]: [span["description"] for span in each["spans"]]
            for each in ran.payloads("transaction")
        }
        for ran in (run_app(how, str(app), SENTRY_TRACES_SAMPLE_RATE="1") for how in ("plain", "slotel"))
    )
    assert slotel == plain == {"request": ["within"], "own": []}
