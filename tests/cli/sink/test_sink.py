"""The Sentry sink: what it takes, what it counts, how it misbehaves."""

import gzip
import http.client
import json
import subprocess
import sys
import urllib.request

import brotli
import pytest
import sentry_sdk

from slotel.cli.sink.envelope import parse_envelope
from slotel.cli.sink.server import SentrySink

TRANSACTION = {"type": "transaction", "transaction": "GET /", "spans": [{"op": "a"}, {"op": "b"}]}


def envelope(*items: dict) -> bytes:
    lines = [json.dumps({"event_id": "0" * 32})]
    for item in items:
        payload = json.dumps(item)
        lines += [json.dumps({"type": item["type"], "length": len(payload)}), payload]
    return "\n".join(lines).encode()


def post(
    sink: SentrySink, body: bytes, path: str = "/api/7/envelope/", timeout: float = 30.0, **headers: str
) -> tuple[int, dict]:
    """Return the status and the answer; on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=timeout)
    try:
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def client(sink: SentrySink) -> sentry_sdk.Client:
    return sentry_sdk.Client(
        dsn=sink.dsn(7), default_integrations=False, traces_sample_rate=1.0, auto_session_tracking=False
    )


def test_an_envelope_that_sentry_sdk_sends_is_parsed_and_counted_by_item_type():
    with SentrySink() as sink:
        with sentry_sdk.new_scope() as scope:
            sentry = client(sink)
            scope.set_client(sentry)
            sentry_sdk.capture_message("hello")
            with sentry_sdk.start_transaction(name="GET /", op="http.server") as transaction:
                transaction.start_child(op="db").finish()
            sentry.close(timeout=5)
        assert sink.wait_for(lambda s: s.events == 1 and s.transactions == 1)
        assert sink.payloads("event")[0]["message"] == "hello"
        assert sink.payloads("transaction")[0]["transaction"] == "GET /"
        assert sink.spans == 2
        assert {each.project for each in sink.envelopes} == {"7"}


def test_packed_and_plain_bodies_hold_the_same_envelope():
    """sentry-sdk packs by gzip, and by brotli where that is installed: with Gradio or Flask-Compress."""
    with SentrySink() as sink:
        body = envelope(TRANSACTION)
        assert post(sink, body) == (200, {"id": "0" * 32})
        post(sink, gzip.compress(body), **{"Content-Encoding": "gzip"})
        post(sink, brotli.compress(body), **{"Content-Encoding": "br"})
        first, second, third = sink.envelopes
        assert first == second == third
        assert sink.stats()["spans"] == 9


def test_a_sink_that_cannot_unpack_brotli_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    monkeypatch.setitem(sys.modules, "brotlicffi", None)
    with SentrySink() as sink:
        status, answer = post(sink, b"packed", **{"Content-Encoding": "br"})
    assert status == 400
    assert "pip install brotli" in answer["detail"]


def test_a_connection_is_kept_for_many_requests_and_stats_answers_the_counts():
    with SentrySink() as sink:
        connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=30)
        for _ in range(3):
            connection.request(
                "POST", "/api/1/envelope/", body=iter([envelope(TRANSACTION)]), encode_chunked=True
            )
            assert connection.getresponse().read()
        connection.request("GET", "/stats")
        stats = json.loads(connection.getresponse().read())
        connection.close()
        assert (stats["connections"], stats["transaction"], stats["spans"]) == (1, 3, 9)


def test_only_the_latest_envelopes_are_kept_but_all_are_counted():
    with SentrySink(keep=2) as sink:
        for _ in range(5):
            post(sink, envelope({"type": "event"}))
        assert (len(sink.envelopes), sink.events) == (2, 5)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{}\n{"type":"event","length":9}\n{}', b'{}\n{"type":"event","length":-1}\n{}', b"{}\nx"],
)
def test_bytes_that_are_no_envelope_are_refused_and_counted(body):
    with SentrySink() as sink:
        assert post(sink, body)[0] == 400
        assert sink.stats()["malformed"] == 1
        assert sink.wait_for(lambda s: not s.envelopes)


def test_an_item_without_a_length_ends_at_its_line_and_a_foreign_payload_stays_bytes():
    parsed = parse_envelope(b'{}\n{"type":"event"}\n{"a":1}\n{"type":"attachment","length":3}\na\nb\n', "1")
    assert parsed.items == (
        ({"type": "event"}, {"a": 1}),
        ({"type": "attachment", "length": 3}, b"a\nb"),
    )


@pytest.mark.parametrize(("fault", "status"), [("429", 429), ("5xx", 503)])
def test_a_refusing_sink_answers_with_its_status_and_counts_nothing_as_taken(fault, status):
    with SentrySink() as sink:
        sink.set_fault(fault)
        assert post(sink, envelope(TRANSACTION))[0] == status
        assert (sink.transactions, sink.stats()["faulted"]) == (0, 1)
        sink.set_fault("none")
        post(sink, envelope(TRANSACTION))
        assert sink.transactions == 1


def test_an_answer_carries_the_headers_it_is_told_to():
    with SentrySink() as sink:
        sink.set_fault("none", {"X-Sentry-Rate-Limits": "60:transaction:key"})
        connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=30)
        connection.request("POST", "/api/1/envelope/", body=envelope(TRANSACTION))
        assert connection.getresponse().headers["X-Sentry-Rate-Limits"] == "60:transaction:key"
        connection.close()


def test_a_hanging_sink_reads_and_never_answers():
    with SentrySink() as sink:
        sink.set_fault("hang")
        with pytest.raises(TimeoutError):
            post(sink, envelope(TRANSACTION), timeout=0.2)
        assert sink.stats()["faulted"] == 1


def test_a_slow_sink_answers_byte_by_byte_until_it_is_healed():
    with SentrySink() as sink:
        sink.set_fault("slow")
        connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=0.2)
        connection.request("POST", "/api/1/envelope/", body=envelope(TRANSACTION))
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
        assert sink.transactions == 1
        sink.set_fault("none")
        assert post(sink, envelope(TRANSACTION))[0] == 200


def test_a_resetting_sink_cuts_the_connection_without_an_answer():
    with SentrySink() as sink:
        sink.set_fault("reset")
        with pytest.raises(ConnectionError):
            post(sink, envelope(TRANSACTION))


def test_a_refusing_port_takes_no_connection_and_comes_back_on_the_same_port():
    with SentrySink() as sink:
        connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=30)
        connection.request("POST", "/api/1/envelope/", body=envelope(TRANSACTION))
        connection.getresponse().read()
        port = sink.port
        sink.set_fault("refuse")
        with pytest.raises(ConnectionRefusedError):
            post(sink, envelope(TRANSACTION))
        connection.close()
        sink.set_fault("none")
        assert sink.port == port
        assert post(sink, envelope(TRANSACTION))[0] == 200


@pytest.mark.parametrize("fault", ["close", "chunked"])
def test_odd_but_honest_answers_still_take_the_envelope(fault):
    with SentrySink() as sink:
        sink.set_fault(fault)
        assert post(sink, envelope(TRANSACTION)) == (200, {"id": "0" * 32})
        assert sink.transactions == 1


def test_other_paths_are_kept_apart_for_whoever_speaks_otlp():
    with SentrySink() as sink:
        urllib.request.urlopen(
            f"{sink.url}/api/1/integration/otlp/v1/traces/", data=b"\x0a", timeout=30
        ).read()
        assert [(each.target, each.body) for each in sink.others] == [
            ("/api/1/integration/otlp/v1/traces/", b"\x0a")
        ]


HOSTILE = "<script>alert(1)</script>"


def test_the_page_shows_events_and_transactions_as_waterfalls():
    transaction = {
        "type": "transaction", "transaction": "GET /pay", "start_timestamp": 100.0, "timestamp": 100.2,
        "contexts": {"trace": {"op": "http.server", "status": "internal_error", "trace_id": "a" * 32}}, "tags": {"team": HOSTILE},
        "spans": [{"op": "db", "description": "SELECT", "start_timestamp": 100.1, "timestamp": 100.15}],
    }  # fmt: skip
    frames = [{"filename": "app.py", "lineno": 3, "function": "pay", "context_line": "  1 / 0"}]
    event = {
        "type": "event", "timestamp": "2026-01-01T00:00:00Z", "transaction": "GET /pay",
        "exception": {"values": [{"type": "ZeroDivisionError", "value": HOSTILE, "stacktrace": {"frames": frames}}]},
    }  # fmt: skip
    with SentrySink() as sink:
        post(sink, envelope(transaction))
        post(sink, envelope(event, {"type": "event"}))
        with urllib.request.urlopen(f"{sink.url}/", timeout=30) as answer:
            page = answer.read().decode()
            assert answer.headers["Content-Type"].startswith("text/html")
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "GET /pay" in page
    assert "200.0 ms" in page
    assert "left:50.00%;width:25.00%" in page
    assert "ZeroDivisionError" in page
    assert "app.py:3 pay" in page
    assert "<script" not in page


def test_an_unknown_fault_is_named():
    with SentrySink() as sink, pytest.raises(ValueError, match="unknown fault 'x'"):
        sink.set_fault("x")


def test_as_a_process_it_prints_where_it_listens():
    process = subprocess.Popen(
        [sys.executable, "-m", "slotel.cli.sink.server", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        where = json.loads(process.stdout.readline())
        assert where["dsn"].endswith(f"127.0.0.1:{where['port']}/1")
        url = f"http://127.0.0.1:{where['port']}/stats"
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert json.loads(answer.read())["connections"] == 1
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
