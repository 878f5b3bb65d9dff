"""A long outage with a storm of one error: the buffer is bounded, and one event of every kind of error outlives it."""

import threading
import time
import timeit
from collections import Counter

import pytest
import sentry_sdk
from hypothesis import given
from hypothesis import strategies as st
from sentry_sdk.consts import DEFAULT_OPTIONS, VERSION
from sentry_sdk.envelope import Envelope, Item, PayloadRef

from slotel.cli.sink.server import SentrySink
from slotel.runtime.metrics.self_metrics import UNSENT
from slotel.runtime.sentry.transport import envelope_queue
from slotel.runtime.sentry.transport import sender as sending
from slotel.runtime.sentry.transport.envelope_queue import EnvelopeQueue, QueuedEnvelope, least_needed
from slotel.runtime.sentry.transport.error_kind import error_kind
from support.launch import wait_until
from support.sentry_tracing import connected, provider

STORM = 300
HOOKS = [name for name in ("before_send", "before_send_transaction") if name in DEFAULT_OPTIONS]
"""sentry-sdk 3 has none of transactions."""


class RareError(Exception):
    """One of the errors that happen once."""


def raised(number):
    """Return an exception with a place of its own for each number."""
    made = {}
    lines = "\n" * number + "raise RareError(number)"
    try:
        exec(compile(lines, "rare.py", "exec"), {"RareError": RareError, "number": number})
    except RareError as error:
        made = error
    return made


def capture(client, error):
    more = {} if VERSION.startswith("3") else {"client_options": client.options}
    event, hint = sentry_sdk.utils.event_from_exception(error, **more)
    client.capture_event(event, hint=hint, scope=sentry_sdk.Scope())


def storm(client, count=STORM):
    for number in range(count):
        try:
            raise ValueError(number)
        except ValueError as error:
            capture(client, error)


@pytest.fixture
def sentry():
    with SentrySink() as sink:
        yield sink


def arrived(sentry):
    return Counter(
        (values[-1]["type"], values[-1]["value"] if values[-1]["type"] == "RareError" else "")
        for values in (event["exception"]["values"] for event in sentry.payloads("event"))
    )


def rare(*numbers):
    return {("RareError", str(number)) for number in numbers}


def test_a_storm_of_one_error_pushes_out_no_single_event_of_another_and_every_loss_is_counted(
    sentry, monkeypatch
):
    monkeypatch.setattr(envelope_queue, "MAX_BYTES", 100_000)
    with connected(sentry) as (client, sink, losses):
        tracer = provider(sink).get_tracer("t")
        sentry.set_fault("refuse")
        for number in (1, 2):
            capture(client, raised(number))
        for number in range(STORM):
            storm(client, 1)
            with tracer.start_as_current_span(f"job {number}"):
                pass
            if number == STORM // 2:
                capture(client, raised(3))
                sink.flush(0.2)
        capture(client, raised(4))
        sink.flush(0.2)
        sentry.set_fault("none")
        assert sink.flush(60)
    found = arrived(sentry)
    assert rare(1, 2, 3, 4) <= found.keys()
    assert found["ValueError", ""] > 10
    assert sentry.transactions > 10
    assert losses.counts == {
        ("errors", "queue_full"): STORM + 4 - sentry.events,
        ("traces", "queue_full"): STORM - sentry.transactions,
    }


def test_after_the_outage_sentry_is_told_what_was_lost_and_once(sentry, monkeypatch):
    monkeypatch.setattr(envelope_queue, "MAX_ENVELOPES", 20)
    with connected(sentry) as (client, sink, losses):
        tracer = provider(sink).get_tracer("t")
        sentry.set_fault("refuse")
        storm(client, 100)
        for number in range(100):
            with tracer.start_as_current_span(f"job {number}"):
                pass
        sink.flush(0.2)
        sentry.set_fault("none")
        assert sink.flush(60)
        assert sink.flush(60)
        sentry.set_fault("429", {"X-Sentry-Rate-Limits": "60:error:key"})
        storm(client, 1)  # this one the server has counted itself
        assert sink.flush(60)
        sentry.set_fault("none")
        storm(client, 2)
        assert sink.flush(60)
    told = Counter()
    for report in sentry.payloads("client_report"):
        for each in report["discarded_events"]:
            told[each["category"], each["reason"]] += each["quantity"]
    lost = losses.counts
    assert lost["errors", "rate_limited"] == 3
    assert told == {
        ("error", "queue_overflow"): lost["errors", "queue_full"],
        ("transaction", "queue_overflow"): lost["traces", "queue_full"],
        ("error", "ratelimit_backoff"): 2,
    }


