"""Answers as servers really give them, addresses as installations have them, proxies that say no: nothing is lost."""

import gc
import itertools
import logging
import socket
import threading
from contextlib import closing, suppress
from http.client import HTTPResponse

import pytest
import sentry_sdk
from urllib3.exceptions import HTTPError, ReadTimeoutError

from slotel.cli.sink.http import HttpWire
from slotel.cli.sink.server import SentrySink
from slotel.runtime.sentry.transport import kept_alive
from slotel.runtime.sentry.transport.endpoint import Endpoint
from support.launch import wait_until
from support.sentry_route import Answering, Proxy, make_certificate, serving_tls
from support.sentry_tracing import connected, provider, shipping

HAS_IPV6 = socket.has_ipv6


def run(tracer, count):
    for number in range(count):
        with tracer.start_as_current_span(f"job {number}"):
            pass


ANSWERS = {
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n{}", True),
    "HTTP/1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}", False),
    "no length": (b"HTTP/1.1 200 OK\r\n\r\n{}", True),
    "no length, stays open": (b"HTTP/1.1 200 OK\r\n\r\n{}", False),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", True),
    "continue, hints": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        False,
    ),
    "chunked with trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n",
        False,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", False),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", False),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", False),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_each_way_to_say_yes_is_understood(answer):
    given, closes = ANSWERS[answer]
    with Answering(given, closes=closes) as server:
        with shipping(server) as (sink, losses):
            run(provider(sink).get_tracer("t"), 20)
            assert sink.flush(60)
        assert (len(server.requests), losses.counts) == (20, {})
        must_reconnect = (
            closes
            or (b"Length" not in given and b"chunked" not in given and b"204" not in given)
            or b"103" in given
        )  # before Python 3.12 the standard library takes a hint for the answer
        assert server.connections == (20 if must_reconnect else 1)


YES = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("host", ["127.0.0.1", *(["::1"] if HAS_IPV6 else [])])
def test_a_request_on_an_open_connection_carries_what_the_first_one_carries(host):
    with Answering(YES, host=host, path="/base/1") as server:
        with shipping(server) as (sink, losses):
            run(provider(sink).get_tracer("t"), 3)
            assert sink.flush(60)
        first, *others = [
            (each.method, each.target, _without_length(each.headers)) for each in server.requests
        ]
        assert (others, losses.counts, server.connections) == ([first, first], {}, 1)


def _without_length(headers):
    return {name: value for name, value in headers.items() if name != "content-length"}


def test_an_answer_that_comes_too_late_is_not_taken_for_that_to_the_next_request():
    late = threading.Event()

    def serve():
        for number in range(2):
            connection, _ = listener.accept()
            wire = HttpWire(connection)
            while wire.read() is not None:
                connection.sendall(YES)
                if number == 0 and wire.read() is not None:
                    late.wait(30)
                    with suppress(OSError):
                        connection.sendall(YES.replace(b"200 OK", b"503 Away"))
                    break
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        endpoint = Endpoint(f"http://key@127.0.0.1:{listener.getsockname()[1]}/1", {})
        assert endpoint.post(b"first", gzipped=False, timeout=30).status == 200
        with pytest.raises(ReadTimeoutError):
            endpoint.post(b"second", gzipped=False, timeout=0.1)
        threading.Timer(0.1, late.set).start()
        assert endpoint.post(b"third", gzipped=False, timeout=30).status == 200
        endpoint.close()
        server.join(30)


@pytest.mark.parametrize("answer", [ANSWERS["chunked with trailers"][0], YES, ANSWERS["bare line feeds"][0]])
def test_an_answer_that_comes_byte_by_byte_leaves_the_connection_open(answer):
    def serve():
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = HttpWire(connection)
        while wire.read() is not None:
            served.append(connection)
            for at in range(len(answer)):
                connection.sendall(answer[at : at + 1])
        connection.close()

    served = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        endpoint = Endpoint(f"http://key@127.0.0.1:{listener.getsockname()[1]}/1", {})
        for _ in range(4):
            assert endpoint.post(b"x", gzipped=False, timeout=30) == (200, None, None)
        endpoint.close()
        server.join(30)
    assert len(served) == 4


HEADS = (
    "Content-Length: 2", "content-length:2", "Content-Length: 3", "Content-Length: 2, 2", "Content-Length: +2",
    "Connection: close", "Connection: Keep-Alive", "connection: keep-alive, close", "Connection:close", "Retry-After: 3",
    "X-Sentry-Rate-Limits: 60:error:key", "Transfer-Encoding: chunked", " folded: 1", "\tContent-Length: 2", "Server: nginx",
    "no colon", "Content-Length : 2", "Via: 1.1 google",
)  # fmt: skip
STARTS = ("HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.1 429 Too Many", "HTTP/1.0 200 OK", "HTTP/1.1 103 Early", "HTTP/1.1 20 OK",
          "HTTP/1.1 204 No Content", "HTTP/1.1 500", "ICY 200 OK")  # fmt: skip


