"""Requests as no client library writes them, over raw sockets: who smuggles, confuses, guesses or drips comes to nothing."""

from __future__ import annotations

import base64
import re
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from slotel.runtime.metrics.scrape.endpoint import Endpoint
from slotel.runtime.metrics.scrape.http import passwords
from slotel.runtime.metrics.scrape.http.access import AccessError, read_access
from slotel.runtime.metrics.scrape.http.negotiate import _ranges, wants_gzip
from slotel.runtime.metrics.scrape.http.passwords import Users
from slotel.runtime.metrics.store.store import Family

FAMILY = Family("orders", "counter", "Orders.", "", (), (), {(): (3.0,)}, {}, 1.0)


@contextmanager
def serving(environ=None, host="127.0.0.1", **options):
    endpoint = Endpoint(host, 0, [lambda: [FAMILY]], access=read_access(environ or {}, host), **options)
    endpoint.start()
    try:
        yield endpoint
    finally:
        endpoint.stop()


def answer_to(endpoint, request):
    """Return all that comes back."""
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=20) as peer:
        peer.sendall(request)
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
    return answer


def status(endpoint, request):
    return int(answer_to(endpoint, request).split(b" ", 2)[1])


@pytest.fixture(scope="module")
def endpoint():
    with serving() as made:
        yield made


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"localhost", 200),
        (b"localhost:", 200),
        (b"LocalHost.:9464", 200),
        (b"[::1]", 200),
        (b"[::ffff:127.0.0.1]:80", 200),
        (b"[::1]attacker.example", 421),
        (b"[::1].attacker.example:80", 421),
        (b"[localhost]", 421),
        (b"127.0.0.1%x.attacker.example", 421),
        (b"localhost:80:attacker.example", 421),
        (b"localhost, attacker.example", 421),
        (b"attacker.example/localhost", 421),
        (b"x@localhost", 421),
        (b"2130706433", 421),
    ],
)
def test_a_host_is_a_name_or_an_address_and_a_port_and_nothing_else(endpoint, host, expected):
    assert status(endpoint, b"GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n" % host) == expected


def test_listed_names_may_be_written_with_port_and_final_dot():
    with serving({"SLOTEL_METRICS_HOSTS": "metrics.shop.test:9464, other.test."}) as endpoint:
        for host in (b"metrics.shop.test", b"metrics.shop.test:1", b"other.test", b"other.test."):
            assert status(endpoint, b"GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n" % host) == 200
        assert status(endpoint, b"GET /healthz HTTP/1.1\r\nHost: third.test\r\n\r\n") == 421


@pytest.mark.parametrize(
    "head",
    [
        b"GET /metrics HTTP/1.1\r\nA: b\nHost: attacker.example",
        b"GET /metrics HTTP/1.1\r\nA: b\rHost: attacker.example",
        b"GET /metrics HTTP/1.1\nHost: localhost\r\nHost: attacker.example",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n attacker.example",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nA: b\0c",
        b"GET /metrics HTTP/1.1\r\nHo\0st: localhost",
        b"GET /metrics HTTP/1.1\r\nHost : attacker.example",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: localhost",
        b"GET /metrics\0 HTTP/1.1\r\nHost: localhost",
        b"GET  /metrics HTTP/1.1\r\nHost: localhost",
        b"get /metrics HTTP/1.1\r\nHost: localhost",
        b"GET /metrics HTTP/1.x\r\nHost: localhost",
        b"PRI * HTTP/2.0",
    ],
)
def test_what_two_readers_would_read_differently_is_no_request(endpoint, head):
    assert status(endpoint, head + b"\r\n\r\n") == 400


SMUGGLED = b"%s\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "smuggled",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
        SMUGGLED
        % b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked",
        SMUGGLED % b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 0",
    ],
)
def test_a_connection_has_one_answer_whatever_follows(endpoint, smuggled):
    answer = answer_to(endpoint, smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"GET /../../etc/passwd", 404),
        (b"GET /%2e%2e/%2e%2e/etc/passwd", 404),
        (b"GET http://attacker.example/metrics", 404),
        (b"POST /metrics", 405),
        (b"OPTIONS /metrics", 405),
        (b"TRACE /", 405),
        (b"CONNECT localhost:80", 405),
    ],
)
def test_only_what_is_there_can_be_read_and_only_read(endpoint, target, expected):
    answer = answer_to(
        endpoint, target + b" HTTP/1.1\r\nHost: localhost\r\nOrigin: http://attacker.example\r\n\r\n"
    )
    assert int(answer.split()[1]) == expected
    assert (b"\r\nAllow: GET, HEAD\r\n" in answer) == (expected == 405)
    assert b"access-control" not in answer.lower()
    assert b"attacker" not in answer


