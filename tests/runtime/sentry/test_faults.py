"""The fault table: what a bad server does to the app, to memory and to the transactions. Real sockets throughout."""

import os
import socket
import sys
import threading
import time

import pytest
import sentry_sdk

from slotel.cli.sink.http import HttpWire as ServerWire
from slotel.cli.sink.server import SentrySink
from slotel.runtime.metrics.self_metrics import UNSENT
from slotel.runtime.metrics.store.store import Store
from slotel.runtime.sentry.transport.envelope_queue import MAX_BYTES, EnvelopeQueue
from support.launch import busy
from support.sentry_route import Proxy, Socks, TooLarge, make_certificate, serving_tls
from support.sentry_tracing import connected, provider, shipping


def run(tracer, count):
    for number in range(count):
        with tracer.start_as_current_span(f"job {number}"):
            pass


def names(sentry):
    return [event["transaction"] for event in sentry.payloads("transaction")]


def accounted(sentry, losses):
    return sentry.transactions + sum(losses.counts.values())


@pytest.fixture
def sentry():
    with SentrySink() as sink:
        yield sink


@pytest.mark.parametrize("fault", ["refuse", "5xx", "reset", "hang"])
def test_sending_resumes_by_itself_and_what_waited_arrives_once(sentry, fault):
    # an answer that comes too late on a busy machine would be counted as lost, and have arrived
    with shipping(sentry, sender={"timeout": 2.0} if fault == "hang" else {}) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        run(tracer, 1)
        assert sink.flush(60)
        sentry.set_fault(fault)
        run(tracer, 20)
        if fault == "refuse":
            time.sleep(0.2)
        else:
            assert sentry.wait_for(lambda s: s.stats().get("faulted"))
        sentry.set_fault("none")
        assert sentry.wait_for(lambda s: accounted(s, losses) >= 21)
        assert sink.flush(60)
    arrived = names(sentry)
    assert len(arrived) == len(set(arrived)) + 1  # "job 0" ran twice
    assert accounted(sentry, losses) == 21
    assert set(losses.counts) <= {("traces", "timeout"), ("traces", "network"), ("traces", "server_error")}


def test_a_server_that_is_down_at_start_gets_what_waited_when_it_comes_up(sentry):
    sentry.set_fault("refuse")
    with shipping(sentry) as (sink, losses):
        run(provider(sink).get_tracer("t"), 5)
        time.sleep(0.3)
        sentry.set_fault("none")
        assert sentry.wait_for(lambda s: s.transactions == 5)
    assert losses.counts == {}


@pytest.mark.parametrize(("fault", "times"), [("500", 3), ("reset", 3), ("hang", 3)])
def test_an_envelope_that_the_server_may_be_failing_on_is_tried_again_and_then_counted(sentry, fault, times):
    sentry.set_fault(fault)
    timeout = {"timeout": 0.2} if fault == "hang" else {}
    with shipping(sentry, sender={**timeout, "first_wait": 0.01}) as (sink, losses):
        run(provider(sink).get_tracer("t"), 1)
        deadline = time.monotonic() + 20
        while not losses.counts and time.monotonic() < deadline:
            time.sleep(0.01)
    reason = {"500": "server_error", "reset": "network", "hang": "timeout"}[fault]
    assert losses.counts == {("traces", reason): 1}
    assert sentry.stats()["faulted"] == times


def test_an_answer_that_drips_holds_no_flush_beyond_its_time(sentry):
    sentry.set_fault("slow")
    with shipping(sentry) as (sink, losses):
        run(provider(sink).get_tracer("t"), 1)
        assert sentry.wait_for(lambda s: s.transactions == 1)
        began = time.monotonic()
        assert not sink.flush(0.3)
        assert time.monotonic() - began < 5 * busy()
        sentry.set_fault("none")
        run(provider(sink).get_tracer("t"), 1)
        assert sink.flush(60)
    assert (sentry.transactions, losses.counts) == (2, {})