def test_an_answer_that_is_not_given_to_http_client_is_what_http_client_would_read():
    bodies = ("{}", "{", "{}}", "2\r\n{}\r\n0\r\n\r\n", "")
    read = 0
    for start, *heads, line, body in itertools.product(STARTS, HEADS, HEADS, ("\r\n", "\n"), bodies):
        answer = line.join((start, "Content-Type: application/json", *heads, "", body)).encode()
        status = kept_alive._short_answer(answer)
        if not status:
            continue
        read += 1
        with closing(_whole(answer)) as receiver, HTTPResponse(receiver, method="POST") as response:
            response.begin()
            said = [response.getheader(name) for name in ("x-sentry-rate-limits", "retry-after")]
            found = (response.status, response.will_close, *said, response.read(), response.fp)
        no_body = status == 204  # whatever follows it
        assert found == (status, False, None, None, b"" if no_body else body.encode(), None), answer
    assert read > 50


def _whole(sent):
    sender, receiver = socket.socketpair()
    with sender:
        sender.sendall(sent)
    return receiver


def test_the_usual_answer_is_not_given_to_http_client(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("it reads an answer that is whole")

    monkeypatch.setattr(kept_alive, "HTTPResponse", refuse)
    usual = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}"
    with Answering(usual) as server, shipping(server) as (sink, losses):
        run(provider(sink).get_tracer("t"), 5)
        assert sink.flush(60)
        assert (len(server.requests), losses.counts, server.connections) == (5, {}, 1)


def test_where_urllib3_keeps_its_connections_elsewhere_it_sends_every_request(monkeypatch):
    monkeypatch.setattr(
        "slotel.runtime.sentry.transport.kept_alive._REQUEST", "another"
    )  # as of a later urllib3
    with Answering(YES) as server:
        with shipping(server) as (sink, losses):
            run(provider(sink).get_tracer("t"), 3)
            assert sink.flush(60)
        assert (len(server.requests), losses.counts, server.connections) == (3, {}, 1)


def test_limits_on_two_lines_hold_both():
    limits = b"X-Sentry-Rate-Limits: 60:transaction:key\r\nX-Sentry-Rate-Limits: 60:session:organization\r\n"
    with Answering(b"HTTP/1.1 200 OK\r\n" + limits + b"Content-Length: 2\r\n\r\n{}") as server:
        with shipping(server, send_client_reports=False) as (sink, losses):  # a report is a request more
            tracer = provider(sink).get_tracer("t")
            run(tracer, 1)
            assert sink.flush(60)
            run(tracer, 3)
            sink.flush(1)
        assert (len(server.requests), losses.counts) == (1, {("traces", "rate_limited"): 3})


AWAY = b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"
HERE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_the_thread_survives_more_failures_than_a_float_has_powers_of_two():
    """An outage of nine hours has 1,100."""
    with Answering(AWAY) as server:
        with shipping(server, sender={"first_wait": 0.0}) as (sink, losses):
            tracer = provider(sink).get_tracer("t")
            run(tracer, 1)
            wait_until(lambda: len(server.requests) > 1100, "1,100 attempts", 60)
            server.answer = HERE
            asked = len(server.requests)
            wait_until(lambda: len(server.requests) > asked, "one that is accepted", 10)
            run(tracer, 1)
            assert sink.flush(60)
        assert losses.counts == {}


def test_a_flush_asks_a_server_that_is_away_ten_times_a_second():
    with Answering(AWAY) as server, shipping(server, sender={"first_wait": 30.0}) as (sink, _):
        run(provider(sink).get_tracer("t"), 1)
        assert not sink.flush(1)
        assert 2 < len(server.requests) <= 12
        server.answer = HERE
        assert sink.flush(60)


def test_a_flush_that_a_handler_ends_before_it_has_sent_holds_up_no_other_thread(monkeypatch):
    """A task's soft time limit may come at any call: with the lock, the sender's thread would wait for ever."""

    def interrupted():
        raise SoftTimeLimitError

    with Answering(AWAY) as server, shipping(server) as (sink, _):
        sender = sink._worker._sender
        monkeypatch.setattr("slotel.runtime.sentry.transport.sender.suppress_instrumentation", interrupted)
        with pytest.raises(SoftTimeLimitError), sender._talking(1.0):
            pass
        assert not sender._sending._is_owned()
        monkeypatch.undo()


class SoftTimeLimitError(Exception):
    """As Celery's."""


