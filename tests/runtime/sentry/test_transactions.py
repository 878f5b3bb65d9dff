"""Mode `transactions`: from real spans to what a Sentry receives."""

import threading
import time

import pytest
import sentry_sdk
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import Link, SpanKind, StatusCode

from slotel.cli.sink.server import SentrySink
from slotel.config.sampling import Keep
from slotel.config.service import SentrySettings
from slotel.config.tags import TagPolicy, TagRule
from slotel.runtime.sentry.modes.select import sentry_sink
from support.sentry_tracing import RESOURCE, Losses, client, enforcer, provider, shipping

SERVER = {"http.request.method": "GET", "http.route": "/a/{id}", "http.response.status_code": 200}


@pytest.fixture
def sentry():
    with SentrySink() as sink:
        yield sink


def transactions(sentry, count, timeout=20.0):
    assert sentry.wait_for(lambda s: s.transactions >= count, timeout), sentry.stats()
    return sentry.payloads("transaction")


def test_a_request_becomes_one_transaction_with_its_children_events_links_status_text_and_tags(sentry):
    policy = TagPolicy(required={"team": TagRule(default="payments")}, set={"region": "eu"})
    with shipping(sentry, policy=policy, release="r1", environment="prod", server_name="web-1", dist="7") as (
        sink,
        losses,
    ):
        tracer = provider(sink, tags={"color": "red"}).get_tracer("t")
        with tracer.start_as_current_span("other") as other:
            pass
        with tracer.start_as_current_span(
            "GET",
            kind=SpanKind.SERVER,
            attributes={**SERVER, "password": "x"},
            links=[Link(other.get_span_context())],
        ) as root:
            with tracer.start_as_current_span(
                "q", attributes={"db.system.name": "pg", "db.query.text": "SELECT 1"}
            ) as q:
                q.add_event("row", {"n": 1})
            root.record_exception(ValueError("broken"))
            root.set_status(StatusCode.ERROR, "it broke")
        event = next(e for e in transactions(sentry, 2) if e["transaction"] != "other")
    assert event["transaction"] == "GET /a/{id}"
    assert event["transaction_info"] == {"source": "route"}
    assert (event["release"], event["environment"], event["server_name"], event["dist"]) == (
        "r1",
        "prod",
        "web-1",
        "7",
    )
    assert event["tags"] == {
        "team": "payments", "region": "eu", "color": "red", "http.status_code": "200", "status": "internal_error",
    }  # fmt: skip
    trace_context = event["contexts"]["trace"]
    assert (trace_context["op"], trace_context["status"]) == ("http.server", "internal_error")
    assert trace_context["data"]["sentry.status.message"] == "it broke"
    assert trace_context["data"]["otel.events"][0]["attributes"]["exception.message"] == "broken"
    assert trace_context["data"]["password"] == "[Filtered]"
    assert trace_context["links"][0]["span_id"] == f"{other.get_span_context().span_id:016x}"
    assert event["contexts"]["otel"]["resource"] == {"service.name": "checkout"}
    (child,) = event["spans"]
    assert (child["op"], child["description"]) == ("db", "SELECT 1")
    assert child["parent_span_id"] == trace_context["span_id"]
    assert child["data"]["otel.events"][0]["name"] == "row"
    assert losses.counts == {}


def test_the_trace_header_tells_the_rate_and_a_random_number_on_its_side_of_it(sentry):
    with shipping(sentry, rate=0.25, release="r") as (sink, _):
        with provider(sink).get_tracer("t").start_as_current_span("job") as span:
            pass
        transactions(sentry, 1)
    header = sentry.envelopes[0].header["trace"]
    low = span.get_span_context().trace_id & (2**64 - 1)
    assert header["sample_rate"] == "0.25"
    assert (float(header["sample_rand"]) < 0.25) == (low < 0.25 * 2**64)
    assert (header["sampled"], header["release"], header["transaction"]) == ("true", "r", "job")