@pytest.mark.parametrize(("fault", "times"), [("refuse", 0), ("5xx", 1), ("reset", 1), ("hang", 1)])
def test_errors_and_transactions_outlive_an_outage(sentry, fault, times):
    with connected(sentry, sender={"timeout": 2.0}) as (client, sink, losses):
        sentry.set_fault(fault)
        for number in range(20):
            client.capture_event({"message": f"error {number}"}, scope=sentry_sdk.Scope())
        run(provider(sink).get_tracer("t"), 20)
        if times:
            assert sentry.wait_for(lambda s: s.stats().get("faulted", 0) >= times)
        sentry.set_fault("none")
        assert sink.flush(30)
    assert losses.counts == {}
    assert {event["message"] for event in sentry.payloads("event")} == {f"error {n}" for n in range(20)}
    assert sorted(names(sentry)) == sorted(f"job {n}" for n in range(20))


@pytest.mark.parametrize("fault", ["none", "refuse", "5xx", "500", "429", "403", "407", "413", "reset"])
def test_what_waits_is_known_until_it_is_sent_or_counted_as_lost(sentry, fault):
    """Where workers are killed, this is what is counted; whatever the server does, nothing is left over in the end."""
    store = Store()
    UNSENT.count_in(store)
    table = store.tables[-1]

    def waiting():
        return {signal[0]: table.cells[at] for signal, at in table.slots.items() if signal}

    with connected(sentry, sender={"first_wait": 0.01}) as (client, sink, losses):
        sentry.set_fault(fault)
        client.capture_event({"message": "error"}, scope=sentry_sdk.Scope())
        run(provider(sink).get_tracer("t"), 5)
        sent = {"errors": 1, "traces": 5}
        assert all(0 <= waiting().get(signal, 0) <= count for signal, count in sent.items())
        if fault == "refuse":
            assert waiting() == sent
        sink.flush(2)
    assert set(waiting().values()) == {0}
    assert sum(losses.counts.values()) + sentry.transactions + sentry.events == 6


def test_a_sender_that_fails_where_nobody_expects_it_lives_on(sentry, monkeypatch):
    with shipping(sentry, sender={"first_wait": 0.01}) as (sink, losses):
        failures = [MemoryError(), RuntimeError("broken")]
        real = EnvelopeQueue.take

        def take(queue):
            if failures:
                raise failures.pop()
            return real(queue)

        monkeypatch.setattr(EnvelopeQueue, "take", take)
        run(provider(sink).get_tracer("t"), 3)
        assert sentry.wait_for(lambda s: s.transactions == 3)
    assert losses.counts == {}


def test_a_refused_key_is_named_with_its_host_and_what_was_refused_is_counted(sentry, caplog):
    sentry.set_fault("403")
    with connected(sentry) as (client, sink, losses):
        for _ in range(2):
            client.capture_event({"message": "error"}, scope=sentry_sdk.Scope())
        run(provider(sink).get_tracer("t"), 1)
        sink.flush(10)
    assert losses.counts == {("errors", "status_403"): 2, ("traces", "status_403"): 1}
    assert caplog.messages.count(f"403 from 127.0.0.1:{sentry.port}: check the key in SENTRY_DSN") == 1


def test_what_sentry_calls_too_large_is_counted_and_the_rest_arrives(sentry):
    sentry.set_fault("413")
    with connected(sentry) as (client, sink, losses):
        client.capture_event({"message": "error"}, scope=sentry_sdk.Scope())
        run(provider(sink).get_tracer("t"), 2)
        assert sink.flush(60)
        sentry.set_fault("none")
        run(provider(sink).get_tracer("t"), 2)
        assert sink.flush(60)
    assert losses.counts == {("errors", "too_large"): 1, ("traces", "too_large"): 2}
    assert (sentry.events, sentry.transactions) == (0, 2)


def with_attachment(size):
    scope = sentry_sdk.Scope()
    scope.add_attachment(bytes=os.urandom(size), filename="core.bin")
    return scope