def test_no_answer_may_be_read_as_another_type_than_it_says(endpoint):
    for request in (b"GET /metrics", b"GET /nowhere", b"HEAD /metrics", b"POST /metrics"):
        answer = answer_to(endpoint, request + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer


def test_of_a_header_with_thousands_of_ranges_the_first_are_looked_at():
    for header in ("a," * 8_000, "a;b," * 4_000, ","):
        assert len(list(_ranges(header))) <= 50, "8,000 take 30 ms, twice for each request"
    assert wants_gzip("a," * 20 + "gzip")


# -- guesses -------------------------------------------------------------------------------------------------------------


def basic(user, password):
    credentials = base64.b64encode(f"{user}:{password}".encode())
    return b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic %s\r\n\r\n" % credentials


def test_who_guesses_passwords_keeps_no_scraper_waiting(tmp_path):
    bcrypt = pytest.importorskip("bcrypt")
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{bob: {bcrypt.hashpw(b'right', bcrypt.gensalt(10)).decode()}}}")
    with serving({"SLOTEL_METRICS_WEB_CONFIG": str(web)}) as endpoint:
        assert status(endpoint, basic("bob", "right")) == 200
        found = []

        def guess(first):
            found.extend(status(endpoint, basic("bob", f"{first}-{number}")) for number in range(25))

        began = time.monotonic()
        guessing = [threading.Thread(target=guess, args=(each,)) for each in range(8)]
        for each in guessing:
            each.start()
        waited = []
        while any(each.is_alive() for each in guessing):
            asked = time.monotonic()
            assert status(endpoint, basic("bob", "right")) == 200
            waited.append(time.monotonic() - asked)
        for each in guessing:
            each.join()
        tried = found.count(401)
        assert {429} <= set(found) <= {401, 429}  # none is tried where the first log-in took all the time
        assert tried <= 40 + (time.monotonic() - began) * 10, "200 guesses are 200 bcrypts"
        assert sorted(waited)[len(waited) // 2] < 1


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def users(monkeypatch, seconds=0.1):
    """Users whose bcrypt takes a time of its own: a double."""
    clock, checked = Clock(), []

    def check(password, hashed):
        clock.now += seconds
        checked.append(hashed)
        return password == hashed

    monkeypatch.setattr(passwords, "_check", check)
    return Users({"bob": "right", "eve": "other"}, clock), clock, checked


def test_guesses_have_a_share_of_the_time_and_a_known_password_needs_none(monkeypatch):
    known, clock, checked = users(monkeypatch)
    assert known.is_right("bob", "right") is True
    answers = [known.is_right("bob", str(number)) for number in range(300)]
    assert answers.count(False) == 5, "half a second"
    assert answers[-1] is None
    assert known.is_right("bob", "0") is False, "wrong ones are remembered, too"
    assert known.is_right("bob", "right") is True, "and evict no right one"
    assert known.is_right("eve", "other") is None
    clock.now += 10
    assert known.is_right("eve", "other") is True
    assert len(checked) == 7


def test_an_unknown_user_takes_as_long_as_a_known_one_and_is_never_right(monkeypatch):
    known, _, checked = users(monkeypatch)
    assert known.is_right("nobody", "right") is False
    assert known.is_right("", "") is False
    assert len(checked) == 2


def test_a_password_that_bcrypt_refuses_is_wrong(tmp_path):
    bcrypt = pytest.importorskip("bcrypt")
    known = Users({"bob": bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()})
    assert known.is_right("bob", "\0") is False
    assert known.is_right("bob", "x" * 10_000) is False
    assert known.is_right("bob", "right") is True


def test_a_fault_while_credentials_are_looked_at_lets_nobody_in_and_ends_nothing():
    faults = []
    with serving(fault=lambda part, error: faults.append((part, type(error)))) as endpoint:
        endpoint._access.is_named = lambda host: 1 / 0 if host == "x" else True
        assert status(endpoint, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == 500
        assert status(endpoint, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") == 200
    assert faults == [("scrape", ZeroDivisionError)]


CERTIFICATE = "cert_file: a, key_file: b"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("basic_auth_users: {bob: hunter2}", "basic_auth_users.bob is not a bcrypt hash"),
        ("basic_auth_users: {bob: }", "basic_auth_users.bob is not a bcrypt hash"),
        ("basic_auth_users: [bob]", "basic_auth_users is not a mapping"),
        ("tls_server_config: [a]", "tls_server_config is not a mapping"),
        ("tls_server_config: {cert_file: , key_file: }", "cert_file or key_file is missing"),
        (f"tls_server_config: {{{CERTIFICATE}, client_ca_file: c}}", "client_ca_file needs a client_auth_type"),
        (f"tls_server_config: {{{CERTIFICATE}, client_auth_type: RequireAndVerifyClientCert}}", "client_ca_file needs"),
        (b"basic_auth_users: {\xff: x}", "not valid YAML"),
        ("basic_auth_users: {a: x}\nbasic_auth_users: {}", "not valid YAML"),
        ("{}", "it protects nothing"),
        ("basic_auth_users:\n#  bob: x", "basic_auth_users is empty"),
        (f"tls_server_config: {{{CERTIFICATE}}}\nbasic_auth_users: {{}}", "basic_auth_users is empty"),
        ("tls_server_config: ''", "tls_server_config is empty"),
        ("a: 2001-99-99", "not valid YAML (ValueError)"),
        ("[" * 5000, "not valid YAML (RecursionError)"),
        (f"tls_server_config: {{{CERTIFICATE}, 1: x, a: y}}", "tls_server_config.1 is not supported"),
    ],
)  # fmt: skip
def test_a_web_configuration_that_protects_less_than_it_seems_to_keeps_the_endpoint_closed(
    tmp_path, content, text
):
    file = tmp_path / "web.yml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AccessError, match=re.escape(text)):
        read_access({"SLOTEL_METRICS_WEB_CONFIG": str(file)}, "127.0.0.1")


def test_a_token_may_have_any_bytes(tmp_path):
    file = tmp_path / "token"
    file.write_bytes("schlüssel-wörter\r\n".encode())
    with serving({"SLOTEL_METRICS_TOKEN_FILE": str(file)}) as endpoint:
        for token, expected in (("schlüssel-wörter", 200), ("schlüssel", 401), ("", 401)):
            head = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            assert status(endpoint, head.encode()) == expected