def test_a_callers_sampling_context_is_passed_on_as_it_came(sentry):
    trace_id = "ab" * 16
    headers = {
        "traceparent": f"00-{trace_id}-{'cd' * 8}-01",
        "baggage": f"sentry-trace_id={trace_id},sentry-public_key=k,sentry-sample_rate=0.5,sentry-sampled=true,other=1",
    }
    with shipping(sentry) as (sink, _):
        token = otel_context.attach(extract(headers))
        with provider(sink).get_tracer("t").start_as_current_span("job"):
            pass
        otel_context.detach(token)
        (event,) = transactions(sentry, 1)
    assert event["contexts"]["trace"]["parent_span_id"] == "cd" * 8
    assert sentry.envelopes[0].header["trace"] == {
        "trace_id": trace_id, "public_key": "k", "sample_rate": "0.5", "sampled": "true",
    }  # fmt: skip


def test_a_trace_that_was_sampled_out_leaves_nothing_and_holds_nothing(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink, sampler=ALWAYS_OFF).get_tracer("t")
        for _ in range(50):
            with tracer.start_as_current_span("job"), tracer.start_as_current_span("step"):
                pass
        assert sink._open == {}
        assert next(sink._added) - sink._released == 1
        assert sink.flush(60)
    assert (sentry.transactions, losses.counts) == (0, {})


@pytest.mark.parametrize("where", ["root", "child"])
def test_a_failing_trace_is_kept_whole_although_it_was_sampled_out_and_counts_once(sentry, where):
    with shipping(sentry, rate=0.01) as (sink, _):
        tracer = provider(sink, sampler=ALWAYS_OFF).get_tracer("t")
        with tracer.start_as_current_span("job") as root, tracer.start_as_current_span("step") as child:
            (root if where == "root" else child).set_status(StatusCode.ERROR)
        (event,) = transactions(sentry, 1)
    assert [span["description"] for span in event["spans"]] == ["step"]
    assert event["tags"]["slotel.kept"] == "error"
    assert sentry.envelopes[0].header["trace"]["sample_rate"] == "1"
    assert sentry.envelopes[0].header["trace"]["sampled"] == "true"


def test_a_sampled_trace_that_would_have_been_kept_anyway_counts_once_too(sentry):
    with shipping(sentry, rate=0.01) as (sink, _):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("bad") as span:
            span.set_status(StatusCode.ERROR)
        with tracer.start_as_current_span("good"):
            pass
        events = transactions(sentry, 2)
    rates = {
        e.of_type("transaction")[0]["transaction"]: e.header["trace"]["sample_rate"] for e in sentry.envelopes
    }
    assert rates == {"bad": "1", "good": "0.01"}
    assert all("slotel.kept" not in event["tags"] for event in events)


def test_a_slow_root_is_kept_when_asked_and_a_quick_one_is_not(sentry):
    with shipping(sentry, keep=(Keep("slow", 1.0),)) as (sink, _):
        tracer = provider(sink, sampler=ALWAYS_OFF).get_tracer("t")
        start = time.time_ns()
        tracer.start_span("quick", start_time=start).end(start + 900_000_000)
        tracer.start_span("failed", start_time=start).set_status(StatusCode.ERROR)
        tracer.start_span("slow", start_time=start).end(start + 1_100_000_000)
        (event,) = transactions(sentry, 1)
        assert sink.flush(60)
    assert (event["transaction"], event["tags"]["slotel.kept"], sentry.transactions) == ("slow", "slow", 1)


def test_kept_traces_have_a_budget_for_each_minute_and_what_exceeds_it_is_counted(sentry):
    with shipping(sentry, keep_per_minute=3) as (sink, losses):
        tracer = provider(sink, sampler=ALWAYS_OFF).get_tracer("t")
        for _ in range(5):
            with tracer.start_as_current_span("job") as span:
                span.set_status(StatusCode.ERROR)
        assert sink.flush(60)
    # the minute may have turned in between
    assert sentry.transactions + losses.counts.get(("traces", "keep_rate_limited"), 0) == 5
    assert 3 <= sentry.transactions <= 5


