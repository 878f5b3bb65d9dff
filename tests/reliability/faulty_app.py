"""The Flask service of the tests with a fault inside the process, named by FAULT: `stage:NAME` raises, `dns` hangs."""

import importlib
import os
import socket
import time

from flask_app import app

__all__ = ["app"]

STAGES = {
    "open_spans": "slotel.runtime.requests.local_roots:OpenSpans.open",
    "decision": "slotel.runtime.tracing.processor:decide",
    "metrics": "slotel.runtime.metrics.span_metrics:SpanMetrics.on_end",
    "transactions": "slotel.runtime.sentry.transactions.assembly:Assembly.whole",
    "errors": "slotel.runtime.sentry.errors.linker:ErrorEventLinker.on_end",
    "redaction": "slotel.runtime.redaction.redactor:Redactor.text",
    "exposition": "slotel.runtime.metrics.scrape.exposition:Exposition.render",
}


def breaks(*_args, **_named):
    raise RuntimeError("broken on purpose")


def hangs(*_args, **_named):
    time.sleep(3600)


kind, _, name = os.environ["FAULT"].partition(":")
if kind == "stage":
    module, _, path = STAGES[name].partition(":")
    *owners, attribute = path.split(".")
    owner = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    assert hasattr(owner, attribute), STAGES[name]
    setattr(owner, attribute, breaks)
elif kind == "dns":
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *args, **named):
        return hangs() if host == "sentry.invalid" else resolve(host, *args, **named)

    socket.getaddrinfo = getaddrinfo