ADDRESSES = [
    pytest.param("::1", "/1", "/api/1/envelope/", marks=pytest.mark.skipif(not HAS_IPV6, reason="no IPv6")),
    ("127.0.0.1", "/sentry/7", "/sentry/api/7/envelope/"),
    ("127.0.0.1", "/a/b/7", "/a/b/api/7/envelope/"),
]


@pytest.mark.parametrize(("host", "path", "target"), ADDRESSES)
def test_an_address_of_ipv6_and_a_path_before_the_project_are_kept_for_traces_and_errors(host, path, target):
    with Answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", host=host, path=path) as server:
        with connected(server) as (client, sink, losses):
            run(provider(sink).get_tracer("t"), 1)
            client.capture_event({"message": "x"}, scope=sentry_sdk.Scope())
            assert sink.flush(60)
        assert losses.counts == {}
        assert [each.target for each in server.requests] == [target] * 2
        assert {each.headers["host"] for each in server.requests} == {server.netloc}


class Refusing(Proxy):
    """A proxy that knows no password."""

    def serve(self, client):
        with client:
            client.recv(65_536)
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")


def told(caplog):
    return [each.message for each in caplog.records if each.levelno >= logging.INFO]


@pytest.mark.parametrize("speaks_tls", [False, True])
def test_a_proxy_that_refuses_costs_no_trace_once_it_agrees_and_its_password_is_nowhere_in_the_log(
    tmp_path, caplog, speaks_tls
):
    caplog.set_level(logging.DEBUG)
    tls = serving_tls(make_certificate(tmp_path))
    proxy = Refusing(tls if speaks_tls else None)
    with (
        closing(proxy),
        SentrySink(tls=tls) as sentry,
        shipping(sentry, https_proxy=proxy.url, ca_certs=str(tmp_path / "cert.pem")) as (sink, losses),
    ):
        run(provider(sink).get_tracer("t"), 3)
        assert not sink.flush(0.5)
        wait_until(lambda: told(caplog), "a refused attempt")
        assert losses.counts == {}
        proxy.serve = lambda client: Proxy.serve(proxy, client)
        assert sink.flush(60)
        assert (sentry.transactions, losses.counts) == (3, {})
        said = [
            each.replace("Cannot connect to proxy.", "Unable to connect to proxy") for each in told(caplog)
        ]  # urllib3 1
        assert said == [
            (
                "Sentry is unreachable (ProxyError: ('Unable to connect to proxy', OSError('Tunnel connection failed: "
                "407 Proxy Authentication Required'))): up to 5,000 transactions and errors are buffered and will be retried"
            ),
            "Sentry accepts data again: 2 buffered envelopes are being sent",
        ]
        assert not [
            each for each in caplog.messages if "pa ss" in each or "pa%20ss" in each or "cGEgc3M" in each
        ]


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6")
def test_a_proxy_tunnels_to_an_address_of_ipv6(tmp_path):
    folder = make_certificate(tmp_path)
    proxy = Proxy()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with closing(proxy), Answering(answer, host="::1", tls=serving_tls(folder)) as server:
        trusted = str(folder / "cert.pem")
        with shipping(server, https_proxy=proxy.url, ca_certs=trusted) as (sink, losses):
            run(provider(sink).get_tracer("t"), 3)
            assert sink.flush(60)
        assert (len(server.requests), losses.counts) == (3, {})
    assert [each[:2] for each in proxy.seen] == [("CONNECT", server.netloc)]


@pytest.mark.filterwarnings(
    "ignore:unclosed <ssl:ResourceWarning"
)  # urllib3 1 leaves such a socket to the collector
@pytest.mark.parametrize(
    ("by", "host"),
    [*itertools.product(["directly", "a tunnel"], ["localhost", "127.0.0.2"]), ("a TLS proxy", "localhost")],
)
def test_a_certificate_of_another_name_is_refused(tmp_path, by, host):
    """urllib3 1.x compares the names itself, and takes a context that compares none."""
    folder = make_certificate(tmp_path)
    proxy = Proxy(serving_tls(folder) if by == "a TLS proxy" else None)
    bound = "127.0.0.1" if host == "localhost" else host
    with closing(proxy), Answering(b"", host=bound, tls=serving_tls(folder)) as server:
        options = {"ca_certs": str(folder / "cert.pem")}
        named, url = f"{host}:{server.port}", proxy.url
        if by == "a TLS proxy":
            named, url = f"127.0.0.1:{server.port}", url.replace("127.0.0.1", host)
        if by != "directly":
            options["https_proxy"] = url
        endpoint = Endpoint(f"https://key@{named}/1", options)
        with closing(endpoint), pytest.raises((HTTPError, OSError), match="(?i)match|not valid for"):
            endpoint.post(b"{}\n", gzipped=False, timeout=10)
        assert server.requests == []
        gc.collect()
