"""The Flask service of the tests with a fault inside the process, named by FAULT.

`raises:STAGE,…`, `slow:STAGE,…`, `garbage:STAGE,…`, `hangs:STAGE,…`; `dns` hangs.
"""

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
    "sender": "slotel.runtime.sentry.transport.sender:Sender._send_next",
    "ticker": "slotel.runtime.metrics.workers.storage:CounterStorage.share_exemplars",
    "exposition": "slotel.runtime.metrics.scrape.exposition:Exposition.render",
}


def raises(_real):
    def call(*_args, **_named):
        raise RuntimeError("broken on purpose")

    return call


def hangs(_real):
    return lambda *_args, **_named: time.sleep(3600)


def slow(real):
    def call(*args, **named):
        time.sleep(0.005)
        return real(*args, **named)

    return call


def garbage(_real):
    return lambda *_args, **_named: object()


def broken(name, by):
    """Put a fault in the place of a stage's work."""
    module, _, path = STAGES[name].partition(":")
    *owners, attribute = path.split(".")
    owner = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    setattr(owner, attribute, by(getattr(owner, attribute)))


kind, _, stages = os.environ["FAULT"].partition(":")
for stage in filter(None, stages.split(",")):
    broken(stage, {"raises": raises, "hangs": hangs, "slow": slow, "garbage": garbage}[kind])
if kind == "dns":
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *args, **named):
        return time.sleep(3600) if host == "sentry.invalid" else resolve(host, *args, **named)

    socket.getaddrinfo = getaddrinfo