def test_a_load_balancer_that_refuses_a_body_unread_loses_that_envelope_alone():
    with TooLarge(100_000) as server, connected(server, send_client_reports=False) as (client, sink, losses):
        client.capture_event({"message": "large"}, scope=with_attachment(3_000_000))
        client.capture_event({"message": "small"}, scope=sentry_sdk.Scope())
        run(provider(sink).get_tracer("t"), 2)
        assert sink.flush(60)
        assert losses.counts == {("errors", "too_large"): 1}
        assert len(server.requests) == 3


def test_an_attachment_larger_than_the_queue_arrives_and_drops_nothing(sentry):
    with connected(sentry) as (client, sink, losses):
        sentry.set_fault("refuse")
        run(provider(sink).get_tracer("t"), 3)
        client.capture_event({"message": "error"}, scope=with_attachment(MAX_BYTES + 1))
        sink.flush(0.5)
        sentry.set_fault("none")
        assert sink.flush(60)
    assert (losses.counts, sentry.events, sentry.transactions) == ({}, 1, 3)


def test_a_limit_of_errors_stops_no_transaction(sentry):
    sentry.set_fault("none", {"X-Sentry-Rate-Limits": "60:error:organization"})
    with connected(sentry) as (client, sink, losses):
        tracer = provider(sink).get_tracer("t")
        run(tracer, 1)
        assert sink.flush(60)
        for _ in range(3):
            client.capture_event({"message": "error"}, scope=sentry_sdk.Scope())
            run(tracer, 1)
            assert sink.flush(60)
    assert (sentry.events, sentry.transactions) == (0, 4)
    assert losses.counts == {("errors", "rate_limited"): 3}


def test_the_queue_is_bounded_by_bytes_too(sentry, monkeypatch):
    monkeypatch.setattr("slotel.runtime.sentry.transport.envelope_queue.MAX_BYTES", 20_000)
    sentry.set_fault("refuse")
    with connected(sentry) as (client, sink, losses):
        for number in range(10):
            client.capture_event(
                {"message": str(number), "extra": {"noise": os.urandom(4000).hex()}}, scope=sentry_sdk.Scope()
            )
        sink.flush(0.3)
        sentry.set_fault("none")
        assert sink.flush(60)
    (lost,) = losses.counts.values()
    assert losses.counts == {("errors", "queue_full"): lost}
    assert 0 < sentry.events == 10 - lost < 5


@pytest.mark.parametrize("fault", ["close", "chunked"])
def test_odd_but_honest_answers_lose_nothing(sentry, fault):
    sentry.set_fault(fault)
    with shipping(sentry) as (sink, losses):
        run(provider(sink).get_tracer("t"), 30)
        assert sink.flush(60)
    assert (sorted(names(sentry)), losses.counts) == (sorted(f"job {n}" for n in range(30)), {})


def test_a_server_that_starts_to_close_amid_a_burst_loses_nothing_and_gets_nothing_twice(sentry):
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        run(tracer, 1)
        assert sink.flush(60)
        sentry.set_fault("close")
        run(tracer, 100)
        assert sink.flush(60)
    assert (sentry.transactions, losses.counts) == (101, {})


def test_an_idle_connection_that_the_server_closed_is_opened_again_without_a_wait(sentry):
    with shipping(sentry, sender={"first_wait": 60.0}) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        run(tracer, 1)
        assert sink.flush(60)
        sentry.set_fault("refuse")  # cuts the idle connection
        sentry.set_fault("none")
        run(tracer, 1)
        assert sentry.wait_for(lambda s: s.transactions == 2, timeout=10)
    assert losses.counts == {}


def test_429_stops_sending_for_as_long_as_it_says_and_every_refused_trace_is_counted(sentry):
    sentry.set_fault("429", {"Retry-After": "1"})
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        run(tracer, 3)
        assert sentry.wait_for(lambda s: s.stats().get("faulted"))
        sentry.set_fault("none")
        deadline = time.monotonic() + 20
        sent = 3
        while not sentry.transactions and time.monotonic() < deadline:
            run(tracer, 1)
            sent += 1
            time.sleep(0.1)
        assert sink.flush(60)
    assert sentry.transactions >= 1
    assert losses.counts == {("traces", "rate_limited"): sent - sentry.transactions}