def test_a_child_that_ends_shortly_after_its_root_joins_its_transaction(sentry):
    with shipping(sentry, worker={"_late_wait": 0.5}) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("root"):
            child = tracer.start_span("late")
        child.end()
        (event,) = transactions(sentry, 1)
    assert [span["description"] for span in event["spans"]] == ["late"]
    assert losses.counts == {}


def test_a_child_that_ends_long_after_its_root_is_a_transaction_of_the_same_trace(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("root"):
            child = tracer.start_span("late")
        transactions(sentry, 1)
        with trace.use_span(child, end_on_exit=False), tracer.start_as_current_span("below"):
            pass
        child.end()
        sink.flush(60)
        root, late = (event["contexts"]["trace"] for event in transactions(sentry, 2)[:2])
    assert late["trace_id"] == root["trace_id"]
    names = {event["transaction"]: event for event in sentry.payloads("transaction")}
    assert names["late"]["contexts"]["trace"]["parent_span_id"] == root["span_id"]
    held = [span["description"] for span in names["late"]["spans"]] + [
        name for name in names if name == "below"
    ]
    assert held == ["below"]
    assert losses.counts == {}


def test_each_of_2500_children_arrives_in_linked_transactions_within_sentrys_limit(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("root") as root:
            for _ in range(2500):
                tracer.start_span("step").end()
        assert sink.flush(60)
        events = transactions(sentry, 3)
    assert sum(len(event["spans"]) for event in events) == 2500
    assert max(len(event["spans"]) for event in events) <= 1000
    root_id = f"{root.get_span_context().span_id:016x}"
    continued = [event for event in events if event["contexts"]["trace"]["span_id"] != root_id]
    assert {event["transaction"] for event in continued} == {"root (continued)"}
    assert {event["contexts"]["trace"]["parent_span_id"] for event in continued} == {root_id}
    assert len({span["span_id"] for event in events for span in event["spans"]}) == 2500
    assert losses.counts == {}


def test_spans_of_a_root_that_stays_open_leave_after_a_while(sentry):
    with shipping(sentry, worker={"long_open": 0.0}) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("loop"):
            tracer.start_span("step").end()
            sink._worker._looked -= 3600  # the worker looks for such roots every 30 s
            sink._worker.wake()
            (event,) = transactions(sentry, 1)
            assert event["transaction"] == "loop (continued)"
            assert [span["description"] for span in event["spans"]] == ["step"]
        transactions(sentry, 2)
    assert losses.counts == {}


def test_what_ended_below_an_open_root_is_shipped_at_shutdown(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        root = tracer.start_span("root")
        with trace.use_span(root):
            tracer.start_span("step").end()
            sink.shutdown()
        (event,) = transactions(sentry, 1)
    assert [span["description"] for span in event["spans"]] == ["step"]
    assert losses.counts == {}


def test_children_of_many_threads_are_all_in_their_transaction(sentry):
    with shipping(sentry, worker={"_late_wait": 0.0, "interval": 0.001}) as (sink, losses):
        tracer = provider(sink).get_tracer("t")

        def work(parent):
            with trace.use_span(parent, end_on_exit=False):
                for _ in range(40):
                    tracer.start_span("step").end()

        for _ in range(10):
            with tracer.start_as_current_span("root") as root:
                threads = [threading.Thread(target=work, args=(root,)) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads[:3]:
                    thread.join()
            threads[3].join()  # this one's spans may be late
        assert sink.flush(60)
    ids = [span["span_id"] for event in sentry.payloads("transaction") for span in event["spans"]]
    alone = [e for e in sentry.payloads("transaction") if e["transaction"] == "step"]
    assert len(set(ids)) == len(ids)
    assert len(ids) + len(alone) == 1600
    assert losses.counts == {}


def test_requests_to_sentry_itself_are_never_shipped_alone_or_as_a_child(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        own = {"http.request.method": "POST", "url.full": f"{sentry.url}/api/1/envelope/"}
        with tracer.start_as_current_span("POST", kind=SpanKind.CLIENT, attributes=own):
            pass
        with (
            tracer.start_as_current_span("job"),
            tracer.start_as_current_span("POST", kind=SpanKind.CLIENT, attributes=own),
        ):
            pass
        assert sink.flush(60)
        (event,) = transactions(sentry, 1)
    assert (event["transaction"], event["spans"], losses.counts) == ("job", [], {})


def test_scope_data_of_the_request_and_the_users_hooks_apply_and_enforced_tags_win(sentry):
    seen = []

    def before_send_transaction(event, hint):
        seen.append(event)
        if event["transaction"] == "unwanted":
            return None
        event["tags"]["hook"] = "was here"
        return event

    def processor(event, hint):
        event["extra"]["processed"] = True
        return event

    policy = TagPolicy(required={"team": TagRule(allowed=("payments",), default="payments")})
    # sentry-sdk 3 has no such option any more
    has_hook = "before_send_transaction" in sentry_sdk.consts.DEFAULT_OPTIONS
    options = {"before_send_transaction": before_send_transaction} if has_hook else {}
    with shipping(sentry, policy=policy, **options) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with sentry_sdk.isolation_scope() as scope:
            scope.set_tag("plan", "pro")
            scope.set_tag("team", "wrong")
            scope.set_user({"id": "7", "password": "x"})
            scope.set_extra("note", "n")
            scope.add_event_processor(processor)
            with tracer.start_as_current_span("job"):
                pass
            if has_hook:
                with tracer.start_as_current_span("unwanted"):
                    pass
        (event,) = transactions(sentry, 1)
        assert sink.flush(60)
    assert (event["tags"]["plan"], event["tags"]["team"]) == ("pro", "payments")
    assert event["user"] == {"id": "7", "password": "[Filtered]"}
    assert (event["extra"]["note"], event["extra"]["processed"]) == ("n", True)
    if has_hook:
        assert event["tags"]["hook"] == "was here"
        assert isinstance(seen[0]["timestamp"], str)
        assert losses.counts == {("traces", "before_send"): 1}


def test_processors_of_the_app_see_the_request_of_a_transaction_and_may_take_it_away(sentry):
    seen = []

    def without_request(event, hint):
        seen.append(event.pop("request"))
        return event

    attributes = {"http.request.method": "GET", "url.full": "http://shop.test/reset/1"}
    with sentry_sdk.isolation_scope() as scope, shipping(sentry) as (sink, _):
        scope.add_event_processor(without_request)
        with (
            provider(sink)
            .get_tracer("t")
            .start_as_current_span("GET", kind=SpanKind.SERVER, attributes=attributes)
        ):
            pass
        (event,) = transactions(sentry, 1)
    assert seen == [{"method": "GET", "url": "http://shop.test/reset/1"}]
    assert "request" not in event


def test_what_is_attached_to_errors_is_on_no_transaction(sentry):
    with sentry_sdk.isolation_scope() as scope, shipping(sentry) as (sink, losses):
        scope.add_attachment(bytes=b"of errors", filename="errors.txt")
        with provider(sink).get_tracer("t").start_as_current_span("job"):
            pass
        transactions(sentry, 1)
    (envelope,) = sentry.envelopes
    assert [header["type"] for header, _ in envelope.items] == ["transaction"]
    assert losses.counts == {}


@pytest.mark.skipif(
    sentry_sdk.VERSION.startswith("3"), reason="sentry-sdk 3 attaches nothing to transactions"
)
def test_a_transaction_whose_attachment_cannot_be_read_arrives_with_the_others_without_secrets(sentry):
    def gone():
        raise OSError("gone")

    with sentry_sdk.isolation_scope() as scope, shipping(sentry) as (sink, losses):
        scope.add_attachment(bytes=gone, filename="gone.txt", add_to_transactions=True)
        scope.add_attachment(bytes=b'{"password": "hunter2"}', filename="form.json", add_to_transactions=True)
        with provider(sink).get_tracer("t").start_as_current_span("job"):
            pass
        transactions(sentry, 1)
    (envelope,) = sentry.envelopes
    ((header, content),) = (item for item in envelope.items if item[0]["type"] == "attachment")
    assert (header["filename"], header["content_type"]) == ("form.json", "application/json")
    assert "hunter2" not in str(content)
    assert losses.counts == {("attachments", "unreadable"): 1}


def test_what_is_redacted_once_for_all_events_is_redacted_again_when_it_changes(sentry):
    with shipping(sentry) as (sink, _), sentry_sdk.isolation_scope() as scope:
        tracer = provider(sink).get_tracer("t")
        for name in ("first", "first", "second"):
            scope.set_context("runtime", {"name": name, "password": "hunter2"})
            with tracer.start_as_current_span("request"):
                pass
            assert sink.flush(60)
    runtimes = [event["contexts"]["runtime"] for event in sentry.payloads("transaction")]
    assert [each["name"] for each in runtimes] == ["first", "first", "second"]
    assert {each["password"] for each in runtimes} == {"[Filtered]"}


def test_sentrys_scrubber_hides_what_it_always_hid(sentry):
    with shipping(sentry) as (sink, _):
        tracer = provider(sink).get_tracer("t")
        with (
            tracer.start_as_current_span("job"),
            tracer.start_as_current_span("step", attributes={"sessionid": "s", "ok": "1"}),
        ):
            pass
        (event,) = transactions(sentry, 1)
    assert event["spans"][0]["data"]["sessionid"] == "[Filtered]"
    assert event["spans"][0]["data"]["ok"] == "1"


def test_values_that_json_does_not_know_arrive_as_text_and_harm_no_other_trace(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("odd") as span:
            span.set_attribute("nan", float("nan"))
            span.set_attribute("nul", "a\x00b")
            span.set_attribute("surrogate", "a\ud800")
            span.set_attribute("list", [1.5, float("inf")])
        (event,) = transactions(sentry, 1)
    data = event["contexts"]["trace"]["data"]
    assert (data["nul"], data["surrogate"]) == ("ab", "a?")
    assert data["nan"] in ("nan", None)
    assert losses.counts == {}


def test_a_transaction_over_sentrys_size_is_split_or_cut_and_arrives(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("large", attributes={"big": "x" * 1_500_000}):
            pass
        with tracer.start_as_current_span("many"):
            for _ in range(30):
                tracer.start_span("step", attributes={"text": "y" * 50_000}).end()
        assert sink.flush(60)
        events = transactions(sentry, 3)
    assert sum(len(event["spans"]) for event in events) == 30
    assert losses.counts == {}


def test_memory_is_bounded_while_roots_stay_open(sentry, monkeypatch):
    monkeypatch.setattr("slotel.runtime.sentry.transactions.sink.MAX_UNSAMPLED", 100)
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink, sampler=ALWAYS_OFF).get_tracer("t")
        roots = [tracer.start_span("root") for _ in range(10)]
        for root in roots:
            with trace.use_span(root):
                for _ in range(30):
                    tracer.start_span("step").end()
        assert sum(len(local_root.spans) for local_root in sink._open.values()) <= 100
        for root in roots:
            root.set_status(StatusCode.ERROR)
            root.end()
        assert sink.flush(60)
    shipped = sum(len(event["spans"]) for event in sentry.payloads("transaction"))
    assert (sentry.transactions, shipped + losses.counts["spans", "overloaded"]) == (10, 300)


def test_spans_that_were_not_held_are_counted_also_when_their_root_stays_open(sentry, monkeypatch):
    monkeypatch.setattr("slotel.runtime.sentry.transactions.sink.MAX_PENDING", 10)
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("open"):
            for _ in range(15):
                tracer.start_span("child").end()
            sink.shutdown()
    assert sentry.spans - sentry.transactions + losses.counts.get(("spans", "overloaded"), 0) == 15
    assert losses.counts[("spans", "overloaded")] == 5


def test_a_span_whose_start_was_not_seen_is_shipped_by_itself(sentry):
    with shipping(sentry) as (sink, losses):
        span = provider().get_tracer("t").start_span("unseen")
        span.end()
        sink.on_end(span, None)
        (event,) = transactions(sentry, 1)
    assert (event["transaction"], losses.counts) == ("unseen", {})


def test_a_trace_that_cannot_be_built_is_counted_and_the_next_one_arrives(sentry, monkeypatch):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with monkeypatch.context() as patch:
            patch.setattr("slotel.runtime.sentry.transactions.assembly.transaction", lambda segment: 1 / 0)
            with tracer.start_as_current_span("a"):
                pass
            assert sink.flush(60)
        with tracer.start_as_current_span("b"):
            pass
        (event,) = transactions(sentry, 1)
    assert (event["transaction"], losses.counts) == ("b", {("traces", "build_error"): 1})


def test_the_entry_function_ships_transactions_and_a_mode_that_cannot_work_falls_back_with_a_word(
    sentry, caplog
):
    made = client(sentry.dsn())
    settings = SentrySettings(dsn=sentry.dsn(), mode="sdk", traces_sample_rate=1.0)
    sink = sentry_sink(settings, client=made, enforcer=enforcer(), resource=RESOURCE, dropped=Losses())
    assert "sentry.mode sdk cannot be used" in caplog.text
    assert caplog.text.count("\n") == 1
    with provider(sink, sampler=ALWAYS_ON).get_tracer("t").start_as_current_span("job"):
        pass
    assert sink.flush(60)
    sink.shutdown()
    made.close(timeout=0)
    assert sentry.transactions == 1


def test_no_item_type_leaves_that_glitchtip_stops_at_and_what_it_reads_is_there(sentry):
    with shipping(sentry, release="r1", environment="prod") as (sink, _):
        tracer = provider(sink).get_tracer("t")
        ai = {"gen_ai.operation.name": "chat"}
        with tracer.start_as_current_span("GET /a/{id}", kind=SpanKind.SERVER, attributes=SERVER):
            tracer.start_span("chat", attributes=ai).end()
        (event,) = transactions(sentry, 1)
    assert {header["type"] for envelope in sentry.envelopes for header, _ in envelope.items} == {
        "transaction"
    }
    assert event["transaction"] == "GET /a/{id}"
    assert (event["contexts"]["trace"]["op"], event["contexts"]["trace"]["status"]) == ("http.server", "ok")
    assert event["request"]["method"] == "GET"
    assert event["start_timestamp"] < event["timestamp"]
    assert (event["release"], event["environment"]) == ("r1", "prod")
    assert event["tags"]["http.status_code"] == "200"


def test_when_no_thread_can_be_started_the_next_trace_tries_again_and_nothing_is_lost(sentry, monkeypatch):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")

        def refuse(thread):
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with (
                pytest.raises(RuntimeError),
                tracer.start_as_current_span("a"),
            ):  # the pipeline's guard takes it
                pass
        with tracer.start_as_current_span("b"):
            pass
        events = transactions(sentry, 2)
    assert [event["transaction"] for event in events] == ["a", "b"]
    assert losses.counts == {}


def test_when_the_sender_gets_no_thread_its_queue_waits_and_nothing_is_lost_or_counted_as_lost(
    sentry, monkeypatch
):
    """The system has no thread left, or the interpreter ends: `WAKE_SENDER_EVERY` and more traces are ready at once."""
    with shipping(sentry, worker={"interval": 3600.0, "_late_wait": 0.0}) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        start = threading.Thread.start

        def refuse(thread):
            if thread.name == "slotel-sentry-send":
                raise RuntimeError("can't start new thread")
            start(thread)

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            for number in range(120):
                with tracer.start_as_current_span(str(number)):
                    pass
            sink._worker._drain_safely()
            assert losses.counts == {}
            assert sink.flush(30)
        events = transactions(sentry, 120)
    assert [event["transaction"] for event in events] == [str(number) for number in range(120)]
    assert losses.counts == {}


def test_the_worker_outlives_a_drain_that_fails(sentry, monkeypatch):
    with shipping(sentry, worker={"interval": 0.05, "_late_wait": 0.0}) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with monkeypatch.context() as patch:
            patch.setattr(sink._worker, "_build", lambda *_: 1 / 0)
            with tracer.start_as_current_span("a"):
                pass
            deadline = time.monotonic() + 20
            while (sink._worker.ended or not losses.counts) and time.monotonic() < deadline:
                time.sleep(0.01)
        assert set(losses.counts) == {("traces", "worker_error")}
        with tracer.start_as_current_span("b"):
            pass
        (event,) = transactions(sentry, 1)
    assert event["transaction"] == "b"


def test_envelopes_leave_uncompressed_while_the_main_thread_never_rests_and_gzipped_again_after(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        sizes = []
        for contended in (True, False):
            sink._worker._gil_yielder.contended = contended
            before = sentry.stats().get("bytes", 0)
            with tracer.start_as_current_span("job", attributes={"text": "x" * 5000}):
                pass
            assert sink.flush(60)
            sizes.append(sentry.stats()["bytes"] - before)
    assert sizes[0] > 5000 > sizes[1]
    assert (sentry.transactions, losses.counts) == (2, {})


def test_what_ends_after_the_shutdown_is_counted_and_held_no_more(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        sink.shutdown()
        with tracer.start_as_current_span("after"):
            late = tracer.start_span("late")
        late.end()
        assert not sink._worker.ended
        assert not sink._worker.late
    assert losses.counts == {("traces", "shutdown"): 1}


@pytest.mark.parametrize(
    ("method", "sent"), [("GET", 1), ("HEAD", 0), ("OPTIONS", 0), ("QUERY", 0), ("_OTHER", 0), (None, 1)]
)
def test_a_request_of_a_method_that_sentry_sdk_leaves_out_is_no_transaction(method, sent):
    """Source: sentry-sdk, `DEFAULT_HTTP_METHODS_TO_CAPTURE`. A websocket has no method."""
    with SentrySink() as sentry, shipping(sentry, calls_are_roots=False) as (sink, losses):
        attributes = {} if method is None else {"http.request.method": method}
        provider(sink).get_tracer("t").start_span("root", kind=SpanKind.SERVER, attributes=attributes).end()
        assert sink.flush(20)
    assert sentry.transactions == sent
    assert losses.counts == {}


@pytest.mark.parametrize(
    ("kind", "attributes", "is_call"),
    [
        (SpanKind.CLIENT, {}, True),
        (SpanKind.PRODUCER, {}, True),
        (SpanKind.INTERNAL, {"db.system": "sqlite"}, True),
        (SpanKind.INTERNAL, {"db.system.name": "redis"}, True),
        (SpanKind.INTERNAL, {"jinja2.template_name": "page.html"}, True),
        (SpanKind.INTERNAL, {}, False),
        (SpanKind.SERVER, {}, False),
        (SpanKind.CONSUMER, {}, False),
    ],
)
@pytest.mark.parametrize("asked_for", [True, False])
def test_a_call_that_no_request_makes_is_a_transaction_only_when_asked_for(
    kind, attributes, is_call, asked_for
):
    with SentrySink() as sentry, shipping(sentry, calls_are_roots=asked_for) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        with tracer.start_as_current_span("root", kind=kind, attributes=attributes):
            tracer.start_span("child").end()
        with tracer.start_as_current_span("job"), tracer.start_as_current_span("call", kind=SpanKind.CLIENT):
            pass
        assert sink.flush(20)
    sent = {event["transaction"]: len(event["spans"]) for event in sentry.payloads("transaction")}
    assert sent == {"job": 1, **({} if is_call and not asked_for else {"root": 1})}
    assert losses.counts == {}
