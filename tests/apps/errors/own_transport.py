"""Gives its Sentry client a transport of its own, in the way that argv names; prints what that transport was given."""

import json
import os
import sys

import sentry_sdk
from sentry_sdk.transport import Transport

given = []


class Noting(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            event = item.payload.json
            given.append([item.type, event.get("transaction") or event["message"], event.get("release")])


way, dsn = sys.argv[1], os.environ["APP_DSN"]
options = {"traces_sample_rate": 1.0, "transport": Noting, "release": None}
if way == "options":
    sentry_sdk.init(dsn, **options)
elif way == "mapping":
    sentry_sdk.init({"dsn": dsn, **options, "transport": Noting()})
else:
    sentry_sdk.get_global_scope().set_client(sentry_sdk.Client(dsn, **options))
sentry_sdk.capture_message("said")
with sentry_sdk.start_transaction(name="done"):
    pass
sentry_sdk.flush(10)
if sys.argv[2] == "slotel":
    from slotel.runtime.state import RUNNING

    RUNNING[0].flush(30)
print(json.dumps(sorted(given)))