def test_a_limit_of_the_category_transaction_counts_on_a_200_and_one_of_errors_does_not(sentry):
    sentry.set_fault("none", {"X-Sentry-Rate-Limits": "60:error:organization"})
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        run(tracer, 2)
        assert sink.flush(60)
        assert sentry.transactions == 2
        sentry.set_fault("none", {"X-Sentry-Rate-Limits": "60:transaction;span:key"})
        run(tracer, 1)
        assert sink.flush(60)
        run(tracer, 4)
        sink.flush(10)
    assert (sentry.transactions, losses.counts) == (3, {("traces", "rate_limited"): 4})


def test_the_queue_is_bounded_and_the_oldest_gives_way(sentry, monkeypatch):
    monkeypatch.setattr("slotel.runtime.sentry.transport.envelope_queue.MAX_ENVELOPES", 10)
    sentry.set_fault("refuse")
    with shipping(sentry) as (sink, losses):
        tracer = provider(sink).get_tracer("t")
        run(tracer, 30)
        sink.flush(0.2)
        sentry.set_fault("none")
        assert sink.flush(60)
    assert losses.counts == {("traces", "queue_full"): 20}
    assert names(sentry) == [f"job {n}" for n in range(20, 30)]


def test_at_exit_with_a_dead_server_the_flush_time_is_kept_and_the_rest_counted(sentry):
    sentry.set_fault("hang")
    with shipping(sentry, flush_time=0.3) as (sink, losses):
        run(provider(sink).get_tracer("t"), 7)
        start = time.monotonic()
        sink.shutdown()
        assert time.monotonic() - start < 5 * busy()
    assert sum(losses.counts.values()) == 7
    assert set(losses.counts) <= {("traces", "exit"), ("traces", "timeout")}


def test_requests_are_served_at_their_usual_pace_while_the_server_hangs(sentry):
    def slowest(tracer):
        times = []
        for _ in range(200):
            start = time.perf_counter()
            with tracer.start_as_current_span("job"):
                pass
            times.append(time.perf_counter() - start)
        return sorted(times)[-10]

    with shipping(sentry, sender={"timeout": 5.0}, flush_time=0.1) as (sink, _):
        tracer = provider(sink).get_tracer("t")
        sentry.set_fault("hang")
        run(tracer, 1)
        assert sentry.wait_for(lambda s: s.stats().get("faulted"))
        assert slowest(tracer) < 0.1  # a blocked request would take the 5 s of the answer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_https_works_with_the_certificate_of_ssl_cert_file(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    with SentrySink(tls=serving_tls(certificate)) as sentry, shipping(sentry) as (sink, losses):
        run(provider(sink).get_tracer("t"), 50)
        assert sink.flush(60)
    assert (sentry.transactions, sentry.stats()["connections"], losses.counts) == (50, 1, {})


def test_a_certificate_that_is_not_trusted_is_never_sent_to_and_sending_resumes_when_it_is(
    certificate, monkeypatch
):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with SentrySink(tls=serving_tls(certificate)) as sentry, shipping(sentry) as (sink, losses):
        run(provider(sink).get_tracer("t"), 3)
        assert not sink.flush(0.5)
        assert sentry.stats().get("requests", 0) == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
        assert sink.flush(30)
    assert (sentry.transactions, losses.counts) == (3, {})