@pytest.mark.parametrize("wanted", [True, False])
def test_reports_are_sent_if_the_client_wants_them(sentry, wanted):
    refuses = dict.fromkeys(HOOKS, lambda event, hint: None)
    with connected(sentry, send_client_reports=wanted, **refuses) as (client, sink, losses):
        storm(client, 1)
        with provider(sink).get_tracer("t").start_as_current_span("job"):
            pass
        assert sink.flush(60)
    reports = [report["discarded_events"] for report in sentry.payloads("client_report")]
    signals = ("errors", "traces")[: len(HOOKS)]
    assert losses.counts == {(signal, "before_send"): 1 for signal in signals}
    told = [
        {"reason": "before_send", "category": kind, "quantity": 1}
        for kind in ("error", "transaction")[: len(HOOKS)]
    ]
    assert reports == [told] * wanted


def test_each_log_and_metric_of_a_batch_that_is_lost_is_counted(sentry):
    unsent = Counter()
    with connected(sentry) as (client, _, losses), pytest.MonkeyPatch.context() as patch:
        patch.setattr(UNSENT, "add", lambda signal, count: unsent.update({signal: count}))
        for fault in ("403", "none"):
            sentry.set_fault(fault)
            for kind, count in (("log", 100), ("trace_metric", 7)):
                item = Item(
                    PayloadRef(json={"items": [{}] * count}), type=kind, headers={"item_count": count}
                )
                client.transport.capture_envelope(Envelope(items=[item]))
                client.transport.record_lost_event("queue_overflow", item=item)
            client.transport.flush(60)
    assert losses.counts == {
        ("logs", "status_403"): 100, ("logs", "queue_overflow"): 200, ("metrics", "status_403"): 7, ("metrics", "queue_overflow"): 14,
    }  # fmt: skip
    assert set(unsent.values()) == {0}


@pytest.mark.skipif(VERSION.startswith("3"), reason="sentry-sdk 3 tells no reason of its own")
def test_sentry_is_told_of_what_a_failing_hook_of_the_app_cost(sentry):
    def fails(event, hint):
        raise ValueError("a hook")

    with connected(sentry, before_send=fails, send_client_reports=True) as (client, sink, losses):
        storm(client, 2)
        assert sink.flush(60)
    (reason,) = {reason for _, reason in losses.counts}
    told = [each for report in sentry.payloads("client_report") for each in report["discarded_events"]]
    assert told == [{"reason": reason, "category": "error", "quantity": 2}]


def test_of_a_storm_the_first_event_is_kept_and_the_last_ones(sentry, monkeypatch):
    monkeypatch.setattr(envelope_queue, "MAX_ENVELOPES", 20)
    with connected(sentry) as (client, sink, losses):
        sentry.set_fault("refuse")
        storm(client)
        sink.flush(0.2)
        sentry.set_fault("none")
        assert sink.flush(60)
    values = [int(event["exception"]["values"][-1]["value"]) for event in sentry.payloads("event")]
    assert values[0] == 0
    assert values[1:] == list(range(STORM - len(values) + 1, STORM))
    assert losses.counts == {("errors", "queue_full"): STORM - len(values)}


def test_while_the_sender_waits_for_an_answer_a_storm_pushes_out_no_single_event(sentry, monkeypatch):
    monkeypatch.setattr(sending, "MAX_UNENCODED", 20)
    with connected(sentry, sender={"timeout": 30.0}) as (client, sink, losses):
        sentry.set_fault("hang")
        capture(client, raised(1))
        assert sentry.wait_for(lambda s: s.stats().get("faulted"))
        capture(client, raised(2))
        storm(client)
        capture(client, raised(3))
        sentry.set_fault("none")
        assert sink.flush(60)
    assert rare(1, 2, 3) <= arrived(sentry).keys()
    assert losses.counts == {("errors", "queue_full"): STORM + 3 - sentry.events}


@pytest.mark.parametrize("fault", ["500", "reset", "hang"])
def test_a_server_that_fails_on_everything_uses_up_the_attempts_of_no_single_event(sentry, fault):
    """Each of the failures is another envelope's: with eight that wait, eight times two attempts lose nothing."""
    timeout = {"timeout": 0.2} if fault == "hang" else {}
    with connected(sentry, sender={"first_wait": 0.01, **timeout}) as (client, sink, losses):
        sentry.set_fault(fault)
        for number in range(8):
            capture(client, raised(number))
        assert sentry.wait_for(lambda s: s.stats().get("faulted", 0) >= 8)
        sentry.set_fault("none")
        assert sink.flush(60)
    assert (arrived(sentry).keys(), losses.counts) == (rare(*range(8)), {})


