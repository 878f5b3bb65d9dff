"""Sends an item of each type that sentry-sdk knows, with markers that must not leave; by slotel's transport or its own."""

import logging
import os
import sys
import threading
import time

import sentry_sdk
from sentry_sdk.crons import capture_checkin
from sentry_sdk.envelope import Envelope, Item, PayloadRef
from sentry_sdk.transport import HttpTransport


class Own(HttpTransport):
    pass


def secret(number):
    return f"https://bob:SEK{number:08x}RET@db/"


sentry_sdk.init(
    os.environ["SENTRY_DSN"],
    enable_logs=True,
    profile_session_sample_rate=1.0,
    release="r",
    environment="test",
    **({"transport": Own} if sys.argv[1] == "own" else {}),
)
client = sentry_sdk.get_client()
scope = sentry_sdk.get_current_scope()

scope.add_attachment(bytes=f"first line\npassword={secret(1)}\n".encode(), filename="notes.txt")
scope.add_attachment(bytes=b'{"password": "SEK00000002RET"}', filename=f"{secret(3)}.json")
scope.add_attachment(bytes=b"\x00\x01SEKbinaryRET\xff", filename="picture.bin")
sentry_sdk.capture_message(f"said {secret(4)}")
scope.clear_attachments() if hasattr(scope, "clear_attachments") else scope._attachments.clear()

capture_checkin(
    monitor_slug="nightly", status="ok", duration=1.0,
    monitor_config={"schedule": {"type": "crontab", "value": "0 0 * * *"}, "note": secret(5), "password": "SEK00000006RET"},
)  # fmt: skip
logging.getLogger("shop").addHandler(logging.NullHandler())  # standard error is the app's own
logging.getLogger("shop").warning("connecting to %s", secret(7), extra={"password": "SEK00000008RET"})
sentry_sdk.logger.info("as " + secret(9), attributes={"token": "SEK0000000aRET"})
if hasattr(sentry_sdk, "metrics") and hasattr(sentry_sdk.metrics, "count"):
    sentry_sdk.metrics.count("carts", 1, attributes={"url": secret(11), "password": "SEK0000000cRET"})

scope.start_session()
scope._session.update(user_agent=f"curl {secret(13)}", sid="0123456789abcdef0123456789abcdef")
scope.end_session()

if hasattr(sentry_sdk.profiler, "start_profiler"):
    sentry_sdk.profiler.start_profiler()
    named = threading.Thread(target=time.sleep, args=(0.5,), name=f"loader of {secret(14)}")
    named.start()
    named.join()
    sentry_sdk.profiler.stop_profiler()

for kind, payload in {
    "feedback": {"event_id": "a" * 32, "contexts": {"feedback": {"message": secret(15), "password": "SEK00000010RET"}}},
    "user_report": {"event_id": "a" * 32, "name": "bob", "comments": secret(17)},
    "client_report": {"timestamp": 1.0, "discarded_events": [{"reason": secret(18), "category": "error", "quantity": 1}]},
    "from_the_future": {"password": "SEK00000013RET", "deep": [{"url": secret(20)}], "kept": "KEPT"},
}.items():  # fmt: skip
    client.transport.capture_envelope(Envelope(items=[Item(PayloadRef(json=payload), type=kind)]))
client.transport.capture_envelope(
    Envelope(
        headers={"event_id": "b" * 32, "trace": {"trace_id": "c" * 32, "transaction": secret(21)}},
        items=[Item(b'{"password": "SEK00000016RET", "kept": "KEPT"}', type="from_the_future")],
    )
)
client.transport.capture_envelope(
    Envelope(items=[Item(f"name:1|c|#url:{secret(23)}".encode(), type="statsd")])
)
client.close(30)