def test_certificates_that_are_replaced_in_their_file_are_read_without_a_restart(certificate, tmp_path):
    trusted, other = tmp_path / "trusted.pem", tmp_path / "other"
    other.mkdir()
    make_certificate(other)
    trusted.write_bytes((other / "cert.pem").read_bytes())
    with (
        SentrySink(tls=serving_tls(certificate)) as sentry,
        shipping(sentry, ca_certs=str(trusted)) as (sink, losses),
    ):
        run(provider(sink).get_tracer("t"), 3)
        assert not sink.flush(0.5)
        trusted.write_bytes((certificate / "cert.pem").read_bytes())
        assert sink.flush(30)
    assert (sentry.transactions, losses.counts) == (3, {})


@pytest.fixture
def proxy():
    made = Proxy()
    yield made
    made.close()


def test_a_proxy_takes_plain_http_with_its_password(sentry, proxy):
    with shipping(sentry, http_proxy=proxy.url) as (sink, losses):
        run(provider(sink).get_tracer("t"), 3)
        assert sink.flush(60)
    assert (sentry.transactions, losses.counts) == (3, {})
    assert proxy.seen[0] == ("POST", f"{sentry.url}/api/1/envelope/", "Basic dXNlcjpwYSBzcw==")


def test_a_proxy_tunnels_https(certificate, proxy):
    with (
        SentrySink(tls=serving_tls(certificate)) as sentry,
        shipping(sentry, https_proxy=proxy.url, ca_certs=str(certificate / "cert.pem")) as (sink, losses),
    ):
        run(provider(sink).get_tracer("t"), 3)
        assert sink.flush(60)
    assert (sentry.transactions, losses.counts) == (3, {})
    assert [each[0] for each in proxy.seen] == ["CONNECT"]
    assert proxy.seen[0][2] == "Basic dXNlcjpwYSBzcw=="


@pytest.mark.parametrize("dsn", ["http", "https"])
@pytest.mark.parametrize("fault", ["away", "hangs", "407", "403", "502"])
def test_what_waits_for_a_proxy_arrives_by_it(certificate, caplog, dsn, fault):
    proxy = Proxy()
    if fault == "away":
        proxy.close()
    elif fault == "hangs":
        proxy.answer = b""
    else:
        proxy.answer = f"HTTP/1.1 {fault} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with (
        SentrySink(tls=serving_tls(certificate) if dsn == "https" else None) as sentry,
        connected(
            sentry, http_proxy=proxy.url, ca_certs=str(certificate / "cert.pem"), sender={"timeout": 0.3, "first_wait": 0.01}
        ) as (client, sink, losses),
    ):  # fmt: skip
        client.capture_event({"message": "error"}, scope=sentry_sdk.Scope())
        run(provider(sink).get_tracer("t"), 1)
        sink.flush(2)
        if fault == "away":
            proxy.listen()
        proxy.answer = None
        assert sink.flush(60)
        arrived = sentry.events, sentry.transactions
    proxy.close()
    (said,) = [each.getMessage() for each in caplog.records if each.levelname in ("WARNING", "ERROR")]
    if dsn == "http" and fault == "403":  # of the proxy or of Sentry: that cannot be told
        assert losses.counts == {("errors", "status_403"): 1, ("traces", "status_403"): 1}
        assert said == (
            f"403 from 127.0.0.1:{sentry.port}, through the proxy http://127.0.0.1: check the key in SENTRY_DSN"
        )
    elif dsn == "http" and fault == "hangs":  # it may have passed on what it was given
        assert sum(losses.counts.values()) + sum(arrived) == 2
    else:
        assert (losses.counts, arrived) == ({}, (1, 1))
        assert "Sentry is unreachable" in said
        assert fault in said or fault in ("away", "hangs")


@pytest.mark.parametrize("dsn", ["http", "https"])
def test_a_proxy_that_speaks_tls_itself_takes_both(certificate, dsn):
    proxy = Proxy(serving_tls(certificate))
    trusted = str(certificate / "cert.pem")
    with (
        SentrySink(tls=serving_tls(certificate) if dsn == "https" else None) as sentry,
        shipping(sentry, http_proxy=proxy.url, ca_certs=trusted) as (sink, losses),
    ):
        run(provider(sink).get_tracer("t"), 3)
        assert sink.flush(60)
        assert (sentry.transactions, losses.counts) == (3, {})
    assert {each[0] for each in proxy.seen} == {"CONNECT" if dsn == "https" else "POST"}
    assert {each[2] for each in proxy.seen} == {"Basic dXNlcjpwYSBzcw=="}
    proxy.close()


