"""What redaction costs a transaction and an error event that hold nothing odd, and how long a crafted text takes.

CPU time; the baseline is the same without any redaction, and both take turns. Convention: bench/README.md.
"""

from __future__ import annotations

import copy
import time

import sentry_sdk
from micro import main
from micro_sentry import DSN, Through, provider, requests, slotel_sink
from sentry_sdk.utils import event_from_exception

from slotel.runtime.redaction.enforcer import Enforcer
from slotel.runtime.redaction.redactor import Redactor

CHILDREN = 10
CRAFTED = ("token: ", '"token", \'', "%25", "{token=[", "4111 ", "a")


class Unredacted(Redactor):
    """Lets everything through."""

    def text(self, text):
        return text

    def source(self, line):
        return line

    def attributes(self, attributes):
        return attributes

    def data(self, data, path="", depth=0):  # noqa: ARG002 the redactor's signature
        return data


def transactions(*, redacting: bool, traces: int) -> float:
    """Return the seconds that building the transactions of so many requests takes, one with the other."""
    sink = slotel_sink()
    enforcer: Enforcer = sink._worker._assembly._enforcer
    if not redacting:
        enforcer.redactor = Unredacted()
        enforcer._is_known_clean = lambda _: True
    tracer = provider(1.0, Through(sink), record=True).get_tracer("bench")
    requests(tracer, traces, CHILDREN)
    begun = time.process_time()
    sink.flush(60.0)
    return (time.process_time() - begun) / traces


def events(redact, events_of: int) -> float:
    """Return the seconds that redacting one error event takes."""
    given = [error_event(number) for number in range(events_of)]
    begun = time.thread_time()
    for event in given:
        redact(event)
    return (time.thread_time() - begun) / events_of


def failing(number: int) -> Exception:
    def handler(order: int) -> None:
        customer, items, total = f"customer-{order}", [{"sku": f"a-{order}", "n": 2}] * 5, order * 1.5
        raise ValueError(f"order {order} of {customer} with {len(items)} items, {total}")

    try:
        handler(number)
    except ValueError as error:
        return error
    raise AssertionError("it does not fail")


def error_event(number: int) -> dict:
    event, _ = event_from_exception(failing(number))
    return copy.deepcopy(event)


def capturing(events_of: int) -> float:
    """Return the seconds that sentry-sdk takes to capture one error, without redaction and without sending it."""
    client = sentry_sdk.Client(dsn=DSN, transport=lambda _: None, default_integrations=False)
    begun = time.thread_time()
    for number in range(events_of):
        event, hint = event_from_exception(failing(number), client_options=client.options)
        client.capture_event(event, hint)
    return (time.thread_time() - begun) / events_of


def crafted(piece: str, length: int) -> float:
    text = (piece * (length // len(piece) + 1))[:length]
    begun = time.thread_time()
    Redactor(("*.pin",)).text(text)
    return time.thread_time() - begun


def row(what, value, unit, baseline, baseline_value, target):
    return {
        "what": what, "value": value, "unit": unit, "baseline": baseline, "baseline_value": baseline_value,
        "ratio": value / baseline_value, "target": target,
    }  # fmt: skip


def rows(quick: bool) -> list[dict]:
    sentry_sdk.init(dsn=DSN, traces_sample_rate=1.0)
    traces, rounds = (100, 3) if quick else (500, 9)
    turns = [
        (transactions(redacting=False, traces=traces), transactions(redacting=True, traces=traces))
        for _ in range(rounds)
    ]
    without, redacted = min(turn[0] for turn in turns), min(turn[1] for turn in turns)
    redactor = Enforcer.event
    enforcer = slotel_sink()._worker._assembly._enforcer
    captured = min(capturing(50) for _ in range(rounds))
    spent = min(events(lambda event: redactor(enforcer, event), 50) for _ in range(rounds))
    length = 200_000 if quick else 1_000_000
    slowest = max(crafted(piece, length) for piece in CRAFTED)
    return [
        row("a transaction of 11 spans, redacted", redacted * 1e6, "us", "not redacted", without * 1e6, 1.1),
        row(
            "an error event, captured and redacted",
            (captured + spent) * 1e6,
            "us",
            "captured",
            captured * 1e6,
            1.05,
        ),
        row("a crafted text, per megabyte", slowest * 1e6 / length, "s", "1.5 s", 1.5, 1.0),
    ]


if __name__ == "__main__":
    main(__doc__, rows)