def test_an_envelope_that_a_server_fails_on_holds_up_no_other(sentry):
    with connected(sentry, sender={"first_wait": 0.01}) as (client, sink, losses):
        sentry.set_fault("500")
        capture(client, raised(1))
        assert sentry.wait_for(lambda s: s.stats().get("faulted"))
        wait_until(lambda: losses.counts, "it is given up after three attempts")
        sentry.set_fault("none")
        capture(client, raised(2))
        assert sink.flush(60)
    assert (arrived(sentry).keys(), losses.counts) == (rare(2), {("errors", "server_error"): 1})


def test_kinds_are_type_and_place_or_a_fingerprint_or_the_message_without_its_numbers():
    def exception(kind, line, value="x"):
        frames = [{"filename": "server.py", "lineno": 1}, {"filename": "shop.py", "lineno": line}]
        return {"exception": {"values": [{"type": kind, "value": value, "stacktrace": {"frames": frames}}]}}

    same = [
        (exception("E", 1, "for bob"), exception("E", 1, "for eve")),
        ({"message": "order 1 of 7f3a-11"}, {"message": "order 22 of 0a1b-99"}),
        ({"logentry": {"message": "%s", "params": [1]}}, {"logentry": {"message": "%s", "params": [2]}}),
    ]
    other = [
        (exception("E", 1), exception("F", 1)),
        (exception("E", 1), exception("E", 2)),
        (exception("E", 1), {**exception("E", 1), "fingerprint": ["a"]}),
        ({"message": "a", "logger": "x"}, {"message": "a", "logger": "y"}),
        ({"message": "one"}, {"message": "two"}),
    ]
    assert all(error_kind(one) == error_kind(two) for one, two in same)
    assert all(error_kind(one) != error_kind(two) for one, two in other)
    dashes = {"message": "-" * 200}
    assert error_kind(dashes) != error_kind({"message": "-" * 199})
    assert min(timeit.repeat(lambda: error_kind(dashes), number=10)) < 0.0006, "60 µs each; it took 120"
    odd = {"exception": [{"type": [1]}]}, {"logentry": 5}, {"exception": {"values": 5}}, {"fingerprint": 5}
    assert [error_kind(each) for each in odd]  # nothing is raised


ENVELOPES = st.lists(
    st.tuples(st.sampled_from(["errors", "traces", "logs"]), st.integers(0, 5), st.integers(1, 400)),
    max_size=80,
)


ROOM_FOR_KINDS = 14
"""Half of it is more than the six kinds, whatever their size."""


@given(ENVELOPES, st.integers(2, 30))
def test_a_queue_is_bounded_loses_nothing_unsaid_and_keeps_every_kind_that_has_room_in_half_of_it(
    given, most
):
    envelopes = [QueuedEnvelope(b"x" * size, 0.0, "", signal, kind) for signal, kind, size in given]
    queue = EnvelopeQueue(most)
    lost = [gone for envelope in envelopes for gone in queue.put(envelope)]
    kept = queue.clear()
    assert len(kept) <= most
    assert Counter(map(id, [*lost, *kept])) == Counter(map(id, envelopes))
    assert [id(each) for each in envelopes if each in kept] == [id(each) for each in kept]
    order = list(least_needed(envelopes))
    assert Counter(map(id, order)) == Counter(map(id, envelopes))
    if most >= ROOM_FOR_KINDS:
        kinds = [{each.kind for each in some if each.signal == "errors"} for some in (kept, envelopes)]
        assert kinds[0] == kinds[1]


def test_choosing_what_gives_way_costs_little_for_each_envelope():
    queue = EnvelopeQueue()
    began = time.thread_time()
    for number in range(20_000):
        queue.put(QueuedEnvelope(b"x" * 4000, 0.0, "", "errors", number % 50))
    assert len(queue) * 4000 <= envelope_queue.MAX_BYTES
    print(f"{(time.thread_time() - began) / 20_000 * 1e6:.0f} µs each")


def test_several_threads_may_fill_it(monkeypatch):
    queue = EnvelopeQueue(100)
    lost = []

    def fill(signal):
        for number in range(2000):
            lost.extend(queue.put(QueuedEnvelope(b"x", 0.0, "", signal, number % 3)))

    threads = [threading.Thread(target=fill, args=(signal,)) for signal in ("errors", "traces", "logs")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    kept = queue.clear()
    assert len(set(map(id, [*lost, *kept]))) == len(lost) + len(kept) == 6000
    assert len(kept) <= 100
    assert queue._bytes == 0