@pytest.mark.parametrize("dsn", ["http", "https"])
def test_a_socks_proxy_takes_both(certificate, dsn):
    pytest.importorskip("socks")
    proxy = Socks()
    with (
        SentrySink(tls=serving_tls(certificate) if dsn == "https" else None) as sentry,
        shipping(sentry, http_proxy=proxy.url, ca_certs=str(certificate / "cert.pem")) as (sink, losses),
    ):
        run(provider(sink).get_tracer("t"), 3)
        assert sink.flush(60)
        assert (sentry.transactions, losses.counts) == (3, {})
        assert set(proxy.seen) == {("127.0.0.1", sentry.port, b"user", b"pa ss")}
    proxy.close()


def test_a_socks_proxy_without_its_package_is_named_and_what_cannot_leave_is_counted(
    sentry, monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.setattr("slotel.runtime.sentry.transport.endpoint.find_spec", lambda name: None)
    with shipping(sentry, http_proxy="socks5://127.0.0.1:9", flush_time=0.5) as (sink, losses):
        run(provider(sink).get_tracer("t"), 3)
        assert not sink.flush(0.3)
        sink.shutdown()
        assert losses.counts == {("traces", "exit"): 3}
    assert sentry.transactions == 0
    (said,) = [each for each in caplog.messages if "nothing can be sent to Sentry" in each]
    assert "pip install 'slotel[socks]'" in said


def test_a_proxy_of_an_unsupported_scheme_is_named_once_and_what_cannot_leave_is_counted(sentry, caplog):
    with shipping(sentry, http_proxy="ftp://user:secret@127.0.0.1:9", flush_time=0.5) as (sink, losses):
        run(provider(sink).get_tracer("t"), 3)
        assert not sink.flush(1.5)
        sink.shutdown()
        assert losses.counts == {("traces", "exit"): 3}
    assert sentry.transactions == 0
    (said,) = [each for each in caplog.records if each.levelname in ("WARNING", "ERROR")]
    assert said.levelname == "ERROR"
    assert "write http://, https://, socks5:// or socks5h://" in said.getMessage()
    assert "secret" not in caplog.text


def test_an_answer_that_is_no_http_is_a_failure_and_not_the_end():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    class Elsewhere:
        def dsn(self):
            return f"http://key@127.0.0.1:{port}/1"

    def serve():
        for answer in (
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ):
            connection, _ = listener.accept()
            with connection:
                ServerWire(connection).read()
                connection.sendall(answer)
                if answer.startswith(b"HTTP"):
                    done.wait(10)

    done = threading.Event()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with shipping(Elsewhere()) as (sink, losses):
        run(provider(sink).get_tracer("t"), 1)
        assert sink.flush(60)
        done.set()
    thread.join(10)
    listener.close()
    assert losses.counts == {}


def test_an_envelope_that_waited_long_carries_the_time_of_its_sending(sentry):
    with shipping(sentry) as (sink, _):
        sender = sink._worker._sender
        sentry.set_fault("refuse")
        run(provider(sink).get_tracer("t"), 1)
        sink.flush(0.1)
        until, waiting = time.monotonic() + 30, []
        while (
            not waiting and time.monotonic() < until
        ):  # it is elsewhere while it is encoded, and while it is being sent
            time.sleep(0.01)
            waiting = list(sender._queue._envelopes)
        envelope = waiting[0]
        made = envelope.made
        envelope.made = made - 3600
        sentry.set_fault("none")
        assert sink.flush(60)
    assert sentry.envelopes[0].header["sent_at"] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(made))
    assert sentry.envelopes[0].of_type("transaction")[0]["transaction"] == "job 0"
